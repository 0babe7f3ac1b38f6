"""What our roles may do beyond rows: functions, schemas, defaults."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from tests.cluster import TestDatabase, User
from tests.sql.catalogue import tables

#: What a policy or a default may call, and so every role that reads or writes may.
COMMON = {"millrace.now()", "millrace.uuid7()", "millrace.user_id()"}


def functions_of(db: TestDatabase, role: str) -> set[str]:
    rows = db.owner.execute(
        """
        select format('%%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)) as name
        from pg_proc
        join pg_namespace on pg_namespace.oid = pronamespace
        where nspname in ('public', 'millrace')
            and has_function_privilege(%s, pg_proc.oid, 'execute')
        """,
        [role],
    )
    return {row["name"] for row in rows}


def test_the_engine_may_execute_functions_and_touch_no_table(db: TestDatabase, user: User) -> None:
    engine = db.connect("millrace_engine", claims=user)
    for table in tables(db.owner):
        for statement in ("select from {}", "insert into {} default values", "delete from {}", "truncate {}"):
            with pytest.raises(InsufficientPrivilege):
                engine.execute(sql.SQL(statement).format(table.identifier))
    assert functions_of(db, "millrace_engine") > COMMON


def test_no_function_is_open_to_everyone(still: TestDatabase) -> None:
    open_to_all = still.owner.execute(
        """
        select oid::regprocedure::text as name
        from pg_proc
        where pronamespace in ('public'::regnamespace, 'millrace'::regnamespace)
            and has_function_privilege('public', oid, 'execute')
        """
    ).fetchall()
    assert open_to_all == []


def test_what_tenants_may_execute_the_engine_does_not_and_the_other_way_round(still: TestDatabase) -> None:
    tenants = functions_of(still, "millrace_api") | functions_of(still, "authenticated")
    assert tenants & functions_of(still, "millrace_engine") == COMMON


def test_every_function_has_a_fixed_search_path(still: TestDatabase) -> None:
    loose = still.owner.execute(
        """
        select oid::regprocedure::text as name
        from pg_proc
        where pronamespace in ('public'::regnamespace, 'millrace'::regnamespace)
            and not exists (select from unnest(proconfig) as setting where setting like 'search\\_path=%')
        """
    ).fetchall()
    assert loose == []


def test_our_roles_are_no_superusers_and_pass_by_no_policy(still: TestDatabase) -> None:
    roles = still.owner.execute(
        """
        select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolinherit, rolreplication
        from pg_roles
        where rolname in ('millrace_api', 'millrace_engine')
        """
    ).fetchall()
    assert len(roles) == 2
    for role in roles:
        assert not any(value for name, value in role.items() if name != "rolname")
    memberships = still.owner.execute(
        """
        select from pg_auth_members
        join pg_roles on pg_roles.oid = member
        where rolname in ('millrace_api', 'millrace_engine')
        """
    ).fetchall()
    assert memberships == []


@pytest.mark.parametrize("role", ["millrace_api", "millrace_engine"])
def test_our_roles_speak_utc(still: TestDatabase, role: str) -> None:
    with psycopg.connect(still.url(role)) as connection:
        assert connection.execute("show timezone").fetchone() == ("UTC",)


@pytest.mark.parametrize("role", ["millrace_api", "millrace_engine", "authenticated", "anon"])
def test_no_role_may_make_things_in_our_schemas(still: TestDatabase, role: str) -> None:
    connection = still.connect(role)
    for schema in ("public", "millrace"):
        with pytest.raises(InsufficientPrivilege):
            connection.execute(sql.SQL("create table {}.mine (id int)").format(sql.Identifier(schema)))


@pytest.mark.parametrize("role", ["anon", "authenticated", "millrace_api", "millrace_engine"])
def test_what_a_later_migration_makes_is_closed_until_it_is_granted(db: TestDatabase, role: str) -> None:
    db.owner.execute("create function millrace.later() returns int language sql set search_path = '' as 'select 1'")
    db.owner.execute("create function public.later() returns int language sql set search_path = '' as 'select 1'")
    db.owner.execute("create table public.later (id int)")
    db.owner.execute("create sequence public.later_number")
    connection = db.connect(role)
    for statement in (
        "select millrace.later()",
        "select public.later()",
        "select from public.later",
        "select nextval('public.later_number')",
    ):
        with pytest.raises(InsufficientPrivilege):
            connection.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["millrace_api", "millrace_engine"])
def test_a_role_of_ours_may_not_use_auth(still: TestDatabase, role: str) -> None:
    """Which is why no policy of ours calls auth.uid()."""
    with pytest.raises(InsufficientPrivilege):
        still.connect(role).execute("select auth.uid()")
