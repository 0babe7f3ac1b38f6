"""The HTTP face of items: typed input, one call, typed output."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from functions.item import items
from shared.models.api import Cursor, Limit, Page
from shared.models.item import ItemInput, ItemOutput, ItemPatch
from shared.scopes import Scope
from shared.tenant import Tenant
from shared.web import StrictRoute, allow, asgi_handler, create_app, problems

router = APIRouter(route_class=StrictRoute, tags=["items"])

Reader = Annotated[Tenant, allow(Scope.ITEMS_READ)]
Writer = Annotated[Tenant, allow(Scope.ITEMS_WRITE)]


@router.get("", summary="List items")
def list_items(
    caller: Reader, cursor: Annotated[Cursor | None, Query()] = None, limit: Annotated[Limit, Query()] = 50
) -> Page[ItemOutput]:
    """The caller's items, a page at a time."""
    return items.list_items(caller, cursor, limit)


@router.post("", status_code=201, summary="Create an item")
def create_item(caller: Writer, new: ItemInput) -> ItemOutput:
    """A new item of the caller's."""
    return items.create_item(caller, new)


@router.get("/{item_id}", summary="Read an item", responses=problems(404))
def read_item(caller: Reader, item_id: UUID) -> ItemOutput:
    """One item."""
    return items.read_item(caller, item_id)


@router.patch("/{item_id}", summary="Change an item", responses=problems(404))
def update_item(caller: Writer, item_id: UUID, patch: ItemPatch) -> ItemOutput:
    """Only the fields that are sent change."""
    return items.update_item(caller, item_id, patch)


@router.delete("/{item_id}", status_code=204, summary="Delete an item", responses=problems(404))
def delete_item(caller: Writer, item_id: UUID) -> None:
    """The item is gone at once."""
    items.delete_item(caller, item_id)


app = create_app("Items", "/api/v1/items", router, description="A tenant's items: the worked example of a capability.")
handler = asgi_handler(app)
