"""The embedded Postgres keeps what it acknowledged, starts fast, and has one owner at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from infra.local import postgres
from infra.local.postgres import (
    DataDirectoryBusyError,
    EmbeddedPostgres,
    PostgresError,
    allow_logins,
    create_database,
    with_database,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "pg")
    server.start()
    yield server
    server.stop()


def ask(server: EmbeddedPostgres, query: str, role: str = "supabase_admin") -> object:
    with psycopg.connect(server.url(role), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def test_killed_hard_while_inserting_it_loses_nothing_acknowledged(server: EmbeddedPostgres) -> None:
    acknowledged = -1
    for _ in range(2):
        with psycopg.connect(server.url("supabase_admin"), autocommit=True) as connection:
            connection.execute("create table if not exists public.kept (n int primary key)")
            killer = threading.Timer(0.3, server.kill)
            killer.start()
            with suppress(psycopg.OperationalError):
                while True:
                    connection.execute("insert into public.kept values (%s)", [acknowledged + 1])
                    acknowledged += 1
            killer.join()
        server.start()
        # The row whose answer was lost may be there too; whether it is, counting goes on after it.
        highest = ask(server, "select max(n) from public.kept")
        assert isinstance(highest, int)
        assert acknowledged <= highest <= acknowledged + 1
        assert ask(server, "select count(*) from public.kept") == highest + 1
        acknowledged = highest
    assert acknowledged > 100


def test_it_starts_warm_in_under_half_a_second(server: EmbeddedPostgres) -> None:
    server.stop()
    started = time.monotonic()
    server.start()
    assert time.monotonic() - started < 0.5


def test_a_second_process_on_the_same_directory_is_refused_by_name(server: EmbeddedPostgres) -> None:
    script = (
        "import sys, pathlib; from infra.local.postgres import *\n"
        "try: EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()\n"
        "except DataDirectoryBusyError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, str(server.data_dir)], capture_output=True, text=True, check=True
    )
    assert f"process {os.getpid()} runs Postgres on it" in said.stdout
    with pytest.raises(DataDirectoryBusyError):
        EmbeddedPostgres(server.data_dir).stop()
    assert ask(server, "select 1") == 1


def test_a_server_whose_owner_was_killed_is_taken_over(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, time; from infra.local.postgres import *\n"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1])); server.start()\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    data_dir = tmp_path / "pg"
    with subprocess.Popen([sys.executable, "-c", script, str(data_dir)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        orphan = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    with EmbeddedPostgres(data_dir) as server:
        assert server.pid != orphan
        assert ask(server, "select 1") == 1


def test_a_process_that_ends_takes_its_server_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from infra.local.postgres import *; EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "pg")], check=True)
    assert not EmbeddedPostgres(tmp_path / "pg").running
    assert not (tmp_path / "pg" / "cluster" / "postmaster.pid").exists()


def test_the_lock_file_of_a_dead_or_foreign_process_does_not_block_the_start(server: EmbeddedPostgres) -> None:
    """A zombie nobody reaps, and a pid that now belongs to another program: Postgres itself would refuse both."""
    lock_file = server.cluster / "postmaster.pid"
    text = lock_file.read_text().splitlines()
    zombie = subprocess.Popen(["true"])
    with open(f"/proc/{zombie.pid}/stat") as stat:
        while stat.read().rpartition(")")[2].split()[0] != "Z":
            stat.seek(0)
    for pid in (zombie.pid, os.getppid()):
        server.stop()
        lock_file.write_text("\n".join([str(pid), *text[1:]]) + "\n")
        server.start()
        assert ask(server, "select 1") == 1
    zombie.wait()


def test_half_a_cluster_is_made_anew(tmp_path: Path) -> None:
    """initdb was killed: what it left is aside, under another name."""
    aside = tmp_path / "pg" / "cluster.new"
    aside.mkdir(parents=True)
    (aside / "PG_VERSION").write_text("16\n")
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as server:
        assert ask(server, "select current_database()::text") == "millrace"
    assert not aside.exists()


def test_half_a_database_is_made_anew(server: EmbeddedPostgres) -> None:
    """The prelude was killed in the middle: the database has not got its name yet."""
    admin = server.url("supabase_admin", "postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database other_new")
    create_database(admin, "other")
    with psycopg.connect(with_database(admin, "other", role="postgres")) as connection:
        assert connection.execute("select to_regclass('storage.objects') is not null").fetchone() == (True,)


def test_it_behaves_like_supabase(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(
            "select current_user::text, rolsuper, rolbypassrls, rolcreaterole, current_setting('timezone') "
            "from pg_roles where rolname = current_user"
        ).fetchone()
        assert row == ("postgres", False, True, True, "UTC")
    with psycopg.connect(server.url("supabase_admin"), autocommit=True) as connection:
        connection.execute("create role stranger")
        connection.execute("set role stranger")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select auth.uid()")


def test_our_roles_may_log_in_once_allowed(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for role in postgres.LOGIN_ROLES:
            connection.execute(f"create role {role} nologin".encode())
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(server.url("millrace_api"))
    allow_logins(server.url("supabase_admin"))
    assert ask(server, "select current_user::text", "millrace_api") == "millrace_api"


def test_it_is_reached_through_a_private_socket_only(server: EmbeddedPostgres) -> None:
    assert ask(server, "show listen_addresses") == ""
    assert server.runtime_dir.stat().st_mode & 0o777 == 0o700
    assert server.cluster.stat().st_mode & 0o777 == 0o700


def test_where_the_kernel_allows_no_user_namespaces_root_works_as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root; everyone else runs the binaries as they are."""
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        if os.geteuid() == 0:
            monkeypatch.setattr(postgres, "_unprivileged", postgres._AsNobody)
        postgres._binaries.cache_clear()
        try:
            with EmbeddedPostgres(Path(open_to_all) / "pg", durable=False) as server:
                assert ask(server, "select 1") == 1
                owner = server.cluster.stat().st_uid
        finally:
            postgres._binaries.cache_clear()
        assert owner == (postgres._nobody() if os.geteuid() == 0 else os.geteuid())


