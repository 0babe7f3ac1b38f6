"""Does beforehand, without long locks, what the migrations would do with them on a large and busy database.

A migration is one transaction: in it, building an index on millions of rows keeps writers out for as long, and what it
locked first stays locked. Everything here is read from the migrations themselves, so that it cannot differ from them:
each column that they add to an inherited table, one short transaction each; the owners, a page of rows at a time; each
index, concurrently. The migrations then find their work done (``if not exists``, ``where owner_id is null``). All of it
may be repeated: an index whose building was interrupted is dropped and built again.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg import sql

from infra import migrations
from infra.adopt.database import BATCH, Connection, change, exists, has_column, table, text
from infra.migrations import Patience, State

#: The migration that gives every row its owner.
OWNERS = "20261122100100"

_COLUMN = re.compile(
    r'alter table (public\.(?P<table>"?\w+"?))\s+add column if not exists (?P<column>\w+) (?P<rest>[^,;]+)$'
)
_INDEX = re.compile(
    r"create (?P<unique>unique )?index if not exists (?P<name>\w+)\s+on public\.(?P<table>\"?\w+\"?) "
    r"\((?P<columns>[^;]*)$",
    re.DOTALL,
)
_BACKFILL = re.compile(
    r"update public\.(?P<table>\w+) as row\s+set owner_id = (?P<source>parent|owner)\.(?P<owned>owner_id|id)\s+"
    r'from public\.(?P<parent>"?\w+"?) as (?P=source)\s+where row\.owner_id is null and (?P<join>[^;]+)$'
)
_DROPPED = re.compile(r"drop index if exists public\.(\w+)")
_COMMENT = re.compile(r"^\s*--[^\n]*\n?", re.MULTILINE)

#: Unique constraints on the very columns of an index.
_SAME_KEY = """
    select conname
    from pg_constraint
    join pg_index on indexrelid = to_regclass(%(fresh)s)
    where conrelid = indrelid
        and contype = 'u'
        and conkey = string_to_array(indkey::text, ' ')::smallint[]
"""


@dataclass(frozen=True)
class Column:
    """A column that a migration adds to an inherited table."""

    table: str
    name: str
    statement: str


@dataclass(frozen=True)
class Index:
    """An index that a migration builds on an inherited table."""

    table: str
    name: str
    unique: bool
    columns: str  #: the rest of the statement after the opening parenthesis

    @property
    def concurrent(self) -> str:
        unique = "unique " if self.unique else ""
        return f"create {unique}index concurrently if not exists {self.name} on public.{self.table} ({self.columns}"


@dataclass(frozen=True)
class Backfill:
    """How rows of one table find their owner."""

    table: str
    source: str
    owned: str
    parent: str
    join: str


@dataclass(frozen=True)
class Work:
    """What can be done beforehand in this database."""

    columns: tuple[Column, ...]
    backfills: tuple[Backfill, ...]
    indexes: tuple[Index, ...]

    def __bool__(self) -> bool:
        return bool(self.columns or self.indexes)


def _statements(*versions: str) -> Iterator[str]:
    for migration in migrations.read():
        if migration.version in versions:
            yield from (_COMMENT.sub("", statement).strip() for statement in migration.statements)


def _baseline() -> tuple[str, ...]:
    return tuple(migration.version for migration in migrations.read() if migration.version < "20260101")


def survey(connection: Connection, states: dict[str, State]) -> Work:
    """What of it is still to do. Nothing when the owners' migration is applied: it did the same."""
    if states.get(OWNERS) is State.APPLIED:
        return Work((), (), ())
    statements = list(_statements(*_baseline(), OWNERS))
    dropped = {name for statement in statements for name in _DROPPED.findall(statement)}
    columns: list[Column] = []
    backfills: list[Backfill] = []
    indexes: list[Index] = []
    for statement in statements:
        if match := _COLUMN.fullmatch(statement):
            column = Column(match["table"], match["column"], statement)
            if exists(connection, f"public.{column.table}") and not has_column(
                connection, f"public.{column.table}", column.name
            ):
                columns.append(column)
        elif match := _BACKFILL.fullmatch(statement):
            backfill = Backfill(match["table"], match["source"], match["owned"], match["parent"], match["join"])
            if exists(connection, f"public.{backfill.table}") and exists(connection, f"public.{backfill.parent}"):
                backfills.append(backfill)
        elif match := _INDEX.fullmatch(statement):
            index = Index(match["table"], match["name"], bool(match["unique"]), match["columns"])
            if (
                index.name not in dropped
                and exists(connection, f"public.{index.table}")
                and _standing(connection, index.name) != (True, index.unique)
            ):
                indexes.append(index)
    return Work(tuple(columns), tuple(backfills), tuple(indexes))


