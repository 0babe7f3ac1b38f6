"""PgBouncer as a pytest plugin: the tests' functions reach Postgres through it, in transaction mode.

``python -m pytest -p tests.pgbouncer <suites>`` runs any suite so; ``tests/test_pooler.py`` runs those of the database
(``make test-pooler``).
What logs in as ``millrace_api`` or ``millrace_engine`` goes through the pooler, which has two connections for all of
them; what the tests do beside it, as the owner or in a session of their own, goes straight.

At the end the plugin holds what PgBouncer counted against what was sent: PgBouncer counts one query for each
ReadyForQuery, which answers one Sync, and one transaction for each that let the server connection go. As many
transactions as queries means that nobody held one from one Sync to the next.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from infra.local.postgres import _unprivileged
from shared.database import ADAPTERS, Database, _Link, dump_json
from tests.cluster import Connection, TestDatabase, User

POOLED = {"millrace_api", "millrace_engine"}
POOL_SIZE = 2
_PORT = 6432
_ADMIN = "watcher"
#: Debian's packages of PgBouncer and of what it needs, where a small machine may lack it.
_PACKAGES = ("pgbouncer", "libc-ares2", "libevent-2.1-7", "libevent-2.1-7t64")


class NoPgBouncer(Exception):
    """There is none and none can be had; says why."""


@functools.cache
def binary() -> tuple[Path, dict[str, str]]:
    """PgBouncer, and the environment that it needs: installed, or out of Debian's package without installing it."""
    for found in (shutil.which("pgbouncer"), "/usr/sbin/pgbouncer"):
        if found and Path(found).exists():
            return Path(found), {}
    kept = Path(".millrace/test/pgbouncer").absolute()
    if not (kept / "usr/sbin/pgbouncer").exists():
        _extract(kept)
    libraries = sorted({str(path.parent) for path in kept.glob("usr/lib/**/*.so*")})
    environment = {"LD_LIBRARY_PATH": ":".join(libraries)}
    path = kept / "usr/sbin/pgbouncer"
    tried = subprocess.run(
        [path, "--version"], capture_output=True, text=True, env=os.environ | environment, check=False
    )
    if tried.returncode != 0:
        raise NoPgBouncer(f"PgBouncer was unpacked but does not run: {tried.stderr.strip()}")
    return path, environment


def _extract(kept: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise NoPgBouncer("PgBouncer is not installed, and there is no apt-get to fetch Debian's package with")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as name:
        aside = Path(name)
        for package in _PACKAGES:  # one by one: a release knows only some of these names
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    ["apt-get", "download", package], cwd=aside, capture_output=True, timeout=60, check=False
                )
        if not list(aside.glob("pgbouncer_*.deb")):
            raise NoPgBouncer("PgBouncer is not installed, and apt-get could not download Debian's package")
        for deb in aside.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", deb, aside / "root"], check=True)
        with suppress(OSError):  # another process was first
            (aside / "root").rename(kept)


class PgBouncer:
    """One pooler in front of the tests' server, listening on a socket of its own."""

    def __init__(self, server_url: str) -> None:
        path, environment = binary()
        self._directory = tempfile.TemporaryDirectory(prefix="pgb-")
        self.directory = Path(self._directory.name)
        at = conninfo_to_dict(server_url)
        password = f" password={at['password']}" if at.get("password") else ""
        users = "".join(f'"{role}" ""\n' for role in [*sorted(POOLED), _ADMIN])
        (self.directory / "users").write_text(users)
        (self.directory / "ini").write_text(
            f"""
            [databases]
            * = host={at["host"]} port={at.get("port", 5432)}{password}
            [pgbouncer]
            listen_addr =
            listen_port = {_PORT}
            unix_socket_dir = {self.directory}
            auth_type = trust
            auth_file = {self.directory / "users"}
            admin_users = {_ADMIN}
            pool_mode = transaction
            default_pool_size = {POOL_SIZE}
            max_client_conn = 500
            server_check_query =
            server_reset_query =
            query_wait_timeout = 30
            log_connections = 0
            log_disconnections = 0
            """.replace("\n            ", "\n")
        )
        self._runner = _unprivileged()
        self._runner.adopt(self.directory)
        with (self.directory / "output").open("wb") as output:
            # Started as Postgres is: both refuse to be root.
            variables = [f"{name}={value}" for name, value in environment.items()]
            command = ["env", *variables, str(path), str(self.directory / "ini")]
            self._process = self._runner.popen(command, output)
        self._admin: psycopg.Connection[dict[str, Any]] | None = None
        self._guard = threading.Lock()
        self.version: str = self.tell("SHOW VERSION")[0]["version"]

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{urllib.parse.quote(database)}?host={self.directory}&port={_PORT}"

    def tell(self, command: str) -> list[dict[str, Any]]:
        """A command of PgBouncer's console ("Admin console", its manual)."""
        with self._guard:
            if self._admin is None:
                self._admin = self._connect()
            cursor = self._admin.execute(command.encode())
            return cursor.fetchall() if cursor.description else []

    def _connect(self) -> psycopg.Connection[dict[str, Any]]:
        until = time.monotonic() + 10
        while True:
            try:
                return psycopg.connect(
                    self.url(_ADMIN, "pgbouncer"),
                    autocommit=True,
                    prepare_threshold=None,  # the console knows simple queries only
                    row_factory=dict_row,
                )
            except psycopg.OperationalError as error:
                if time.monotonic() > until or self._process.poll() is not None:
                    said = (self.directory / "output").read_text()
                    raise NoPgBouncer(f"PgBouncer did not start: {error} {said}") from error
                time.sleep(0.02)

    def totals(self) -> dict[str, int]:
        """What it counted, over all databases but its console's."""
        rows = [row for row in self.tell("SHOW STATS") if row["database"] != "pgbouncer"]
        return {
            "databases": len(rows),
            "syncs": sum(int(row["total_query_count"]) for row in rows),
            "transactions": sum(int(row["total_xact_count"]) for row in rows),
        }

    def stop(self) -> None:
        if self._admin is not None:
            self._admin.close()
        self._process.terminate()
        self._process.wait(10)
        self._directory.cleanup()


