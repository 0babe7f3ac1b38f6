"""The database: reached by each role, of the right version, migrated, in time with us, pooled as functions need it."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from functions.health import probes
from functions.health.probes import Failing
from infra import migrations
from infra.doctor.finding import Finding, failing, ok
from infra.migrations import State
from infra.provision.roles import TRANSACTION_PORT
from shared.errors import MillraceError

CONNECT_SECONDS = 5
OLDEST = 16  #: version of Postgres
#: Tokens are refused by clocks that are further apart (shared.auth.SKEW).
SKEW_SECONDS = 5.0
#: How often to look for two clients on one server connection before believing that there are none.
LOOKS = 5

Connection = psycopg.Connection[dict[str, Any]]

#: Role to the variable with its address.
VARIABLES = {"millrace_api": "MILLRACE_API_DATABASE_URL", "millrace_engine": "MILLRACE_ENGINE_DATABASE_URL"}


def connect(url: str) -> Connection:
    return psycopg.connect(
        url, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_SECONDS, row_factory=dict_row
    )


def unreachable(name: str, variable: str, error: psycopg.Error) -> Finding:
    """Why a connection was not made. The server's words hold no password."""
    said = (error.diag.message_primary or str(error).strip().splitlines()[-1]).rstrip(".")
    if "password" in said or "authentication" in said or "role" in said or error.sqlstate in ("28P01", "28000"):
        return failing(
            name,
            f"The database refuses {variable}: {said}.",
            "Give the role its password with `millrace provision --renew-passwords`, and set what it tells. Behind "
            "Supabase's pooler the user is <role>.<project ref>.",
        )
    return failing(name, f"The database of {variable} does not answer: {said}.", "Look at its host, port and network.")


def look_as(role: str, url: str) -> Iterator[Finding]:
    """What a function of this role would meet."""
    name, variable = f"database as {role}", VARIABLES[role]
    try:
        connection = connect(url)
    except psycopg.Error as error:
        yield unreachable(name, variable, error)
        return
    with connection:
        row = connection.execute("select current_user as role").fetchone() or {}
        if row["role"] != role:
            yield failing(
                name,
                f"{variable} logs in as {row['role']}.",
                f"Use the role {role}: with another one, row-level security or the engine's bounds do not hold.",
            )
        else:
            yield ok(name, f"{variable} logs in as {role}.")
        yield from pooling(f"pooler of {role}", variable, url, connection)


def pooling(name: str, variable: str, url: str, first: Connection) -> Iterator[Finding]:
    """Whether what is between us and the server hands connections on after each transaction.

    A pooler gives each client a number of its own in place of the server process's. In transaction mode a second client
    meets the server process that the first one has just left, although the first is still connected; in session mode,
    and without a pooler, it never does.
    """
    host = urllib.parse.urlsplit(url).hostname or ""
    process = _process(first)
    if process == first.info.backend_pid:
        if host.startswith("db.") and host.endswith(".supabase.co"):
            yield failing(
                name,
                f"{variable} leads to the server itself, which takes few connections.",
                f"Use the project's pooler in transaction mode (port {TRANSACTION_PORT}).",
            )
        else:
            yield ok(name, f"{variable} leads to the server itself.")
        return
    with connect(url) as second:
        if not any(_process(first) == _process(second) for _ in range(LOOKS)):
            yield failing(
                name,
                f"{variable} leads to a pooler in session mode: each function instance holds a server connection.",
                f"Use its transaction mode (Supabase: port {TRANSACTION_PORT}).",
            )
            return
    row = first.execute("select count(*) as kept from pg_prepared_statements").fetchone() or {}
    if row["kept"]:
        yield failing(
            name,
            f"Somebody prepares statements through the pooler of {variable}: {row['kept']} are kept.",
            "Turn prepared statements off in the other programs that use this role; ours make none.",
        )
        return
    yield ok(name, f"{variable} leads to a pooler in transaction mode.")


def _process(connection: Connection) -> int:
    row = connection.execute("select pg_backend_pid() as pid").fetchone() or {}
    return int(row["pid"])