def test_a_server_that_asks_for_passwords_gives_our_roles_the_superusers(tmp_path: Path) -> None:
    rules = tmp_path / "hba"
    rules.write_text("local all supabase_admin trust\nlocal all all scram-sha-256\n")
    with EmbeddedPostgres(tmp_path / "pg", durable=False, options={"hba_file": str(rules)}) as server:
        with psycopg.connect(server.url("supabase_admin"), autocommit=True) as connection:
            for role in postgres.LOGIN_ROLES:
                connection.execute(f"create role {role} nologin".encode())
        admin = server.url("supabase_admin").replace("supabase_admin@", "supabase_admin:p%40ss%2Fword@")
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(server.url("millrace_api"))
        allow_logins(admin)
        with psycopg.connect(with_database(admin, "millrace", role="millrace_api")) as connection:
            assert connection.execute("select current_user::text").fetchone() == ("millrace_api",)


def test_it_works_below_a_directory_that_is_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "pg", durable=False) as server:
        assert ask(server, "select 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_runtime_directory_of_someone_else_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    with pytest.raises(PostgresError, match="belongs to someone else"):
        EmbeddedPostgres(tmp_path / "pg", durable=False, runtime_dir=link).start()


def test_a_bad_setting_is_told_with_the_servers_own_words(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", durable=False, options={"no_such_setting": "1"})
    with pytest.raises(PostgresError, match="no_such_setting"):
        server.start()


def test_settings_of_the_users_own_servers_are_not_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGPORT", "6543")
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as server:
        assert ask(server, "show port") == "5432"


def test_an_existing_directory_keeps_its_version(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", durable=False, version=18) as server:
        assert str(ask(server, "show server_version")).startswith("18")
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as server:
        assert server.version == 18
    with pytest.raises(PostgresError, match="there is no embedded Postgres 12"):
        EmbeddedPostgres(tmp_path / "other", version=12).start()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://a@/b?host=%2Fx", "postgresql://r@/new?host=%2Fx"),
        ("postgresql://a:secret@host:1/b", "postgresql://r:secret@host:1/new"),
    ],
)
def test_a_url_changes_role_and_database(url: str, expected: str) -> None:
    assert with_database(url, "new", role="r") == expected
    assert with_database(url, "new").startswith("postgresql://a")
