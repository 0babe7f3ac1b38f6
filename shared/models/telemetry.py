"""What it cost, what was used, what happened."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class ModelCostLogRow(Row):
    """Tokens and dollars of one call of a model."""

    table = "modelcostlog"

    id: UUID
    agent_id: UUID | None
    model: str
    tokens_input: int
    tokens_output: int
    usd_cost: float
    created_at: UtcDatetime
    owner_id: UUID | None


class ToolUsageLogRow(Row):
    """One use of a tool."""

    table = "toolusagelog"

    id: UUID
    tool_id: str
    tool_type: str
    status: str
    latency_ms: int
    error_message: str | None
    created_at: UtcDatetime
    owner_id: UUID | None


class EventLogRow(Row):
    """Something that happened."""

    table = "eventlog"

    id: UUID
    event_type: str
    context: Json | None
    status: str
    created_at: UtcDatetime
    owner_id: UUID | None
