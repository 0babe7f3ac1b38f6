"""The worked example of a capability."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from shared.models.api import Input, Output, Patch
from shared.models.base import Row


class ItemRow(Row):
    """A title and a description, and whose they are."""

    table = "item"

    id: UUID
    title: str
    description: str | None
    owner_id: UUID


class ItemInput(Input):
    """A new item."""

    title: str = Field(min_length=1, max_length=255, examples=["Buy millstones"])
    description: str | None = Field(default=None, max_length=255, examples=["Two, of basalt"])


class ItemPatch(Patch):
    """What changes in an item."""

    nullable: ClassVar[frozenset[str]] = frozenset({"description"})

    title: str | None = Field(default=None, min_length=1, max_length=255, examples=["Buy millstones"])
    description: str | None = Field(default=None, max_length=255, examples=["Three"])


class ItemOutput(Output):
    """An item."""

    id: UUID
    title: str
    description: str | None
