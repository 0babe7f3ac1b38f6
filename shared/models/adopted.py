"""What only the system we adopt used; the tables stay."""

from __future__ import annotations

from shared.models.base import Row


class AlembicVersionRow(Row):
    """Where the old migration tool stopped."""

    table = "alembic_version"

    version_num: str