def look_as_owner(url: str) -> Iterator[Finding]:
    """Version, ``vector``, migrations, clocks, and what nobody could handle."""
    name = "database as its owner"
    try:
        connection = connect(url)
    except psycopg.Error as error:
        yield unreachable(name, "MILLRACE_MIGRATION_URL", error)
        return
    with connection:
        yield ok(name, f"MILLRACE_MIGRATION_URL logs in as {connection.info.user}.")
        version = connection.info.server_version
        if version < OLDEST * 10_000:
            yield failing("version", f"Postgres {version // 10_000} is too old.", f"Upgrade to {OLDEST} or newer.")
        else:
            yield ok("version", f"Postgres {version // 10_000}.{version % 10_000}.")
        yield _clock(connection)
        yield _vector(connection)
        migrated = list(_migrations(url))
        yield from migrated
        if connection.execute("select to_regclass('millrace.storage_event') as t").fetchone() != {"t": None}:
            yield from _given_up(connection)


def _clock(connection: Connection) -> Finding:
    before = time.time()
    row = connection.execute("select clock_timestamp() as now").fetchone() or {}
    here = datetime.fromtimestamp((before + time.time()) / 2, UTC)
    apart = (here - row["now"]).total_seconds()
    if abs(apart) > SKEW_SECONDS:
        return failing(
            "clocks",
            f"This machine's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} the database's.",
            "Set the clock that is wrong (NTP): tokens and signatures are refused by it.",
        )
    return ok("clocks", f"This machine and the database agree within {SKEW_SECONDS:g} s.")


def _vector(connection: Connection) -> Finding:
    row = connection.execute(
        """
        select
            exists (select from pg_extension where extname = 'vector') as installed,
            exists (select from pg_available_extensions where name = 'vector') as available
        """
    ).fetchone()
    if row and row["installed"]:
        return ok("vector", "The extension vector is installed.")
    if row and row["available"]:
        return failing(
            "vector", "The extension vector is not installed.", "create extension vector with schema extensions;"
        )
    return failing("vector", "The server does not have the extension vector.", "Install pgvector on the server.")


def _migrations(url: str) -> Iterator[Finding]:
    try:
        rows = migrations.status(url)
    except (MillraceError, psycopg.Error) as error:
        yield failing("migrations", f"They cannot be read: {error}", "Look at them with `millrace migrate status`.")
        return
    found: dict[State, list[str]] = {}
    for row in rows:
        found.setdefault(row.state, []).append(f"{row.version}_{row.name}")
    wrong = False
    for state, says, remedy in (
        (State.EDITED, "edited after it was applied", "Restore the file, and put the change in a new migration."),
        (State.LATE, "added before one that is applied", "Give it a time after the last applied migration."),
        (State.PENDING, "pending", "Apply it with `millrace migrate up`."),
    ):
        if names := found.get(state):
            wrong = True
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield failing("migrations", f"{names[0]}{more}: {says}.", remedy)
    if not wrong:
        yield ok("migrations", f"{len(rows) - len(found.get(State.UNKNOWN, []))} are applied, none is pending.")


def _given_up(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(
        "select count(*) as events, max(failure) as failure from millrace.storage_event where due_at is null"
    ).fetchone()
    if row and row["events"]:
        yield failing(
            "stored files",
            f"{row['events']} stored files could not be handled: {row['failure']}.",
            "Put it right, then try again: update millrace.storage_event set due_at = now(), attempts = 0 "
            "where due_at is null;",
        )


def look_at_tick(url: str, interval: float) -> Iterator[Finding]:
    """Whether the tick comes and what is due is taken, as the health route tells it."""
    try:
        with connect(url) as connection:
            row = connection.execute(
                "select tick_lag, runs_late, jobs_late, files_late from millrace.health()"
            ).fetchone()
    except psycopg.Error as error:
        yield failing(
            "tick", f"It cannot be told: {error.diag.message_primary or error}.", "Apply the migrations first."
        )
        return
    found = row or {}
    try:
        yield ok("tick", probes.tick(found["tick_lag"], interval))
    except Failing as late:
        yield failing(
            "tick",
            str(late),
            "Look at the log of schedule-tick, and whether its schedule is enabled. On a laptop: `millrace dev`.",
        )
    try:
        yield ok("work", probes.work({kind: float(found[f"{kind}_late"]) for kind in ("runs", "jobs", "files")}))
    except Failing as late:
        yield failing("work", str(late), "Look at the logs of workflow-run and schedule-tick, and at their alarms.")
