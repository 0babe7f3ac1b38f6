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


def faults(connection: Connection[Any]) -> dict[str, str]:
    """Which triggers are not there, or are switched off, by name."""
    present = _present(connection)
    missing = {name: "is not there" for name in TRIGGERS if name not in present}
    return missing | {name: "is switched off" for name, (_, enabled) in present.items() if not enabled}


def install(connection: Connection[Any], buckets: Iterable[Bucket], *, change: bool = True) -> dict[str, str]:
    """Put the triggers there, or make them what they should be; all or none. What was done to which, by name.

    With ``change`` off it is done and undone, so that it can be said. Writers of the table wait meanwhile, some
    milliseconds. Raises psycopg's error when the role may not, when the migrations' function is not there, and when the
    table is held for more than ten seconds.
    """
    ours = sql.SQL(", ").join(sql.Literal(bucket.name) for bucket in buckets)
    with connection.transaction(force_rollback=not change):
        connection.execute("set local lock_timeout = '10s'")
        before = _present(connection)
        for name, (event, condition) in TRIGGERS.items():
            connection.execute(
                sql.SQL(
                    "create or replace trigger {} {} on storage.objects for each row when ({}) "
                    "execute function millrace.note_stored()"
                ).format(sql.Identifier(name), sql.SQL(event), sql.SQL(condition).format(ours=ours))
            )
        after = _present(connection)
    return {
        name: "created" if name not in before else "made what it should be"
        for name in TRIGGERS
        if before.get(name) != after[name]
    }


def _present(connection: Connection[Any]) -> dict[str, tuple[str, bool]]:
    """Definition, and whether it is switched on, by name."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(_PRESENT, [list(TRIGGERS)]).fetchall()
    return {name: (definition, enabled) for name, definition, enabled in rows}
