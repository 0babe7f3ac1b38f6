"""What the lists of this API share: rows of a thing that hangs on another one."""

from __future__ import annotations

from typing import Any

from shared.errors import NotFound


def only(rows: list[dict[str, Any]], what: str) -> dict[str, Any]:
    """The one row, or :class:`NotFound`: another tenant's row and no row look the same."""
    if not rows:
        raise NotFound(f"There is no such {what}, or it is not yours.")
    return rows[0]


def below(rows: list[dict[str, Any]], key: str, what: str) -> list[dict[str, Any]]:
    """The rows under a parent, from a left join: none when the parent has none, :class:`NotFound` without a parent."""
    only(rows, what)
    return [row for row in rows if row[key] is not None]
