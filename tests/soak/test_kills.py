"""Workers and Postgres are killed at random, bells lost and doubled: each run ends once, each step is kept once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from infra import migrations
from infra.local.postgres import EmbeddedPostgres, allow_logins
from tests.soak.workers import Workers

STEPS = 10

#: What the engine must not know about: a row for each end of a run, and one for each effect.
WITNESSES = """
create schema soak;
create table soak.ended (execution_id uuid, status text, at timestamptz default clock_timestamp());
create table soak.effect (key text, at timestamptz default clock_timestamp());
grant usage on schema soak to postgres;
create function soak.witness() returns trigger language plpgsql as $$
begin
    if new.completed_at is not null and (old.completed_at is null or old.status <> new.status) then
        insert into soak.ended (execution_id, status) values (new.id, new.status);
    end if;
    return new;
end $$;
create trigger witness after update on public.workflowexecution for each row execute function soak.witness();
alter function soak.witness() security definer;
"""


def _connect(url: str) -> psycopg.Connection[dict[str, Any]]:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def _prepare(url: str) -> tuple[str, str]:
    patient = {"max_attempts": 100, "backoff_seconds": 0.2, "multiplier": 1}
    nodes = [{"node_id": f"s{n}", "node_type": "slow_step", "retry": patient} for n in range(STEPS)]
    edges = [{"from": f"s{n}", "to": f"s{n + 1}"} for n in range(STEPS - 1)]
    graph = Jsonb({"nodes": nodes, "edges": edges, "entry_node_id": "s0"})
    with _connect(url) as connection:
        connection.execute(WITNESSES)
        owner = connection.execute(
            'insert into public."user" (id, email, is_active, is_superuser, hashed_password) '
            "values (gen_random_uuid(), 'soak@example.com', true, false, '') returning id"
        ).fetchone()
        assert owner is not None
        workflow = connection.execute(
            "insert into public.workflow (id, name, owner_id, is_active, version, graph_config) "
            "values (gen_random_uuid(), 'soak', %s, true, 1, %s) returning id",
            [owner["id"], graph],
        ).fetchone()
        assert workflow is not None
        connection.execute(
            "with v as (insert into public.workflowversion (owner_id, workflow_id, version, graph) "
            "values (%s, %s, 1, %s) returning id) update public.workflow set version_id = (select id from v)",
            [owner["id"], workflow["id"], graph],
        )
    return str(workflow["id"]), str(owner["id"])


def _start_all(url: str, workflow: str, owner: str, count: int, acknowledged: list[str], workers: Workers) -> None:
    """Start runs one by one, all the time; what Postgres acknowledged is written down, then its bell is rung."""
    while len(acknowledged) < count:
        try:
            with _connect(url) as connection:
                while len(acknowledged) < count:
                    row = connection.execute(
                        "select millrace.start_run(%s, %s, 'manual', '{}')::text as id", [workflow, owner]
                    ).fetchone()
                    assert row is not None
                    acknowledged.append(row["id"])
                    workers.ring(row["id"])
                    time.sleep(0.01)
        except psycopg.OperationalError:
            time.sleep(0.1)  # it was killed; not acknowledged


def _tick(url: str, workers: Workers, stopped: threading.Event) -> None:
    while not stopped.wait(0.5):
        try:
            with _connect(url) as connection:
                for row in connection.execute("select * from millrace.due_runs(200, 1, 0)"):
                    workers.ring(str(row["execution_id"]), row["delay"])
        except psycopg.OperationalError:
            continue  # it was killed; the next tick


def _chaos(
    server: EmbeddedPostgres, workers: Workers, count: int, finished: Any, acknowledged: list[str]
) -> dict[str, int]:
    postgres_kills = 0
    until = time.monotonic() + 600
    while time.monotonic() < until:
        time.sleep(workers.random.uniform(0.05, 0.25))
        workers.kill_one()
        done = finished()
        if postgres_kills < 2 and done >= count * (postgres_kills + 1) // 3:
            server.kill()
            server.start()
            postgres_kills += 1
        if len(acknowledged) >= count and done >= count and postgres_kills == 2:
            return {**workers.counts, "Postgres kills": postgres_kills}
    raise AssertionError(f"after ten minutes {finished()} of {count} runs have ended")


@pytest.mark.parametrize(
    "count",
    [pytest.param(40, id="short"), pytest.param(500, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
)
def test_every_acknowledged_run_ends_once_and_every_step_is_kept_once(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        migrations.up(server.url())
        allow_logins(server.url("supabase_admin", "postgres"))
        workflow, owner = _prepare(server.url())
        workers = Workers(4, server.url("millrace_engine"), server.url(), 1.0, seed=count)
        acknowledged: list[str] = []
        stopped = threading.Event()

        def finished() -> int:
            try:
                with _connect(server.url()) as connection:
                    row = connection.execute("select count(distinct execution_id) as n from soak.ended").fetchone()
                    return row["n"] if row else 0
            except psycopg.OperationalError:
                return 0

        arguments = (server.url(), workflow, owner, count, acknowledged, workers)
        threads = [
            threading.Thread(target=_start_all, args=arguments, daemon=True),
            threading.Thread(target=_tick, args=(server.url(), workers, stopped), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            counts = _chaos(server, workers, count, finished, acknowledged)
        finally:
            stopped.set()
            workers.stop()
            for thread in threads:
                thread.join(10)
        with _connect(server.url()) as connection:
            _judge(connection, acknowledged, counts)
    with capsys.disabled():
        print(f"\n{count} runs of {STEPS} steps:", ", ".join(f"{n} {what}" for what, n in counts.items()))


def _judge(connection: psycopg.Connection[dict[str, Any]], acknowledged: list[str], counts: dict[str, int]) -> None:
    ended = connection.execute("select execution_id::text as id, count(*) as n from soak.ended group by 1").fetchall()
    assert set(acknowledged) <= {row["id"] for row in ended}, "an acknowledged run was lost"
    assert [row for row in ended if row["n"] != 1] == [], "a run ended twice"
    not_completed = "select status, error from public.workflowexecution where status <> 'completed'"
    assert connection.execute(not_completed).fetchall() == []
    steps = connection.execute(
        "select execution_id, count(*) as n, count(distinct node_id) as nodes "
        "from public.executionstep where status = 'completed' group by 1"
    ).fetchall()
    assert len(steps) == len(ended)
    for row in steps:
        assert (row["n"], row["nodes"]) == (STEPS, STEPS)
    effects = connection.execute("select count(*) as n, count(distinct key) as keys from soak.effect").fetchone()
    assert effects is not None
    assert effects["keys"] == len(ended) * STEPS
    counts["effects repeated under their key"] = effects["n"] - effects["keys"]
    assert connection.execute("select count(*) as n from millrace.run").fetchone() == {"n": 0}
