"""Schedules that start workflows, and the ledger of their instants."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.models.api import Input, Output, Patch
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


class ScheduleInput(Input):
    """A new schedule for a workflow."""

    name: str | None = Field(default=None, min_length=1, max_length=255, pattern=r"^[^@\x00]")
    cron_expression: str = Field(max_length=100, examples=["*/15 8-18 * * 1-5"])
    """Minute, hour, day of month, month, day of week; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`."""
    timezone: str = Field(default="UTC", max_length=64, examples=["Europe/Berlin"])
    """IANA time zone."""
    missed_policy: Literal["skip", "latest", "all"] = "latest"
    """What to do about instants that nobody attended to: none, the last, or each up to `missed_cap`."""
    missed_cap: int = Field(default=10, ge=1, le=1000)
    overlap_policy: Literal["allow", "skip"] = "allow"
    """Whether to start while the run before has not ended."""
    jitter_seconds: int = Field(default=0, ge=0, le=3600)
    """Spreads schedules of one instant by up to this much, each always by the same."""
    input: Any = None
    """Any JSON; expressions see it as `trigger.payload`."""
    is_active: bool = True


class SchedulePatch(Patch):
    """What changes in a schedule."""

    nullable: ClassVar[frozenset[str]] = frozenset({"name", "input"})

    name: str | None = Field(default=None, min_length=1, max_length=255, pattern=r"^[^@\x00]")
    cron_expression: str | None = Field(default=None, max_length=100)
    timezone: str | None = Field(default=None, max_length=64)
    missed_policy: Literal["skip", "latest", "all"] | None = None
    missed_cap: int | None = Field(default=None, ge=1, le=1000)
    overlap_policy: Literal["allow", "skip"] | None = None
    jitter_seconds: int | None = Field(default=None, ge=0, le=3600)
    input: Any = None
    is_active: bool | None = None


class ScheduleOutput(Output):
    """A schedule."""

    id: UUID
    workflow_id: UUID
    name: str | None
    """`@trigger` for the one that the workflow's trigger_config asks for."""
    cron_expression: str
    timezone: str
    missed_policy: str
    missed_cap: int
    overlap_policy: str
    jitter_seconds: int
    input: Json | None
    is_active: bool
    next_run_at: UtcDatetime | None
    last_run_at: UtcDatetime | None


class ScheduleDetail(ScheduleOutput):
    """A schedule and when it fires."""

    next_fires: list[UtcDatetime]
    """The next five instants, before jitter; none while it is inactive."""


class PreviewInput(Input):
    """A schedule to be looked at before it is made."""

    cron_expression: str = Field(max_length=100, examples=["@daily"])
    timezone: str = Field(default="UTC", max_length=64, examples=["Europe/Berlin"])
    count: int = Field(default=5, ge=1, le=50)


class PreviewOutput(Output):
    """When a schedule would fire."""

    next_fires: list[UtcDatetime]


class OccurrenceOutput(Output):
    """What became of one instant."""

    fire_at: UtcDatetime
    status: str
    """started, skipped or failed."""
    reason: str | None
    execution_id: UUID | None
