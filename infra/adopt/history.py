"""What the Supabase CLI needs to be told, so that ``supabase db push`` takes over after an adoption without complaint.

It compares versions only: one that its history has and the folder lacks stops it. So a file that both have needs
nothing, whatever its text was; a migration that the old project applied under another time stamp, and those that we
have no file for, need a command. Our own ledger keeps all of them, and so nothing needs the commands but that tool.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from infra.migrations import Row, State


@dataclass(frozen=True)
class Repair:
    """One ``supabase migration repair`` command and why."""

    versions: tuple[str, ...]
    reason: str

    @property
    def command(self) -> str:
        return f"supabase migration repair --status reverted {' '.join(self.versions)}"


def repairs(rows: Iterable[Row]) -> list[Repair]:
    """The commands that bring the history level with the folder ``supabase/migrations`` when all of ours is applied."""
    rows = list(rows)
    ours = {row.name: row for row in rows if row.state is not State.UNKNOWN}
    unknown = [row for row in rows if row.state is State.UNKNOWN]
    moved = [row for row in unknown if row.name in ours]
    foreign = [row for row in unknown if row.name not in ours]
    found: list[Repair] = []
    if moved:
        said = ", ".join(f"{row.name} is {ours[row.name].version} here" for row in moved)
        found.append(Repair(tuple(row.version for row in moved), said))
    if foreign:
        said = ", ".join(row.name or row.version for row in foreign)
        found.append(Repair(tuple(row.version for row in foreign), f"no file here: {said}"))
    return found
