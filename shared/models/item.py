"""The worked example of a capability."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Row


class ItemRow(Row):
    """A title and a description, and whose they are."""

    table = "item"

    id: UUID
    title: str
    description: str | None
    owner_id: UUID
