"""Routes of storage triggers."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from functions.workflow_api import storage_triggers
from functions.workflow_api.routes import PageCursor, PageLimit, Reader, Writer
from functions.workflow_api.settings import storage_triggers_most
from shared.models.api import Page
from shared.models.storage import StorageTriggerInput, StorageTriggerOutput, StorageTriggerPatch
from shared.web import StrictRoute, problems

router = APIRouter(route_class=StrictRoute, tags=["storage triggers"])


@router.get("/{workflow_id}/storage-triggers", summary="List a workflow's storage triggers", responses=problems(404))
def list_storage_triggers(
    caller: Reader, workflow_id: UUID, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[StorageTriggerOutput]:
    """The workflow's storage triggers."""
    return storage_triggers.list_storage_triggers(caller, workflow_id, cursor, limit)


@router.post(
    "/{workflow_id}/storage-triggers", status_code=201, summary="Create a storage trigger", responses=problems(404, 409)
)
def create_storage_trigger(
    caller: Writer, workflow_id: UUID, new: StorageTriggerInput, response: Response
) -> StorageTriggerOutput:
    """Each object stored under `<your user id>/<prefix>…<suffix>` (or removed, as `events` says) starts a run."""
    made = storage_triggers.create_storage_trigger(caller, workflow_id, new, storage_triggers_most())
    response.headers["location"] = f"/api/v1/workflows/storage-triggers/{made.id}"
    return made


@router.get("/storage-triggers/{trigger_id}", summary="Read a storage trigger", responses=problems(404))
def read_storage_trigger(caller: Reader, trigger_id: UUID) -> StorageTriggerOutput:
    """One storage trigger."""
    return storage_triggers.read_storage_trigger(caller, trigger_id)


@router.patch("/storage-triggers/{trigger_id}", summary="Change a storage trigger", responses=problems(404))
def update_storage_trigger(caller: Writer, trigger_id: UUID, patch: StorageTriggerPatch) -> StorageTriggerOutput:
    """Only the fields that are sent change."""
    return storage_triggers.update_storage_trigger(caller, trigger_id, patch)


@router.delete(
    "/storage-triggers/{trigger_id}", status_code=204, summary="Delete a storage trigger", responses=problems(404)
)
def delete_storage_trigger(caller: Writer, trigger_id: UUID) -> None:
    """The storage trigger is gone."""
    storage_triggers.delete_storage_trigger(caller, trigger_id)
