"""Routes of schedules."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from functions.workflow_api import schedules
from functions.workflow_api.routes import PageCursor, PageLimit, Reader, Writer
from functions.workflow_api.settings import input_bytes
from shared.models.api import Page
from shared.models.schedule import (
    OccurrenceOutput,
    PreviewInput,
    PreviewOutput,
    ScheduleDetail,
    ScheduleInput,
    ScheduleOutput,
    SchedulePatch,
)
from shared.web import StrictRoute, problems

router = APIRouter(route_class=StrictRoute, tags=["schedules"])


@router.post("/schedules/preview", summary="Preview a schedule")
def preview(caller: Reader, wanted: PreviewInput) -> PreviewOutput:
    """When it would fire next. Nothing is saved."""
    return schedules.preview(wanted)


@router.get("/{workflow_id}/schedules", summary="List a workflow's schedules", responses=problems(404))
def list_schedules(
    caller: Reader, workflow_id: UUID, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[ScheduleOutput]:
    """The workflow's schedules; `@trigger` is the one that its trigger_config asks for."""
    return schedules.list_schedules(caller, workflow_id, cursor, limit)


@router.post("/{workflow_id}/schedules", status_code=201, summary="Create a schedule", responses=problems(404))
def create_schedule(caller: Writer, workflow_id: UUID, new: ScheduleInput, response: Response) -> ScheduleDetail:
    """A new schedule, from now on."""
    made = schedules.create_schedule(caller, workflow_id, new, input_bytes=input_bytes())
    response.headers["location"] = f"/api/v1/workflows/schedules/{made.id}"
    return made


@router.get("/schedules/{schedule_id}", summary="Read a schedule", responses=problems(404))
def read_schedule(caller: Reader, schedule_id: UUID) -> ScheduleDetail:
    """One schedule and when it fires next."""
    return schedules.read_schedule(caller, schedule_id)


@router.patch("/schedules/{schedule_id}", summary="Change a schedule", responses=problems(404))
def update_schedule(caller: Writer, schedule_id: UUID, patch: SchedulePatch) -> ScheduleDetail:
    """Only the fields that are sent change. After another time, or on waking, it fires from now on."""
    return schedules.update_schedule(caller, schedule_id, patch, input_bytes=input_bytes())


@router.delete("/schedules/{schedule_id}", status_code=204, summary="Delete a schedule", responses=problems(404))
def delete_schedule(caller: Writer, schedule_id: UUID) -> None:
    """The schedule is gone, with its ledger."""
    schedules.delete_schedule(caller, schedule_id)


@router.get("/schedules/{schedule_id}/occurrences", summary="List a schedule's instants", responses=problems(404))
def list_occurrences(
    caller: Reader, schedule_id: UUID, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[OccurrenceOutput]:
    """What became of each instant, newest first: started, skipped or failed."""
    return schedules.list_occurrences(caller, schedule_id, cursor, limit)
