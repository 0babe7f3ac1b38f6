"""The triggers on ``storage.objects`` that tell us of stored files.

A step of provisioning and not a migration, for the table is Supabase's: it belongs to ``supabase_storage_admin`` and is
not there on a plain Postgres. What ``postgres`` may do with it: since April 2025 it can make no tables, functions or
indexes in that schema, but "database triggers" on ``storage.objects`` are expressly left to it (Supabase, "Restricting
access on auth, storage and realtime schemas", changelog 34270). In Postgres's words it holds the TRIGGER privilege,
which is all that ``create or replace trigger`` asks for, and not ownership, which ``drop trigger`` would. So we replace
and never drop. The function that they call is our own, from the migrations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import tuple_row

from infra.buckets import Bucket

#: Name to event and condition; ``{ours}`` becomes the list of our buckets.
TRIGGERS: dict[str, tuple[str, str]] = {
    "millrace_stored": (
        "after insert",
        "new.metadata is not null and new.bucket_id in ({ours})",
    ),
    # Also written when an object is read, or given metadata of the user's: that is no new version.
    "millrace_replaced": (
        "after update of bucket_id, name, version, metadata",
        "(new.bucket_id in ({ours}) or old.bucket_id in ({ours})) and "
        "(new.bucket_id, new.name, new.version, new.metadata ->> 'eTag') is distinct from "
        "(old.bucket_id, old.name, old.version, old.metadata ->> 'eTag')",
    ),
    "millrace_removed": (
        "after delete",
        "old.bucket_id in ({ours})",
    ),
}

_PRESENT = """
    select tgname, pg_get_triggerdef(oid), tgenabled <> 'D'
    from pg_catalog.pg_trigger
    where tgrelid = to_regclass('storage.objects')
        and not tgisinternal
        and tgname = any (%s)
"""


def has_storage(connection: Connection[Any]) -> bool:
    """Whether this database is one that Supabase's Storage keeps its tables in."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute("select to_regclass('storage.objects') is not null").fetchone()
        return bool(row and row[0])


def disabled(connection: Connection[Any]) -> list[str]:
    """The names of our triggers that somebody switched off; only the table's owner can switch them on again."""
    return sorted(name for name, _, enabled in _present(connection) if not enabled)


def missing(connection: Connection[Any]) -> list[str]:
    """The names of the triggers that are not there."""
    present = {name for name, _, _ in _present(connection)}
    return [name for name in TRIGGERS if name not in present]


def install(connection: Connection[Any], buckets: Iterable[Bucket]) -> list[str]:
    """Put the triggers there, or make them what they should be; all or none. The names of those that changed.

    Raises psycopg's error when the role may not, or when the function of the migrations is not there.
    """
    ours = sql.SQL(", ").join(sql.Literal(bucket.name) for bucket in buckets)
    with connection.transaction():
        before = {name: definition for name, definition, _ in _present(connection)}
        for name, (event, condition) in TRIGGERS.items():
            connection.execute(
                sql.SQL(
                    "create or replace trigger {} {} on storage.objects for each row when ({}) "
                    "execute function millrace.note_stored()"
                ).format(sql.Identifier(name), sql.SQL(event), sql.SQL(condition).format(ours=ours))
            )
        after = {name: definition for name, definition, _ in _present(connection)}
    return [name for name in TRIGGERS if before.get(name) != after.get(name)]


def _present(connection: Connection[Any]) -> list[tuple[str, str, bool]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(_PRESENT, [list(TRIGGERS)]).fetchall()
