"""Public sources that are watched."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class OsintStreamRow(Row):
    """Keywords watched at a source."""

    table = "osintstream"

    id: UUID
    platform: str
    keywords: Json | None
    engine: str
    is_active: bool
    created_at: UtcDatetime
    owner_id: UUID | None


class OsintSignalRow(Row):
    """A post or article that matched."""

    table = "osintsignal"

    id: UUID
    stream_id: UUID
    source: str
    author: str | None
    text: str
    media: Json | None
    link: str | None
    sentiment_score: float | None
    created_at: UtcDatetime
    owner_id: UUID | None


class OsintAlertRow(Row):
    """A warning raised from a stream."""

    table = "osintalert"

    id: UUID
    stream_id: UUID | None
    alert_type: str
    message: str
    severity: str
    is_read: bool
    created_at: UtcDatetime
    owner_id: UUID | None
