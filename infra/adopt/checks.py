"""What must hold before anything is changed. Each refusal names what is wrong and what would help."""

from __future__ import annotations

import re
from collections.abc import Iterable

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infra import migrations
from infra.adopt.database import Connection, exists, table, text
from infra.migrations import Migration, State
from shared.errors import Conflict, Forbidden, Invalid

#: The oldest Postgres that our SQL runs on.
LEAST_VERSION = 160000

_FIRST_OF_OURS = "20260101"
_MAKES = re.compile(r"^create table (?P<name>(?:public|millrace)\.\w+) ", re.MULTILINE)


def server(version: int) -> None:
    """Refuse a Postgres that is too old; ``version`` is what the server calls ``server_version_num``."""
    if version < LEAST_VERSION:
        raise Invalid(
            f"This is Postgres {version // 10000}; Millrace needs {LEAST_VERSION // 10000} or later.",
            remedy="Upgrade the database first (Supabase: Project Settings, Infrastructure).",
        )


def address(url: str) -> None:
    """Refuse Supabase's pooler in transaction mode: a lock of the session and an index built concurrently need more."""
    parts = conninfo_to_dict(url)
    if str(parts.get("port")) == "6543" and str(parts.get("host", "")).endswith(".pooler.supabase.com"):
        raise Invalid(
            "This is the pooler in transaction mode, which keeps no session.",
            remedy="Use port 5432 of the pooler (session mode), or the direct address.",
        )


def old_system(connection: Connection) -> None:
    """Refuse a database that the old system never used."""
    missing = [
        name for name in ("user", "workflow", "workflownode", "connector") if not exists(connection, f'public."{name}"')
    ]
    if missing:
        raise Invalid(
            f"There is nothing to adopt: this database has no table {missing[0]!r}.",
            remedy="Look at MILLRACE_MIGRATION_URL. A new database needs only `millrace migrate up`.",
        )


def permission(connection: Connection) -> None:
    """Refuse a role that may not change the tables, pass by their row-level security, or make roles and schemas."""
    role = connection.execute(
        """
        select
            current_user as name,
            rolsuper or rolbypassrls as bypass,
            rolsuper or rolcreaterole as makes_roles,
            has_database_privilege(current_database(), 'create') as makes_schemas,
            to_regrole('millrace_api') is not null and to_regrole('millrace_engine') is not null as has_roles
        from pg_roles
        where rolname = current_user
        """
    ).fetchone()
    assert role is not None
    others = connection.execute(
        """
        select relname, pg_get_userbyid(relowner) as owner
        from pg_class
        where relnamespace = 'public'::regnamespace
            and relkind in ('r', 'p')
            and not pg_has_role(relowner, 'usage')
        order by relname
        """
    ).fetchall()
    lacks = []
    if others:
        names = ", ".join(row["relname"] for row in others[:5]) + (" …" if len(others) > 5 else "")
        lacks.append(f"may not change the tables of {others[0]['owner']} ({names})")
    if not role["bypass"]:
        lacks.append("does not pass by row-level security (bypassrls)")
    if not role["makes_roles"] and not role["has_roles"]:
        lacks.append("may not create roles")
    if not role["makes_schemas"]:
        lacks.append("may not create schemas in this database")
    if lacks:
        raise Forbidden(
            f"The role {role['name']} " + "; ".join(lacks) + ".",
            remedy="Connect as the role that owns the tables: on Supabase `postgres`, by a direct or session address.",
        )


def history(rows: Iterable[migrations.Row]) -> dict[str, State]:
    """Refuse a history that contradicts the files; else how each version stands."""
    states: dict[str, State] = {}
    for row in rows:
        if row.state is State.EDITED:
            raise Conflict(
                f"{row.version}_{row.name}.sql was edited after it was applied.",
                remedy="Restore the file, and put the change in a new migration.",
            )
        if row.state is State.LATE:
            raise Conflict(
                f"{row.version}_{row.name}.sql was added before a migration that is already applied.",
                remedy="Give it a time after the last applied migration.",
            )
        states[row.version] = row.state
    return states


