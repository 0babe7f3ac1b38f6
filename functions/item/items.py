"""Items: the least a capability can be. Functions take a caller and models, return models, and know no HTTP."""

from __future__ import annotations

from uuid import UUID

from shared import statements
from shared.errors import NotFound
from shared.ids import uuid7
from shared.models.api import Page, page_of, read_cursor
from shared.models.item import ItemInput, ItemOutput, ItemPatch
from shared.tenant import Caller

SQL = statements.load("item")


def list_items(caller: Caller, cursor: str | None, limit: int) -> Page[ItemOutput]:
    """The caller's items, a page at a time."""
    (after,) = read_cursor(cursor, UUID)
    rows = caller.call(SQL["list_items"], {"after": after, "limit": limit + 1})
    return page_of(ItemOutput, rows, limit, "id")


def create_item(caller: Caller, new: ItemInput) -> ItemOutput:
    """A new item of the caller's."""
    [row] = caller.call(SQL["create_item"], {"id": uuid7(), **new.model_dump()})
    return ItemOutput(**row)


def read_item(caller: Caller, id_: UUID) -> ItemOutput:
    """One item, or :class:`NotFound`."""
    return _one(caller.call(SQL["read_item"], {"id": id_}))


def update_item(caller: Caller, id_: UUID, patch: ItemPatch) -> ItemOutput:
    """The item with its changes, or :class:`NotFound`."""
    return _one(caller.call(SQL["update_item"], {"id": id_, "changes": patch.changes()}))


def delete_item(caller: Caller, id_: UUID) -> None:
    """Nothing, or :class:`NotFound`."""
    if not caller.call(SQL["delete_item"], {"id": id_}):
        raise NotFound("There is no such item, or it is not yours.")


def _one(rows: list[dict[str, object]]) -> ItemOutput:
    if not rows:
        raise NotFound("There is no such item, or it is not yours.")
    return ItemOutput.model_validate(rows[0])
