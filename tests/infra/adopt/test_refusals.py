"""What stands in the way is named with what would help, before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.adopt import adoption, checks
from infra.local.postgres import create_database
from shared.errors import Conflict, Forbidden, Invalid, MillraceError
from shared.secrets import LocalKeyring, SecretError, keyring
from tests.cluster import Cluster, TestDatabase
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old


def held(old: Old) -> Any:
    """Every relation, column and row: nothing of it may change."""
    columns = old.owner.execute(
        """
        select attrelid::regclass::text as relation, attname, atttypid
        from pg_attribute
        join pg_class on pg_class.oid = attrelid
        join pg_namespace on pg_namespace.oid = relnamespace
        where nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and attnum > 0 and not attisdropped
        order by 1, attnum
        """
    ).fetchall()
    history = old.owner.execute("select * from supabase_migrations.schema_migrations order by 1").fetchall()
    contents = {
        name: old.owner.execute(
            f"select md5(string_agg(held::text, ' ' order by held::text)) as sum from public.\"{name}\" as held"  # type: ignore[arg-type]
        ).fetchone()
        for name in old_system.SCHEMA
    }
    return columns, history, contents


def refused(old: Old, kind: type[MillraceError], said: str, remedy: str, **options: Any) -> None:
    before = held(old)
    with pytest.raises(kind, match=said) as refusal:
        old.adopt(**options)
    assert remedy in (refusal.value.remedy or "")
    assert held(old) == before


def test_an_old_postgres_is_refused() -> None:
    with pytest.raises(Invalid, match="This is Postgres 15; Millrace needs 16") as refusal:
        checks.server(150004)
    assert "Upgrade" in (refusal.value.remedy or "")
    checks.server(160000)
    checks.server(170002)


def test_a_pooler_that_keeps_no_session_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    for url in (
        "postgresql://postgres.ref:secret@aws-0-eu-central-1.pooler.supabase.com:6543/postgres",
        "host=aws-0-eu-central-1.pooler.supabase.com port=6543 user=postgres.ref",
    ):
        with pytest.raises(Invalid, match="transaction mode") as refusal:
            adoption.adopt(url, lambda: LocalKeyring(tmp_path / "keys.json"))
        assert "5432" in (refusal.value.remedy or "")
        with pytest.raises(Invalid, match="transaction mode"):
            adoption.survey(url)


def test_a_database_that_the_old_system_never_used_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    name = "test_adopt_nothing"
    cluster.drop(name)
    create_database(cluster.superuser_url, name)
    database = TestDatabase(cluster, name)
    try:
        with pytest.raises(Invalid, match="nothing to adopt: this database has no table 'user'") as refusal:
            adoption.adopt(database.url(), lambda: LocalKeyring(tmp_path / "keys.json"))
        assert "millrace migrate up" in (refusal.value.remedy or "")
    finally:
        database.close()
        cluster.drop(name)


def test_a_database_of_ours_has_nothing_to_adopt(db: TestDatabase, tmp_path: Path) -> None:
    done = adoption.adopt(db.url(), lambda: LocalKeyring(tmp_path / "keys.json"))
    assert done.before.nothing_to_do
    assert done.applied == ()
    assert not (tmp_path / "keys.json").exists()


def test_a_role_that_may_not_is_refused_with_everything_it_lacks(old: Old) -> None:
    before = held(old)
    with pytest.raises(Forbidden) as refusal:
        adoption.adopt(old.url("authenticator"), lambda: old.keyring, auth_url=old.url("supabase_admin"))
    said = refusal.value.detail
    assert "The role authenticator may not change the tables of postgres (agentcontextcache, " in said
    assert "bypassrls" in said
    assert "may not create schemas" in said
    assert "`postgres`" in (refusal.value.remedy or "")
    assert held(old) == before


def test_a_half_applied_migration_is_refused_by_name(old: Old) -> None:
    old.owner.execute("create table public.secret (id uuid)")
    refused(
        old,
        Conflict,
        r"20261122100200_tenant_tables\.sql is half applied: there is public\.secret",
        "supabase migration repair --status applied 20261122100200",
    )


def test_an_edited_migration_is_refused_by_name(old: Old) -> None:
    old.owner.execute("create schema millrace")
    old.owner.execute(
        "create table millrace.migration_checksum (version text primary key, sha256 text, recorded_at text)"
    )
    old.owner.execute("insert into millrace.migration_checksum values ('20251219152039', 'of another text')")
    refused(old, Conflict, r"20251219152039_register_all_connectors\.sql was edited", "Restore the file")


def test_a_migration_added_before_applied_ones_is_refused_by_name(old: Old) -> None:
    old.owner.execute("insert into supabase_migrations.schema_migrations values ('20261122100300', null, 'x')")
    refused(old, Conflict, r"20261122100000_roles\.sql was added before", "Give it a time after")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table workflow drop column graph_config", r"workflow\.graph_config is missing \(jsonb\)"),
        ("alter table ocrjob alter column result type json", r"ocrjob\.result is json, not jsonb"),
        ("alter table item add column n int, alter column title type int using 1", r"item\.title is integer, not char"),
    ],
)
def test_tables_that_are_not_the_old_systems_are_refused_by_column(old: Old, change: str, said: str) -> None:
    old.owner.execute(change)  # type: ignore[arg-type]
    refused(old, Conflict, said, "c4cd6f5a4f64")


def test_secrets_of_nobody_need_somebody(old: Old) -> None:
    refused(old, Conflict, "belong to nobody", "--secrets-to", heir=None)
    refused(old, Invalid, "No active users have the e-mail who@example.com", "one user", heir="who@example.com")
    refused(old, Invalid, "2 active users have the e-mail eve@example.com", "one user", heir="eve@example.com")


def test_without_a_key_nothing_is_begun(old: Old, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = held(old)

    def adopt(open_keyring: Callable[[], Any]) -> None:
        adoption.adopt(old.url(), open_keyring, auth_url=old.url("supabase_admin"), heir=old_system.SECRET_ADMIN)

    with pytest.raises(SecretError):
        adopt(keyring)
    (tmp_path / "open.json").write_text("{}")
    (tmp_path / "open.json").chmod(0o644)
    with pytest.raises(SecretError, match="open to others"):
        adopt(lambda: LocalKeyring(tmp_path / "open.json"))
    assert held(old) == before


def test_a_secret_that_is_too_long_to_keep_is_refused_at_the_start(old: Old) -> None:
    old.owner.execute(
        "update agentframeworkconfig set config = jsonb_build_object('password', repeat('x', 70000)) "
        "where framework = 'autogpt'"
    )
    refused(old, Invalid, "1 secrets have more than 65536 bytes", "Shorten")