def half_applied(connection: Connection, states: dict[str, State]) -> None:
    """Refuse a database that holds tables of a migration which its history does not know."""
    for migration in migrations.read():
        if migration.version < _FIRST_OF_OURS or states.get(migration.version) is not State.PENDING:
            continue
        made = [name for name in _MAKES.findall(migration.text) if exists(connection, name)]
        if made:
            raise Conflict(
                f"{migration.path.name} is half applied: there is {', '.join(made)}, though the history does not know "
                "that migration.",
                remedy="Drop what it made, if that holds nothing; or finish it by hand and record it with `supabase "
                f"migration repair --status applied {migration.version}`.",
            )


def shape(connection: Connection) -> None:
    """Refuse old tables that lack a column of ours or have one of another type.

    What they should be is what the inherited migrations make: they are run in a schema of their own, which is gone
    again at the end of the transaction, so that nothing here can differ from them.
    """
    found: list[str] = []
    with connection.transaction(force_rollback=True):
        connection.execute("create schema adopt_shape")
        for migration in migrations.read():
            if migration.version < _FIRST_OF_OURS:
                for statement in _tables(migration):
                    connection.execute(text(statement))
        rows = connection.execute(_DIFFERENCES).fetchall()
        for row in rows:
            what = f"is {row['actual']}, not {row['wanted']}" if row["actual"] else f"is missing ({row['wanted']})"
            found.append(f"{row['relname']}.{row['attname']} {what}")
    if found:
        raise Conflict(
            "The tables are not those of the old system as of December 2025: " + "; ".join(found[:10]) + ".",
            remedy="Bring that system to its last revision (c4cd6f5a4f64) first.",
            errors=[{"path": one.split(" ")[0], "message": one} for one in found],
        )


def _tables(migration: Migration) -> list[str]:
    """The statements that make tables and columns, in the schema ``adopt_shape``."""
    return [
        statement.replace("public.", "adopt_shape.")
        for statement in migration.statements
        if re.search(r"^(create table|alter table .* add column)", statement, re.MULTILINE)
    ]


#: Text of any length is text; what the old system's tables lack or have otherwise.
_DIFFERENCES = """
    select
        ours.relname,
        wanted.attname,
        format_type(wanted.atttypid, null) as wanted,
        format_type(actual.atttypid, null) as actual
    from pg_class as ours
    join pg_attribute as wanted on wanted.attrelid = ours.oid and wanted.attnum > 0 and not wanted.attisdropped
    join pg_class as theirs on theirs.relname = ours.relname and theirs.relnamespace = 'public'::regnamespace
    left join pg_attribute as actual
        on actual.attrelid = theirs.oid and actual.attname = wanted.attname and not actual.attisdropped
    where ours.relnamespace = 'adopt_shape'::regnamespace
        and ours.relkind = 'r'
        and (
            actual.attname is null and (ours.relname, wanted.attname) not in (
                ('connector', 'owner_id'), ('connector', 'is_platform'), ('connector', 'created_by')
            )
            or actual.atttypid <> wanted.atttypid
            and not (
                actual.atttypid in ('text'::regtype, 'varchar'::regtype)
                and wanted.atttypid in ('text'::regtype, 'varchar'::regtype)
            )
        )
    order by 1, 2
"""


def rows(connection: Connection) -> dict[str, int]:
    """How many rows each table of ``public`` has, counted."""
    names = connection.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1"
    ).fetchall()
    counts: dict[str, int] = {}
    for row in names:
        counted = connection.execute(sql.SQL("select count(*) as number from {}").format(table(row["relname"])))
        counts[row["relname"]] = (counted.fetchone() or {"number": 0})["number"]
    return counts
