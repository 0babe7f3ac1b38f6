"""The base of every row model, and the types their columns share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict

Json = Any  #: what ``json.loads`` gives


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


#: A moment, always aware and in UTC. The columns without zone that we inherit hold UTC, so a naive value is UTC.
UtcDatetime = Annotated[datetime, AfterValidator(_as_utc)]


class Row(BaseModel):
    """A row as the database gives it.

    Nothing is bounded here: a row may be older than today's limits. A column that is not known yet is left out, because
    migrations run before the code that knows them. What only the engine may see is neither shown nor serialised.
    """

    # Built when first used: a cold start imports more models than its request needs.
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    table: ClassVar[str]  #: the table's name in ``public``
