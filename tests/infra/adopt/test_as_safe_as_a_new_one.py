"""An adopted database is what a new one is: columns, keys, indexes, policies, grants; and tenants see their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psycopg import sql

from infra.review.review import review
from infra.review.rows import row_models
from tests.cluster import Connection, TestDatabase
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old


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


def test_an_adopted_database_becomes_what_a_new_one_is(old: Old, db: TestDatabase) -> None:
    old.adopt()
    adopted, new = described(old.owner), described(db.owner)
    for aspect in new:
        assert adopted[aspect] == new[aspect], aspect


def test_the_review_of_an_adopted_database_is_clean(old: Old, tmp_path: Path) -> None:
    old.adopt()
    assert review(old.url(), storage=f"directory:{tmp_path / 'objects'}").drifts == []


def test_connectors_in_their_first_shape_are_adopted_too(old: Old, db: TestDatabase) -> None:
    old.owner.execute("alter table connector drop column owner_id, drop column is_platform, drop column created_by")
    old.adopt()
    assert described(old.owner)["columns"] == described(db.owner)["columns"]
    rows = old.owner.execute("select distinct is_platform, owner_id from connector").fetchall()
    assert rows == [{"is_platform": True, "owner_id": None}]
    (secret,) = old.owner.execute("select owner_id from secret where name like '%%client_secret%%' limit 1").fetchall()
    assert secret["owner_id"] == old_system.user("ben")  # to whom the operator gave what nobody owns


def test_a_linked_user_signs_in_and_sees_their_own_and_nothing_else(old: Old) -> None:
    old.adopt()
    claims = {"sub": str(old_system.account("ada@example.com")), "role": "authenticated"}
    names = [row["name"] for row in old.as_user(claims).call("select name from public.workflow order by name")]
    mine = old.owner.execute(
        "select name from workflow where owner_id = %s order by name", [old_system.user("ada")]
    ).fetchall()
    assert names == [row["name"] for row in mine]
    assert len(names) == 4
    assert old.as_user({"sub": str(old_system.account("dan@example.com"))}).call("select from public.workflow") == []


def test_every_adopted_row_is_one_of_our_models(old: Old) -> None:
    old.adopt()
    for model in row_models().values():
        rows = old.owner.execute(sql.SQL("select * from {}").format(sql.Identifier("public", model.table))).fetchall()
        for row in rows:
            model.model_validate(row)


def test_what_the_old_system_called_a_run_is_still_listed_with_its_word(old: Old) -> None:
    done = old.adopt()
    claims = {"sub": str(old_system.account("ada@example.com"))}
    rows = old.as_user(claims).call("select status from public.workflowexecution order by execution_id")
    assert [row["status"] for row in rows] == [
        *("running", "paused", "waiting_for_signal", "completed", "failed", "completed", "stuck for ever"),
    ]
    assert done.after.under_way == 3
