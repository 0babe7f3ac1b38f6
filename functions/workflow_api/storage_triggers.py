"""Storage triggers: an object that is stored or removed starts a workflow."""

from __future__ import annotations

from uuid import UUID

from functions.workflow_api.filters import check_filter
from functions.workflow_api.listing import below, only
from shared import statements
from shared.ids import uuid7
from shared.models.api import Page, page_of, read_cursor
from shared.models.storage import StorageTriggerInput, StorageTriggerOutput, StorageTriggerPatch
from shared.tenant import Caller

SQL = statements.load("workflow_api")


def list_storage_triggers(
    caller: Caller, workflow_id: UUID, cursor: str | None, limit: int
) -> Page[StorageTriggerOutput]:
    """A workflow's storage triggers, a page at a time."""
    (after,) = read_cursor(cursor, UUID)
    rows = caller.call(SQL["list_storage_triggers"], {"workflow": workflow_id, "after": after, "limit": limit + 1})
    return page_of(StorageTriggerOutput, below(rows, "id", "workflow"), limit, "id")


def create_storage_trigger(
    caller: Caller, workflow_id: UUID, new: StorageTriggerInput, most: int
) -> StorageTriggerOutput:
    """A new storage trigger, of ``most`` for one bucket. It hears only of objects under the caller's own folder."""
    check_filter(new.filter_expression)
    [row] = caller.call(
        SQL["create_storage_trigger"],
        {"id": uuid7(), "workflow": workflow_id, "new": new.model_dump(mode="json"), "most": most},
    )
    return StorageTriggerOutput(**row)


def read_storage_trigger(caller: Caller, id_: UUID) -> StorageTriggerOutput:
    """One storage trigger."""
    return StorageTriggerOutput(**only(caller.call(SQL["read_storage_trigger"], {"id": id_}), "storage trigger"))


def update_storage_trigger(caller: Caller, id_: UUID, patch: StorageTriggerPatch) -> StorageTriggerOutput:
    """The storage trigger with its changes."""
    check_filter(patch.filter_expression)
    [row] = caller.call(SQL["update_storage_trigger"], {"id": id_, "changes": patch.changes()})
    return StorageTriggerOutput(**row)


def delete_storage_trigger(caller: Caller, id_: UUID) -> None:
    """The storage trigger is gone."""
    caller.call(SQL["delete_storage_trigger"], {"id": id_})
