"""What Supabase Storage's objects did, out of our own table of events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from functions.storage_intake.change import Change
from shared import statements
from shared.database import Database
from shared.storage.names import key_of


def take(database: Database, numbers: Iterable[int]) -> list[Change]:
    """The changes in these rows, as far as they are due. Each is there until what it starts is started.

    One that is not ended is rung for again, and is given up when it was taken five times.
    """
    rows = database.call(statements.load("storage_intake")["take"], {"events": list(numbers)})
    return [_change(row) for row in rows]


def _change(row: dict[str, Any]) -> Change:
    removed = row["event"].startswith("ObjectRemoved:")
    return Change(
        bucket=row["bucket"],
        key=key_of(row["name"]),
        sequencer=row["sequencer"],
        removed=removed,
        size=row["size"],
        etag=row["etag"],
        version_id=None if removed else row["sequencer"],
        event=row["event"],
        time=row["stored_at"].astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        row=row["id"],
    )
