"""A plain Postgres, once prepared, has Supabase's roles and limits: what breaks there breaks here."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from infra.local.postgres import PRELUDE
from tests.cluster import TestDatabase


def test_preparing_a_database_twice_changes_nothing(blank: TestDatabase) -> None:
    state = """
        select
            (select array_agg(rolname::text || rolsuper || rolbypassrls order by rolname) from pg_roles) as roles,
            (select array_agg(defaclacl::text order by oid) from pg_default_acl) as defaults,
            (select array_agg(oid::regclass::text || relacl::text order by oid) from pg_class where relacl is not null)
                as grants
    """
    with psycopg.connect(blank.url("supabase_admin"), autocommit=True) as superuser:
        before = superuser.execute(state).fetchone()
        for file in PRELUDE.glob("*.sql"):
            superuser.execute(file.read_bytes())
        assert superuser.execute(state).fetchone() == before


def test_the_roles_are_supabases(blank: TestDatabase) -> None:
    rows = blank.owner.execute(
        """
        select rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolcanlogin
        from pg_roles
        where rolname in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator')
        order by rolname
        """
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("anon", False, False, False, False, False),
        ("authenticated", False, False, False, False, False),
        ("authenticator", False, False, False, False, True),
        ("postgres", False, True, True, True, True),
        ("service_role", False, False, False, True, False),
    ]


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_auth_is_usable_by_supabases_own_roles(blank: TestDatabase, role: str) -> None:
    subject = "a0000000-0000-4000-8000-000000000001"
    connection = blank.connect(role, claims={"sub": subject})
    assert str(connection.execute("select auth.uid()").fetchone()["uid"]) == subject  # type: ignore[index]


def test_auth_is_closed_to_the_role_that_migrates(blank: TestDatabase) -> None:
    for statement in ("select auth.uid()", "select from auth.users", "create table auth.mine (id int)"):
        with pytest.raises(InsufficientPrivilege):
            blank.owner.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_what_postgres_makes_in_public_is_open_until_a_migration_closes_it(blank: TestDatabase, role: str) -> None:
    blank.owner.execute("create table public.careless (id int)")
    blank.connect(role).execute("insert into public.careless values (1)")


def test_storage_has_its_tables_and_takes_a_trigger_of_ours(blank: TestDatabase) -> None:
    blank.owner.execute("insert into storage.buckets (id, name) values ('b', 'b')")
    blank.owner.execute("create function public.heard() returns trigger language plpgsql as 'begin return new; end'")
    blank.owner.execute(
        "create trigger heard after insert on storage.objects for each row execute function public.heard()"
    )
    row = blank.owner.execute(
        "insert into storage.objects (bucket_id, name) values ('b', 'a/b.txt') returning path_tokens"
    ).fetchone()
    assert row == {"path_tokens": ["a", "b.txt"]}


def test_vector_is_there_where_the_server_has_it(blank: TestDatabase) -> None:
    has = blank.owner.execute("select from pg_available_extensions where name = 'vector'").fetchall()
    installed = blank.owner.execute("select from pg_extension where extname = 'vector'").fetchall()
    assert len(installed) == len(has)
    if has:
        assert blank.owner.execute("select '[1,2]'::vector <-> '[1,4]'::vector as d").fetchone() == {"d": 2.0}
