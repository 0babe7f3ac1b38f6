"""Connections, identifiers and waiting, as every step of an adoption has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from infra.migrations import Patience

Connection = psycopg.Connection[dict[str, Any]]

#: Rows that one transaction changes.
BATCH = 2000


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """An autocommit connection with dict rows that keeps its session."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None, row_factory=dict_row) as connection:
        # Hosted Postgres often ends statements after two minutes; building an index may take longer.
        connection.execute("select set_config('statement_timeout', '0', false)")
        yield connection


def text(statement: str) -> sql.SQL:
    """A statement from a constant or from a migration's file, never from data."""
    return sql.SQL(statement)


def table(name: str) -> sql.Identifier:
    """A table of ``public``."""
    return sql.Identifier("public", name)


def exists(connection: Connection, name: str) -> bool:
    """Whether there is a relation of this name, given as ``schema.name``."""
    row = connection.execute("select to_regclass(%s) is not null as there", [name]).fetchone()
    return bool(row and row["there"])


def has_column(connection: Connection, name: str, column: str) -> bool:
    """Whether the table, given as ``schema.name``, has this column."""
    row = connection.execute(
        "select 1 from pg_attribute where attrelid = to_regclass(%s) and attname = %s and not attisdropped",
        [name, column],
    ).fetchone()
    return row is not None


def change(connection: Connection, patience: Patience, *statements: sql.SQL | sql.Composed) -> None:
    """These statements in one transaction that waits for locks briefly and comes again."""

    def act() -> None:
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", [f"{patience.lock_seconds * 1000:.0f}ms"])
            for statement in statements:
                connection.execute(statement)

    patience.act(act)
