"""Schedules that start workflows, and the ledger of their instants."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class WorkflowScheduleRow(Row):
    """A cron expression in a time zone, and what to do about missed runs and overlaps."""

    table = "workflowschedule"

    id: UUID
    workflow_id: UUID
    cron_expression: str
    is_active: bool
    next_run_at: UtcDatetime | None
    last_run_at: UtcDatetime | None
    owner_id: UUID | None
    name: str | None
    timezone: str
    missed_policy: str
    missed_cap: int
    overlap_policy: str
    jitter_seconds: int
    input: Json | None


class ScheduleOccurrenceRow(Row):
    """What became of one instant: started, skipped or failed."""

    table = "scheduleoccurrence"

    schedule_id: UUID
    fire_at: UtcDatetime
    owner_id: UUID | None
    status: str
    reason: str | None
    execution_id: UUID | None
    created_at: UtcDatetime
