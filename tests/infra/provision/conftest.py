"""A Postgres of these tests' own: they change roles, which belong to the cluster that other tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.local.postgres import EmbeddedPostgres, create_database
from tests.cluster import Cluster, TestDatabase
from tests.infra.provision.storage_api import KEY, StorageApi

ROLES = ("millrace_api", "millrace_engine")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("provision") / "postgres", durable=False) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"), server.url("supabase_admin", "postgres"))
    made.join()
    yield made
    made.leave()


@pytest.fixture
def blank(cluster: Cluster) -> Iterator[TestDatabase]:
    """A database like a new Supabase project's: nothing migrated yet."""
    create_database(cluster.superuser_url, "test_blank")
    database = TestDatabase(cluster, "test_blank")
    yield database
    database.close()
    cluster.drop("test_blank")


@pytest.fixture
def fresh(db: TestDatabase, server: EmbeddedPostgres) -> Iterator[TestDatabase]:
    """Roles as the migrations leave them, on a server that asks them for passwords."""
    admin = db.connect("supabase_admin")
    rules = server.cluster / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all {','.join(ROLES)} scram-sha-256\n{before}")
    admin.execute("select pg_reload_conf()")
    for role in ROLES:
        admin.execute(f"alter role {role} nologin password null")
    yield db
    rules.write_text(before)
    admin.execute("select pg_reload_conf()")
    for role in ROLES:
        admin.execute(f"alter role {role} login password null")


@pytest.fixture
def api() -> Iterator[StorageApi]:
    with StorageApi() as running:
        yield running


@pytest.fixture
def project(db: TestDatabase, api: StorageApi, monkeypatch: pytest.MonkeyPatch) -> StorageApi:
    monkeypatch.setenv("MILLRACE_MIGRATION_URL", db.url("postgres"))
    monkeypatch.setenv("MILLRACE_STORAGE", f"supabase:{api.url}")
    monkeypatch.setenv("MILLRACE_SUPABASE_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "120")
    return api