def add(connection: Connection, column: Column, patience: Patience) -> None:
    """Add a column, in a transaction of its own."""
    change(connection, patience, text(column.statement))


def fill(connection: Connection, backfill: Backfill, progress: Callable[[int], None]) -> int:
    """Give the rows of one table their owners, a page of them at a time; how many were given one."""
    statement = sql.SQL(
        """
        update {table} as row
        set owner_id = {source}.{owned}
        from {parent} as {source}
        where row.id = any(%(ids)s)
            and row.owner_id is null
            and {source}.{owned} is not null
            and {join}
        """
    ).format(
        table=table(backfill.table),
        source=sql.Identifier(backfill.source),
        owned=sql.Identifier(backfill.owned),
        parent=text(f"public.{backfill.parent}"),
        join=text(backfill.join),
    )
    # By their ids, so that the plan does not depend on what the planner thinks of a page.
    page = sql.SQL("select id from {} where id > %s order by id limit %s").format(table(backfill.table))
    lacking = sql.SQL("select exists (select from {} where owner_id is null) as some").format(table(backfill.table))
    some = connection.execute(lacking).fetchone()
    if not some or not some["some"]:
        return 0
    filled, after = 0, uuid.UUID(int=0)
    while True:
        ids = [row["id"] for row in connection.execute(page, [after, BATCH])]
        if not ids:
            return filled
        filled += connection.execute(statement, {"ids": ids}).rowcount
        after = ids[-1]
        progress(filled)


def build(connection: Connection, index: Index, patience: Patience) -> None:
    """Build an index while the table is written to.

    What an interrupted building left is dropped first. In one of the old system's two forms a unique key is a
    constraint with a plain index of this name beside it: the unique index takes the place of both.
    """
    fresh = f"{index.name}_adopted"
    if _standing(connection, fresh) is not None:
        connection.execute(sql.SQL("drop index concurrently {}").format(table(fresh)))
    standing = _standing(connection, index.name)
    if standing is not None and not standing[0]:
        connection.execute(sql.SQL("drop index concurrently {}").format(table(index.name)))
        standing = None
    if standing is None:
        connection.execute(text(index.concurrent))
        return
    connection.execute(text(Index(index.table, fresh, index.unique, index.columns).concurrent))
    change(
        connection,
        patience,
        *(
            sql.SQL("alter table {} drop constraint {}").format(
                table(index.table.strip('"')), sql.Identifier(row["conname"])
            )
            for row in connection.execute(_SAME_KEY, {"fresh": f"public.{fresh}"}).fetchall()
        ),
        sql.SQL("drop index {}").format(table(index.name)),
        sql.SQL("alter index {} rename to {}").format(table(fresh), sql.Identifier(index.name)),
    )


def _standing(connection: Connection, name: str) -> tuple[bool, bool] | None:
    """Whether the index is valid and whether it is unique; None when there is none."""
    row = connection.execute(
        "select indisvalid as valid, indisunique as unique from pg_index where indexrelid = to_regclass(%s)",
        [f"public.{name}"],
    ).fetchone()
    return None if row is None else (row["valid"], row["unique"])
