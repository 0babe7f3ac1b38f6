"""What callers send and are told about items."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from shared.models.api import In, Out, Patch


class ItemIn(In):
    """A new item."""

    title: str = Field(min_length=1, max_length=255, examples=["Buy millstones"])
    description: str | None = Field(default=None, max_length=255)


class ItemPatch(Patch):
    """What changes in an item."""

    nullable: ClassVar[frozenset[str]] = frozenset({"description"})

    title: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=255)


class ItemOut(Out):
    """An item."""

    id: UUID
    title: str
    description: str | None
