"""What cannot be reviewed is said clearly, each with its exit code; drift exits 1 on the command line."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.postgres import EmbeddedPostgres
from infra.review.catalogue import NotAllowed, WrongVersion
from infra.review.review import review
from shared.storage import BUCKETS
from tests.cluster import TestDatabase
from tests.infra.review.conftest import restore
from tests.stack import clean_environment, millrace


def run(database: TestDatabase | str, tmp_path: Path, *arguments: str, role: str = "postgres", **variables: str):  # type: ignore[no-untyped-def]  # of subprocess
    url = database if isinstance(database, str) else database.url(role)
    environment = clean_environment(MILLRACE_MIGRATION_URL=url, MILLRACE_HOME=str(tmp_path), **variables)
    return millrace("review", *arguments, environment=environment)


@pytest.fixture
def old_server() -> Iterator[str]:
    """The address of something that greets as Postgres 15 does (protocol 3.0: authentication, a parameter, ready)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def message(kind: bytes, body: bytes) -> bytes:
            return kind + struct.pack("!i", len(body) + 4) + body

        def serve() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.recv(1024)
                caller.sendall(
                    message(b"R", struct.pack("!i", 0))
                    + message(b"S", b"server_version\x0015.8\x00")
                    + message(b"S", b"client_encoding\x00UTF8\x00")
                    + message(b"Z", b"I")
                )
                caller.recv(1024)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"postgresql://postgres@127.0.0.1:{listener.getsockname()[1]}/postgres?sslmode=disable&gssencmode=disable"
        thread.join()


def test_an_old_server_is_named_with_its_version(old_server: str, store: str) -> None:
    with pytest.raises(WrongVersion, match=r"Postgres 15\.8; Millrace needs 16 or newer") as raised:
        review(old_server, storage=store)
    assert "Upgrade" in str(raised.value.remedy)


def test_on_the_command_line_an_old_server_fails(old_server: str, tmp_path: Path) -> None:
    done = run(old_server, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Postgres 15.8; Millrace needs 16 or newer" in done.stderr


def test_a_role_without_rights_is_told_whose_address_to_give(db: TestDatabase, store: str) -> None:
    with pytest.raises(NotAllowed, match="millrace_api may not read which migrations were applied") as raised:
        review(db.url("millrace_api"), storage=store)
    assert "MILLRACE_MIGRATION_URL" in str(raised.value.remedy)


def test_on_the_command_line_no_permission_is_refused(db: TestDatabase, tmp_path: Path) -> None:
    done = run(db, tmp_path, role="millrace_engine")
    assert (done.returncode, done.stdout) == (4, "")
    assert "may not read" in done.stderr


def test_a_missing_vector_is_named_and_restored(db: TestDatabase, store: str) -> None:
    db.connect("supabase_admin").execute("drop extension vector cascade")
    [drift] = review(db.url(), storage=store).drifts
    assert (drift.kind, drift.object, drift.says) == ("extension", "vector", "is missing")
    restore(db.url("supabase_admin"), [drift])
    assert review(db.url(), storage=store).clean


def test_nothing_answers(tmp_path: Path) -> None:
    done = run("postgresql://postgres@127.0.0.1:1/postgres", tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "does not answer" in done.stderr


def test_a_store_of_no_known_kind_is_a_usage_error(db: TestDatabase, tmp_path: Path) -> None:
    done = run(db, tmp_path, MILLRACE_STORAGE="ftp://somewhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "MILLRACE_STORAGE" in done.stderr


def test_s3_without_credentials_does_not_answer(db: TestDatabase, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none")
    done = run(
        db,
        tmp_path,
        MILLRACE_STORAGE="s3:millrace-dev-1",
        AWS_REGION="eu-central-1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_SHARED_CREDENTIALS_FILE=nowhere,
        AWS_CONFIG_FILE=nowhere,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "credentials" in done.stderr


def test_the_command_reports_a_clean_database_and_exits_0(db: TestDatabase, tmp_path: Path) -> None:
    done = run(db, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("# Migration review", "**Clean**", "45 inherited tables", "- [x] Every index is there and valid"):
        assert part in done.stdout
    for bucket in BUCKETS:
        assert f"| `{bucket}` |" in done.stdout
    assert "- [ ]" not in done.stdout


def test_the_command_names_drift_and_exits_1(db: TestDatabase, tmp_path: Path) -> None:
    db.owner.execute("drop index public.ix_workflow_owner_id; drop policy item_owner on public.item")
    done = run(db, tmp_path)
    assert done.returncode == 1
    assert "CREATE INDEX CONCURRENTLY ix_workflow_owner_id ON public.workflow USING btree (owner_id);" in done.stdout
    assert "create policy item_owner on public.item" in done.stdout
    assert "- [ ] Every index is there and valid" in done.stdout
    assert "index public.workflow.ix_workflow_owner_id: is missing" in done.stderr
    assert "policy public.item.item_owner: is missing" in done.stderr


def test_the_document_for_machines_holds_all_of_it(db: TestDatabase, tmp_path: Path) -> None:
    db.owner.execute("revoke select on public.workflow from authenticated")
    done = run(db, tmp_path, "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["clean"] is False
    [drift] = document["drift"]
    assert drift["object"] == "table public.workflow to authenticated"
    assert drift["remedy"]["sql"] == ["grant select on table public.workflow to authenticated;"]
    assert len(document["tables"]) > 52
    assert {row["state"] for row in document["migrations"]} == {"applied"}
    assert [bucket["name"] for bucket in document["buckets"]] == list(BUCKETS)
    assert document["row_models"]["mismatches"] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A Postgres 18 of these tests' own, for roles belong to the server."""
    from infra import migrations

    with EmbeddedPostgres(tmp_path_factory.mktemp("eighteen") / "postgres", durable=False, version=18) as running:
        migrations.up(running.url())
        yield running


def test_postgres_18_is_clean_too(server: EmbeddedPostgres, store: str) -> None:
    assert review(server.url(), storage=store).drifts == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("alter role millrace_api bypassrls", "has bypassrls"),
        ("grant service_role to millrace_api", "is a member of service_role"),
        ("alter role millrace_api reset timezone", "lacks TimeZone=UTC"),
    ],
)
def test_a_role_that_may_too_much_is_named(change: str, says: str, server: EmbeddedPostgres, store: str) -> None:
    import psycopg

    with psycopg.connect(server.url("supabase_admin"), autocommit=True) as admin:
        admin.execute(change.encode())
    [drift] = review(server.url(), storage=store).drifts
    assert (drift.kind, drift.object, drift.says) == ("role", "millrace_api", says)
    restore(server.url("supabase_admin"), [drift])
    assert review(server.url(), storage=store).clean
