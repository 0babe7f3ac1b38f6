"""A database of the system we replace is adopted as it is: same tables, same rows, and then as safe as a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra import migrations
from infra.migrations import State
from tests.cluster import Connection, TestDatabase
from tests.sql.catalogue import tables

OLD_DATABASE = Path(__file__).with_name("old_database.sql")

ADA = UUID("a0000000-0000-4000-8000-000000000001")

#: What the old project's own history held beside the files we share with it.
FOREIGN_HISTORY = [
    ("20251214221103", "add_missing_indexes_and_optimizations"),
    ("20260101000000", "move_to_another_sign_in"),
]


@pytest.fixture
def old(blank: TestDatabase) -> TestDatabase:
    blank.owner.execute(OLD_DATABASE.read_bytes())
    return blank


def with_history(database: TestDatabase) -> None:
    """The ledger as the Supabase CLI left it there: the named files under their versions, with other text."""
    database.owner.execute("create schema supabase_migrations")
    database.owner.execute(
        "create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text)"
    )
    shared = [(m.version, m.name) for m in migrations.read() if "20251219" <= m.version <= "20251224"]
    assert len(shared) == 17
    for version, name in shared + FOREIGN_HISTORY:
        database.owner.execute(
            "insert into supabase_migrations.schema_migrations values (%s, %s, %s)",
            [version, ["select 'the old text'"], name],
        )


def described(connection: Connection) -> dict[str, dict[Any, Any]]:
    """Everything that should not depend on where a database came from."""

    def read(query: str) -> dict[Any, Any]:
        rows = [list(row.values()) for row in connection.execute(query)]  # type: ignore[arg-type]
        return {tuple(row[:-1]): row[-1] for row in rows}

    return {
        "columns": read(
            """
            select relname, attname, format_type(atttypid, atttypmod) || case when attnotnull then '' else ' null' end
            from pg_attribute
            join pg_class on pg_class.oid = attrelid
            where relnamespace = 'public'::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped
            """
        ),
        "defaults": read(
            """
            select adrelid::regclass::text, attname, pg_get_expr(adbin, adrelid)
            from pg_attrdef
            join pg_attribute on attrelid = adrelid and attnum = adnum
            join pg_class on pg_class.oid = adrelid
            where relnamespace = 'public'::regnamespace
            """
        ),
        "constraints": read(
            """
            select conrelid::regclass::text, pg_get_constraintdef(oid), convalidated
            from pg_constraint
            where connamespace = 'public'::regnamespace
            """
        ),
        "indexes": read(
            "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public' and indexname <> ''"
        ),
        "policies": read("select tablename, policyname, roles::text || qual from pg_policies"),
        "security": read(
            "select oid::regclass::text, relrowsecurity from pg_class "
            "where relnamespace = 'public'::regnamespace and relkind = 'r'"
        ),
        "grants": read(
            """
            select table_schema, table_name, column_name, grantee, privilege_type, true
            from information_schema.column_privileges
            where table_schema in ('public', 'millrace') and grantee not in ('postgres', 'supabase_admin')
            """
        ),
    }


def test_an_adopted_database_becomes_what_a_new_one_is(old: TestDatabase, db: TestDatabase) -> None:
    migrations.up(old.url())
    adopted, new = described(old.owner), described(db.owner)
    for aspect in new:
        assert adopted[aspect] == new[aspect], aspect


def test_an_adopted_history_is_kept_and_listed(old: TestDatabase) -> None:
    with_history(old)
    applied = [row.version for row in migrations.up(old.url())]
    ours = [m.version for m in migrations.read() if m.version > "20261122"]
    assert applied == ["20251217000000", *ours]
    rows = {row.version: row for row in migrations.status(old.url())}
    for version, name in FOREIGN_HISTORY:
        assert rows[version] == migrations.Row(version, name, State.UNKNOWN)
    assert {row.state for row in rows.values()} == {State.APPLIED, State.INHERITED, State.UNKNOWN}
    assert sum(row.state is State.INHERITED for row in rows.values()) == 17
    kept = old.owner.execute(
        "select count(*) from supabase_migrations.schema_migrations where statements = array['select ''the old text''']"
    ).fetchone()
    assert kept == {"count": 17 + len(FOREIGN_HISTORY)}
    assert migrations.up(old.url()) == []


def test_nothing_is_lost_or_renamed(old: TestDatabase) -> None:
    before = {
        table: old.owner.execute(b"select * from " + table.identifier.as_bytes()).fetchall()
        for table in tables(old.owner, "public")
    }
    assert len(before) == 45
    migrations.up(old.url())
    emptied = {"hashed_password", "secret", "endpoint_secret", "key_hash", "manifest"}
    changed = {"is_platform"}  # unsaid before
    for table, rows in before.items():
        after = old.owner.execute(b"select * from " + table.identifier.as_bytes()).fetchall()
        for row in rows:
            same = {name: value for name, value in row.items() if name not in emptied | changed}
            assert any(same.items() <= now.items() for now in after), f"{table} lost {same}"


def test_rows_find_their_owner_along_the_foreign_keys(old: TestDatabase) -> None:
    migrations.up(old.url())
    for table, expected in {
        "workflowexecution": {ADA},
        "executionlog": {ADA},
        "workflowwebhooksubscription": {ADA},
        "webhooksubscription": {ADA},
        "user_api_key": {ADA},
        "agentcontextcache": {ADA},
        "connectorversion": {ADA, None},
        "ocrjob": {None},
        "osintalert": {None},
    }.items():
        rows = old.owner.execute(f"select distinct owner_id from {table}").fetchall()  # type: ignore[arg-type]
        assert {row["owner_id"] for row in rows} == expected, table


def test_no_secret_of_the_old_system_is_left(old: TestDatabase) -> None:
    migrations.up(old.url())
    for table in tables(old.owner):
        found = old.owner.execute(
            b"select row.* from " + table.identifier.as_bytes() + b" as row where row::text like '%canary%'"
        ).fetchall()
        assert found == [], table
    (manifest,) = old.owner.execute(
        "select manifest from connectorversion where id = 'f1000000-0000-4000-8000-000000000002'"
    ).fetchall()
    assert manifest == {"manifest": {"oauth": {"client_id": "public"}}}


def test_a_subscription_that_had_a_secret_does_not_become_an_open_door(old: TestDatabase) -> None:
    migrations.up(old.url())
    rows = old.owner.execute(
        "select webhook_path, scheme, secret_id from workflowwebhooksubscription order by webhook_path"
    ).fetchall()
    assert rows == [
        {"webhook_path": "/open", "scheme": "none", "secret_id": None},
        {"webhook_path": "/signed", "scheme": "hmac-sha256", "secret_id": None},
    ]


def test_every_workflow_gets_what_it_holds_as_its_first_version(old: TestDatabase) -> None:
    migrations.up(old.url())
    rows = old.owner.execute(
        """
        select workflow.name, workflowversion.version, graph, workflowversion.owner_id = workflow.owner_id as owned
        from workflow
        join workflowversion on workflowversion.id = version_id and workflow_id = workflow.id
        order by name
        """
    ).fetchall()
    assert rows == [
        {"name": "Bare", "version": 1, "graph": {}, "owned": True},
        {"name": "Old", "version": 3, "graph": {"nodes": [], "edges": []}, "owned": True},
    ]


def test_connectors_that_were_there_keep_their_ids_and_get_no_second_version(old: TestDatabase) -> None:
    migrations.up(old.url())
    rows = old.owner.execute(
        """
        select slug, connector.id::text, is_platform, count(*)
        from connector
        join connectorversion on connector_id = connector.id
        where slug in ('github', 'adas-own')
        group by 1, 2, 3
        order by 1
        """
    ).fetchall()
    assert rows == [
        {"slug": "adas-own", "id": "f0000000-0000-4000-8000-000000000002", "is_platform": False, "count": 1},
        {"slug": "github", "id": "f0000000-0000-4000-8000-000000000001", "is_platform": True, "count": 1},
    ]
    assert old.owner.execute("select count(*) from connector where is_platform").fetchone() == {"count": 99}


def test_a_row_with_a_word_we_do_not_know_is_adopted_and_still_readable(old: TestDatabase) -> None:
    migrations.up(old.url())
    row = old.owner.execute(
        "select status from workflowexecution where id = 'c0000000-0000-4000-8000-000000000002'"
    ).fetchone()
    assert row == {"status": "stuck"}
