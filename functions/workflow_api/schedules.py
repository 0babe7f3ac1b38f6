"""Schedules: when a workflow is started by itself, and what became of each instant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from functions.workflow_api.listing import below, only
from shared import statements
from shared.cron import CronError, next_fire
from shared.database import dump_json
from shared.errors import Invalid
from shared.ids import uuid7
from shared.models.api import Page, page_of, read_cursor
from shared.models.schedule import (
    OccurrenceOutput,
    PreviewInput,
    PreviewOutput,
    ScheduleDetail,
    ScheduleInput,
    ScheduleOutput,
    SchedulePatch,
)
from shared.tenant import Caller

SQL = statements.load("workflow_api")

#: Instants that a schedule's own page shows.
SHOWN = 5
_TIMING = frozenset({"cron_expression", "timezone", "is_active"})


def list_schedules(caller: Caller, workflow_id: UUID, cursor: str | None, limit: int) -> Page[ScheduleOutput]:
    """A workflow's schedules, a page at a time."""
    (after,) = read_cursor(cursor, UUID)
    rows = caller.call(SQL["list_schedules"], {"workflow": workflow_id, "after": after, "limit": limit + 1})
    return page_of(ScheduleOutput, below(rows, "id", "workflow"), limit, "id")


def create_schedule(caller: Caller, workflow_id: UUID, new: ScheduleInput, *, input_bytes: int) -> ScheduleDetail:
    """A new schedule, which fires first at its first instant from now on. Its input has at most ``input_bytes``."""
    _check_input(new.input, input_bytes)
    [first] = fires(new.cron_expression, new.timezone, 1)
    fields = {**new.model_dump(mode="json"), "next_run_at": first.isoformat()}
    [row] = caller.call(SQL["create_schedule"], {"id": uuid7(), "workflow": workflow_id, "new": fields})
    return _detail(row)


def read_schedule(caller: Caller, id_: UUID) -> ScheduleDetail:
    """One schedule and when it fires."""
    return _detail(_row(caller, id_))


def update_schedule(caller: Caller, id_: UUID, patch: SchedulePatch, *, input_bytes: int) -> ScheduleDetail:
    """The schedule with its changes. Another time, or waking it, makes it fire from now on: what was missed is past."""
    _check_input(patch.input, input_bytes)
    changes = patch.changes()
    if _TIMING & changes.keys():
        row = {**_row(caller, id_), **changes}
        [first] = fires(row["cron_expression"], row["timezone"], 1)
        changes |= {key: row[key] for key in _TIMING} | {"next_run_at": first.isoformat()}
    [row] = caller.call(SQL["update_schedule"], {"id": id_, "changes": changes})
    return _detail(row)


def delete_schedule(caller: Caller, id_: UUID) -> None:
    """The schedule is gone, and its ledger."""
    caller.call(SQL["delete_schedule"], {"id": id_})


def preview(wanted: PreviewInput) -> PreviewOutput:
    """When a schedule would fire."""
    return PreviewOutput(next_fires=fires(wanted.cron_expression, wanted.timezone, wanted.count))


def list_occurrences(caller: Caller, id_: UUID, cursor: str | None, limit: int) -> Page[OccurrenceOutput]:
    """What became of a schedule's instants, newest first, a page at a time."""
    (before,) = read_cursor(cursor, datetime)
    rows = caller.call(SQL["list_occurrences"], {"schedule": id_, "before": before, "limit": limit + 1})
    return page_of(OccurrenceOutput, below(rows, "fire_at", "schedule"), limit, "fire_at")


def fires(expression: str, timezone: str, count: int, after: datetime | None = None) -> list[datetime]:
    """The next ``count`` instants; fewer when no more come. :class:`Invalid` names the field that is wrong."""
    found: list[datetime] = []
    at = after or datetime.now(UTC)
    try:
        for _ in range(count):
            at = next_fire(expression, timezone, at)
            found.append(at)
    except CronError as error:
        if not found:
            field = "timezone" if "time zone" in error.detail else "cron_expression"
            raise Invalid(
                error.detail, remedy=error.remedy, errors=[{"path": field, "message": error.detail}]
            ) from None
    return found


def _check_input(value: Any, largest: int) -> None:
    """Every run that the schedule starts holds it."""
    if (size := len(dump_json(value))) > largest:
        said = f"has {size} bytes as JSON; a schedule's may have {largest}"
        remedy = "Store it as an object first (POST /api/v1/storage/upload) and give its address."
        raise Invalid("The input is too large.", remedy=remedy, errors=[{"path": "input", "message": said}])


def _row(caller: Caller, id_: UUID) -> dict[str, Any]:
    return only(caller.call(SQL["read_schedule"], {"id": id_}), "schedule")


def _detail(row: dict[str, Any]) -> ScheduleDetail:
    coming = fires(row["cron_expression"], row["timezone"], SHOWN) if row["is_active"] else []
    return ScheduleDetail(**row, next_fires=coming)
