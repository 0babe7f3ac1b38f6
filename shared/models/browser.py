"""Browser sessions, and changes seen on pages."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class BrowserSessionRow(Row):
    """A browser that is or was open."""

    table = "browsersession"

    id: UUID
    session_id: str
    browser_tool: str
    proxy_id: str | None
    status: str
    started_at: UtcDatetime
    closed_at: UtcDatetime | None
    owner_id: UUID | None


class BrowserActionRow(Row):
    """One thing done in a session."""

    table = "browseraction"

    id: UUID
    session_id: UUID
    action_type: str
    action_data: Json | None
    result: Json | None
    timestamp: UtcDatetime
    owner_id: UUID | None


class ChangeDetectionRow(Row):
    """A change seen on a page."""

    table = "changedetection"

    id: UUID
    url: str
    diff_hash: str
    previous_content: str | None
    current_content: str | None
    detected_at: UtcDatetime
    owner_id: UUID | None
