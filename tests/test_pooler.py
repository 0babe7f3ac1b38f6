"""The database's suites pass through a real PgBouncer in transaction mode, which has fewer connections than clients.

``tests.pgbouncer`` says how it is found or fetched, and what it counts. Where there is none, ``test_database`` still
holds one call against ``tests.pooler``, which is as strict.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.database import Database
from tests.cluster import TestDatabase
from tests.pgbouncer import POOL_SIZE, NoPgBouncer, PgBouncer, binary

pytestmark = pytest.mark.pooler

ROOT = Path(__file__).parent.parent

#: What is left out of them: its workers are processes of their own, whose exchanges are not counted here.
ELSEWHERE = "tests/functions/storage_intake/test_kills.py"

#: Row-level security, the engine, the jobs, and all that starts and drives runs; not what reads bodies and signatures.
SUITES = (
    "tests/sql/test_row_level_security.py",
    "tests/workflow/engine",
    "tests/jobs",
    "tests/functions/webhook_intake/test_accepting.py",
    "tests/functions/webhook_intake/test_repeats.py",
    "tests/functions/webhook_intake/test_trouble.py",
    "tests/functions/webhook_intake/test_waiting.py",
    "tests/functions/schedule_tick",
    "tests/functions/storage_intake",
    "tests/functions/workflow_run",
)


@pytest.fixture(scope="module")
def pgbouncer() -> None:
    try:
        binary()
    except NoPgBouncer as error:
        pytest.skip(str(error))


@pytest.fixture
def pooler(pgbouncer: None, db: TestDatabase) -> Iterator[PgBouncer]:
    pooler = PgBouncer(db.url("supabase_admin"))
    yield pooler
    pooler.stop()


def test_clients_that_share_connections_keep_their_claims_apart(pooler: PgBouncer, db: TestDatabase) -> None:
    clients, calls = 12, 50
    url = pooler.url("millrace_api", db.name)
    statement = "select current_setting('request.jwt.claims', true) as claims, pg_backend_pid() as server"

    def work(number: int) -> set[int]:
        database = Database(url)
        mine = {"sub": f"client {number}"}
        servers: set[int] = set()
        for _ in range(calls):
            [with_claims] = database.call_as(mine, statement)
            [without] = database.call(statement)
            assert f"client {number}" in with_claims["claims"]
            assert not without["claims"]
            servers |= {with_claims["server"], without["server"]}
        database.close()
        return servers

    with ThreadPoolExecutor(clients) as threads:
        seen = list(threads.map(work, range(clients)))
    assert len(set.union(*seen)) <= POOL_SIZE
    assert any(len(servers) > 1 for servers in seen)
    assert pooler.totals() == {"databases": 1, "syncs": clients * calls * 2, "transactions": clients * calls * 2}


@pytest.mark.timeout(900)
def test_the_databases_suites_pass_through_it(pgbouncer: None, record_property: Callable[[str, str], None]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.pgbouncer", "-n", "0", "-q", "--no-header"),
            *("--ignore", ELSEWHERE, *SUITES),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:]
    [summary] = [line for line in run.stdout.splitlines() if line.startswith("PgBouncer ")]
    assert summary.endswith("one Sync an exchange, and no connection held beyond it")
    record_property("summary", summary)
