"""What the models of every HTTP face share: input that refuses unknown fields, partial changes, and pages."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.errors import Invalid


class Input(BaseModel):
    """What a caller sends: an unknown field is a mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Patch(Input):
    """A partial change: only the fields that are sent change. Null is for fields named in ``nullable``."""

    nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _no_null_by_accident(self) -> Self:
        wrong = [
            name for name in self.model_fields_set if getattr(self, name) is None and name not in type(self).nullable
        ]
        if wrong:
            raise ValueError(f"{', '.join(sorted(wrong))} cannot be null; leave out what is not to change")
        return self

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)


class Output(BaseModel):
    """What a caller is told, made from a row: columns that are not named here stay here."""

    model_config = ConfigDict(extra="ignore")


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A part of a list. ``next`` is the ``cursor`` of the part that follows; null at the end."""

    items: list[T]
    next: str | None = None


Limit = Annotated[int, Field(ge=1, le=200, description="At most this many.")]
Cursor = Annotated[str, Field(max_length=500, description="Where to go on: `next` of the page before.")]


def write_cursor(*place: object) -> str:
    """An opaque word for a place in a list: the sort keys of its last row."""
    text = json.dumps([value.isoformat() if isinstance(value, datetime) else value for value in place], default=str)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, *kinds: type) -> tuple[Any, ...]:
    """The sort keys in ``cursor``, as these kinds (str, int, datetime, UUID); as many Nones when there is no cursor.

    Raises :class:`Invalid` for anything that :func:`write_cursor` did not write.
    """
    if cursor is None:
        return (None,) * len(kinds)
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(place, list) or len(place) != len(kinds):
            raise ValueError("not a place")
        return tuple(
            datetime.fromisoformat(value) if kind is datetime else kind(value)
            for kind, value in zip(kinds, place, strict=True)
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Invalid(
            "The cursor is not one of ours.", errors=[{"path": "query.cursor", "message": "is not `next` of a page"}]
        ) from None


def page_of(model: type[T], rows: list[dict[str, Any]], limit: int, *keys: str) -> Page[T]:
    """The page that ``rows`` make, of which one more than ``limit`` was asked for; ``keys`` are the sort columns."""
    shown = rows[:limit]
    following = write_cursor(*(shown[-1][key] for key in keys)) if len(rows) > limit else None
    return Page[model](items=[model(**row) for row in shown], next=following)  # type: ignore[valid-type]
