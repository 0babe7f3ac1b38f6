"""What the catalogue says of our tables, and a row for any of them made from it: a new table is tested unasked."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from tests.cluster import Connection, User

#: The schemas that are ours.
SCHEMAS = ("public", "millrace")


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    required: bool  #: must be given on insert
    generated: bool
    parent: Table | None  #: the table it refers to
    words: tuple[str, ...]  #: what a check allows


@dataclass(frozen=True, order=True)
class Table:
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def tables(connection: Connection, *schemas: str) -> list[Table]:
    """Every table of these schemas (default: ours)."""
    rows = connection.execute(
        """
        select nspname as schema, relname as name
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        where nspname = any(%s)
            and relkind in ('r', 'p')
        order by nspname, relname
        """,
        [list(schemas or SCHEMAS)],
    )
    return [Table(row["schema"], row["name"]) for row in rows]


def columns(connection: Connection, table: Table) -> list[Column]:
    rows = connection.execute(
        """
        select
            attname as name,
            format_type(atttypid, null) as type,
            attnotnull and not atthasdef and attidentity = '' as required,
            attgenerated <> '' as generated,
            (
                select array[nspname, relname]
                from pg_constraint
                join pg_class on pg_class.oid = confrelid
                join pg_namespace on pg_namespace.oid = relnamespace
                where conrelid = attrelid and contype = 'f' and conkey = array[attnum]
                limit 1
            ) as parent,
            (
                select string_agg(pg_get_constraintdef(oid), ' ')
                from pg_constraint
                where conrelid = attrelid and contype = 'c' and conkey = array[attnum]
            ) as checks
        from pg_attribute
        where attrelid = format('%%I.%%I', %s::text, %s::text)::regclass
            and attnum > 0
            and not attisdropped
        order by attnum
        """,
        [table.schema, table.name],
    )
    return [
        Column(
            row["name"],
            row["type"],
            row["required"],
            row["generated"],
            Table(*row["parent"]) if row["parent"] else None,
            tuple(re.findall(r"'(\w[\w-]*)'::", row["checks"] or "")),
        )
        for row in rows
    ]


def primary_key(connection: Connection, table: Table) -> list[str]:
    rows = connection.execute(
        """
        select attname as name
        from pg_index
        join pg_attribute on attrelid = indrelid and attnum = any(indkey)
        where indrelid = format('%%I.%%I', %s::text, %s::text)::regclass
            and indisprimary
        order by array_position(indkey::smallint[], attnum)
        """,
        [table.schema, table.name],
    )
    return [row["name"] for row in rows]


#: Columns that say whose a row is.
OWNERS = ("owner_id", "user_id", "tenant_id")


@dataclass
class Rows:
    """Makes rows of any table for one user, parents first, each table once."""

    connection: Connection
    user: User
    made: dict[Table, dict[str, Any]] = field(default_factory=dict)

    def make(self, table: Table) -> dict[str, Any]:
        """This user's row of ``table``: its primary key."""
        if table not in self.made:
            self.made[table] = self._insert(table)
        return self.made[table]

    def _insert(self, table: Table) -> dict[str, Any]:
        if table == Table("public", "user"):
            return {"id": self.user.id}
        values = {
            column.name: self._value(column)
            for column in columns(self.connection, table)
            if (column.required or column.name in OWNERS) and not column.generated
        }
        key = primary_key(self.connection, table)
        statement = sql.SQL("insert into {} ({}) values ({}) returning {}").format(
            table.identifier,
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
            sql.SQL(", ").join(map(sql.Identifier, key)),
        )
        row = self.connection.execute(statement, values).fetchone()
        assert row is not None
        return row

    def _value(self, column: Column) -> Any:
        if column.name in OWNERS:
            return self.user.id
        if column.parent is not None:
            (value,) = self.make(column.parent).values()
            return value
        if column.words:
            return column.words[0]
        match column.type:
            case "uuid":
                return uuid.uuid4()
            case "bytea":
                return os.urandom(32)
            case "jsonb":
                return {}
            case "boolean":
                return True
            case "integer" | "bigint" | "smallint" | "double precision":
                return 1
            case "timestamp without time zone" | "timestamp with time zone" | "date":
                return "2026-01-01T00:00:00Z"
            case "text[]":
                return []
            case _:
                return uuid.uuid4().hex


def matching(key: dict[str, Any]) -> sql.Composed:
    """A condition on a primary key, with its values as parameters of the same names."""
    return sql.SQL(" and ").join(sql.SQL("{} = {}").format(sql.Identifier(n), sql.Placeholder(n)) for n in key)