class _Session:
    """A connection whose claims hold, as a function has them: sent with each statement, in one exchange."""

    def __init__(self, url: str, claims: Mapping[str, Any] | None) -> None:
        self._connection = psycopg.connect(
            url, autocommit=True, row_factory=dict_row, prepare_threshold=None, context=ADAPTERS
        )
        self._claims = dump_json(dict(claims)).decode() if claims is not None else ""

    def execute(self, query: Any, params: Any = None) -> psycopg.Cursor[dict[str, Any]]:
        count.sent += 1
        with self._connection.pipeline():
            self._connection.execute("select set_config('request.jwt.claims', %s, true)", [self._claims])
            return self._connection.execute(query, params)

    def close(self) -> None:
        self._connection.close()


class _Count:
    """What was sent through the pooler."""

    def __init__(self) -> None:
        self.sent = 0  #: exchanges that were answered, each with one Sync
        self.unanswered = 0  #: that missed their deadline, or whose connection broke


count = _Count()
_mistakes: list[str] = []
_ended: list[str] = []  #: the test's database, while it is left
_pooler: PgBouncer | None = None
_lock = threading.Lock()


def pooler(database: TestDatabase) -> PgBouncer:
    """The session's own, started when it is first needed."""
    global _pooler
    with _lock:
        if _pooler is None:
            _pooler = PgBouncer(database.cluster.superuser_url)
        return _pooler


def pytest_configure() -> None:
    try:
        binary()
    except NoPgBouncer as error:
        raise pytest.UsageError(str(error)) from error
    _through_the_pooler()
    _counted()


def _through_the_pooler() -> None:
    direct_url, direct_connect = TestDatabase.url, TestDatabase.connect
    close, close_test = Database.close, TestDatabase.close

    def url(self: TestDatabase, role: str = "postgres") -> str:
        return pooler(self).url(role, self.name) if role in POOLED else direct_url(self, role)

    def connect(
        self: TestDatabase, role: str = "postgres", *, claims: User | Mapping[str, Any] | None = None
    ) -> Connection:
        if role != "millrace_api":
            return direct_connect(self, role, claims=claims)
        session = _Session(url(self, role), claims.claims if isinstance(claims, User) else claims)
        self._connections.append(session)  # type: ignore[arg-type]
        return session  # type: ignore[return-value]

    def close_and_renew(self: Database) -> None:
        """A test that stops the clock closes its connection to begin the next one with the new time."""
        close(self)
        if _pooler is not None and not _ended and f"host={_pooler.directory}" in self._url:
            database = conninfo_to_dict(self._url)["dbname"]
            _pooler.tell(f'RECONNECT "{database}"')
            _pooler.tell(f'WAIT_CLOSE "{database}"')

    def end(self: TestDatabase) -> None:
        _ended.append(self.name)  # nothing is renewed for what is dropped next
        close_test(self)
        _ended.clear()

    TestDatabase.close = end  # type: ignore[method-assign]
    TestDatabase.url = url  # type: ignore[method-assign]
    TestDatabase.connect = connect  # type: ignore[method-assign]
    Database.close = close_and_renew  # type: ignore[method-assign]


def _counted() -> None:
    exchange = _Link.exchange

    def counted(self: _Link, *arguments: Any) -> Any:
        pooled = self.connection.info.port == _PORT
        count.unanswered += pooled
        result = exchange(self, *arguments)
        count.unanswered -= pooled
        count.sent += pooled
        return result

    _Link.exchange = counted  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The suites pass only if the Syncs are as many as they should be."""
    if _pooler is None:
        return
    found = _pooler.totals()
    if found["transactions"] != found["syncs"]:
        _mistakes.append("a server connection was held from one Sync to the next")
    if not count.sent <= found["syncs"] <= count.sent + count.unanswered:
        _mistakes.append("it did not see one Sync for each exchange")
    if _mistakes and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _pooler is None:
        return
    found = _pooler.totals()
    passed = len(terminalreporter.stats.get("passed", []))
    terminalreporter.write_line(
        f"{_pooler.version}, transaction mode, pools of {POOL_SIZE}: {passed} tests passed on {found['databases']} "
        f"databases; {count.sent} exchanges answered, {count.unanswered} cut off, {found['syncs']} Syncs, "
        f"{found['transactions']} transactions: "
        + ("; ".join(_mistakes) or "one Sync an exchange, and no connection held beyond it")
    )


def pytest_unconfigure() -> None:
    if _pooler is not None:
        _pooler.stop()
