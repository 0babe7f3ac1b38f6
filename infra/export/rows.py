"""Tables as JSON, in the order of their primary keys, from any row on; read as a stream, however large.

Which tables there are, and whose a row is, is asked of the database: a table that is added later is exported unasked.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

#: What opens nothing without our keys, or stands for a token: of no use elsewhere.
LEFT_OUT = {"public.secret": ("nonce", "ciphertext"), "public.apitoken": ("token_hash",)}

#: About as much as is kept in memory of one table.
_BATCH_BYTES = 8 * 1024 * 1024

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Table:
    """A table, its primary key with types, and the column that says whose a row is."""

    schema: str
    name: str
    key: tuple[tuple[str, str], ...]
    owner: str | None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def tables(connection: Connection) -> list[Table]:
    """Every table of ``public`` and ``millrace``."""
    rows = connection.execute(
        """
        select
            nspname,
            relname,
            (
                select array_agg(
                    array[attname, format_type(atttypid, null)]
                    order by array_position(indkey::smallint[], attnum)
                )
                from pg_index
                join pg_attribute on attrelid = indrelid and attnum = any(indkey)
                where indrelid = pg_class.oid
                    and indisprimary
            ) as key,
            exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'owner_id') as owned
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        where nspname in ('public', 'millrace')
            and relkind in ('r', 'p')
            and not relispartition
        order by nspname desc, relname
        """
    ).fetchall()
    found = []
    for schema, name, key, owned in rows:
        owner = "id" if (schema, name) == ("public", "user") else "owner_id" if owned else None
        found.append(Table(schema, name, tuple((column, kind) for column, kind in key or ()), owner))
    return found


def read(connection: Connection, table: Table, owner: uuid.UUID | None, after: dict[str, Any] | None) -> Iterator[str]:
    """Each row as one line of JSON: all, or ``owner``'s; those after the one whose JSON is ``after``."""
    conditions: list[sql.Composable] = []
    values: list[Any] = []
    if owner is not None:
        conditions.append(sql.SQL("held.{} = %s").format(sql.Identifier(table.owner or "owner_id")))
        values.append(owner)
    columns = sql.SQL(", ").join(sql.SQL("held.{}").format(sql.Identifier(column)) for column, _ in table.key)
    if after is not None and table.key:
        marks = sql.SQL(", ").join(sql.SQL("%s::" + kind) for _, kind in table.key)
        conditions.append(sql.SQL("({}) > ({})").format(columns, marks))
        values += [str(after[column]) for column, _ in table.key]
    left_out = sql.SQL(" - {}::text[]").format(sql.Literal(list(LEFT_OUT.get(str(table), ()))))
    query = sql.SQL("select (to_jsonb(held){left_out})::text from {table} as held{where}{order}").format(
        left_out=left_out,
        table=sql.Identifier(table.schema, table.name),
        where=sql.SQL(" where ") + sql.SQL(" and ").join(conditions) if conditions else sql.SQL(""),
        order=sql.SQL(" order by {}").format(columns) if table.key else sql.SQL(""),
    )
    with connection.transaction(), connection.cursor("export") as cursor:
        cursor.execute(query, values)
        number = 16
        while batch := cursor.fetchmany(number):
            size = 0
            for (line,) in batch:
                size += len(line)
                yield line
            if size > _BATCH_BYTES:
                number = max(1, number // 2)
            elif size < _BATCH_BYTES // 4:
                number = min(4096, number * 2)
