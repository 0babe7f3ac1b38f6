"""Durable steps per second, ours and DBOS's, side by side on the same embedded Postgres.

Both do the same work in the same run: workflows of ten steps that each return a small object and must be on disk before
the next begins. "1 worker" is one process with one workflow at a time; "16 workers" are sixteen processes that share
the workflows evenly (and, for DBOS, also one process of sixteen threads, its usual form). Ours claim and drive batches
as in production: ten runs at a time with sixteen workers, one with one. Rounds alternate, so that a noisy machine slows
both; the medians and the ratios are printed. Then one of our runs is looked at closely: statements by the server's log,
Syncs by libpq's trace.

    python -m bench.steps [--workflows N] [--rounds N]
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import re
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from infra import migrations
from infra.local.postgres import EmbeddedPostgres, allow_logins, create_database
from shared.database import Database
from shared.doorbell import SilentDoorbell
from shared.payloads import Payloads
from shared.storage import storage
from shared.workflow.drive import Driver
from shared.workflow.node import Effect, NodeConfig, Output, StepContext, node
from shared.workflow.run import Bounds

STEPS = 10
console = Console()


class Nothing(NodeConfig):
    """Needs no config."""


@node("bench_step", config=Nothing, effect=Effect.IDEMPOTENT)
def bench_step(config: Nothing, context: StepContext) -> Output:
    """The measured step: as little work as a step can do, but with an effect, so that each is durable by itself."""
    return Output({"step": context.key})


@node("bench_pure", config=Nothing, effect=Effect.PURE)
def bench_pure(config: Nothing, context: StepContext) -> Output:
    """The same without an effect, so that steps in a row share a checkpoint."""
    return Output({"step": context.key})


# --- ours -------------------------------------------------------------------------------------------------------------


def _prepare(url: str, kind: str) -> tuple[str, str]:
    """A tenant with a workflow of ten steps of ``kind``; workflow and owner."""
    owner, workflow = str(uuid.uuid4()), str(uuid.uuid4())
    nodes = [{"node_id": f"n{n}", "node_type": kind} for n in range(STEPS)]
    edges = [{"from": f"n{n}", "to": f"n{n + 1}"} for n in range(STEPS - 1)]
    graph = Jsonb({"nodes": nodes, "edges": edges, "entry_node_id": "n0"})
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            'insert into public."user" (id, email, is_active, is_superuser, hashed_password) '
            "values (%s, %s, true, false, '')",
            [owner, f"{owner}@example.com"],
        )
        connection.execute(
            "insert into public.workflow (id, name, owner_id, is_active, version, graph_config) "
            "values (%s, 'bench', %s, true, 1, %s)",
            [workflow, owner, graph],
        )
        connection.execute(
            "with v as (insert into public.workflowversion (owner_id, workflow_id, version, graph) "
            "values (%s, %s, 1, %s) returning id) "
            "update public.workflow set version_id = (select id from v) where id = %s",
            [owner, workflow, graph, workflow],
        )
    return workflow, owner


def _start(url: str, workflow: str, owner: str, count: int) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "select millrace.start_run(%s, %s, 'manual', '{}')::text from generate_series(1, %s)",
            [workflow, owner, count],
        ).fetchall()
    return [id_ for (id_,) in rows]


def _driver(url: str) -> Driver:
    payloads = Payloads(storage, inline_bytes=64 * 1024, largest_bytes=1024 * 1024)
    return Driver(Database(url), SilentDoorbell(), ThreadPoolExecutor(16), Bounds(), payloads)


def _drive(url: str, ids: list[str], batch: int, gate: Any, done: Any) -> None:
    driver = _driver(url)
    driver.database.call("select 1")
    gate.wait()
    for position in range(0, len(ids), batch):
        driver.drive(ids[position : position + batch], datetime.now(UTC) + timedelta(minutes=10))
    done.wait()


def ours(server: EmbeddedPostgres, workers: int, workflows: int) -> float:
    """Steps per second."""
    workflow, owner = _prepare(server.url("postgres", "bench"), "bench_step")
    ids = _start(server.url("postgres", "bench"), workflow, owner, workflows)
    seconds = _timed(
        workers,
        lambda n, gate, done: (server.url("millrace_engine", "bench"), ids[n::workers], min(10, workers), gate, done),
        _drive,
    )
    with psycopg.connect(server.url("postgres", "bench")) as connection:
        query = "select count(*) from public.executionstep s join public.workflowexecution e on e.id = s.execution_id "
        row = connection.execute(query + "where e.workflow_id = %s and e.status = 'completed'", [workflow]).fetchone()
    assert row == (workflows * STEPS,), row
    return workflows * STEPS / seconds


# --- DBOS -------------------------------------------------------------------------------------------------------------


def _dbos(url: str, workflows: int, threads: int, number: int, gate: Any, done: Any) -> None:
    from dbos import DBOS

    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "executor_id": f"worker-{number}",
            "log_level": "ERROR",
            "sys_db_pool_size": max(5, threads),
        }
    )

    @DBOS.step()
    def step(number: int) -> dict[str, str]:
        return {"step": f"{DBOS.workflow_id}/{number}"}

    @DBOS.workflow()
    def workflow() -> str:
        for number in range(STEPS):
            step(number)
        return "done"

    DBOS.launch()
    workflow()  # opens the pool
    gate.wait()
    if threads == 1:
        for _ in range(workflows):
            workflow()
    else:
        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(workflow) for _ in range(workflows)]:
                future.result()
    done.wait()
    DBOS.destroy()


def dbos(server: EmbeddedPostgres, workers: int, workflows: int, threads: int = 1) -> float:
    """Steps per second."""
    name = "bench_dbos"
    with psycopg.connect(server.url("supabase_admin", "postgres"), autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name} owner postgres")
    url = server.url("postgres", name)
    _run_once(_dbos, url, 0, 1, 99)  # makes its tables, so that workers do not race for it
    seconds = _timed(workers, lambda n, gate, done: (url, workflows // workers, threads, n, gate, done), _dbos)
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from dbos.operation_outputs").fetchone()
    expected = (workflows // workers * workers + workers + 1) * STEPS  # with the warming ones
    assert row == (expected,), (row, expected)
    return workflows // workers * workers * STEPS / seconds


# --- measuring --------------------------------------------------------------------------------------------------------


def _timed(workers: int, arguments: Callable[[int, Any, Any], tuple[Any, ...]], target: Callable[..., None]) -> float:
    """Seconds from all workers being ready to the last being done."""
    context = mp.get_context("spawn")
    gate, done = context.Barrier(workers + 1), context.Barrier(workers + 1)
    processes = [context.Process(target=target, args=arguments(n, gate, done), daemon=True) for n in range(workers)]
    for process in processes:
        process.start()
    gate.wait(120)
    began = time.perf_counter()
    done.wait(600)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join(60)
    return seconds


def _run_once(target: Callable[..., None], *arguments: Any) -> None:
    _timed(1, lambda _n, gate, done: (*arguments, gate, done), target)


def _close_look(server: EmbeddedPostgres, kind: str) -> tuple[float, float]:
    """Statements (by the server's log) and Syncs (by libpq's trace) per step, for one run driven alone."""
    workflow, owner = _prepare(server.url("postgres", "bench"), kind)
    warm, measured = _start(server.url("postgres", "bench"), workflow, owner, 2)
    driver = _driver(server.url("millrace_engine", "bench"))
    until = datetime.now(UTC) + timedelta(minutes=10)
    driver.drive([warm], until)
    with psycopg.connect(server.url("supabase_admin", "postgres"), autocommit=True) as connection:
        connection.execute("alter system set log_statement = 'all'")
        connection.execute("select pg_reload_conf()")
        time.sleep(0.5)
        begin = server.log.stat().st_size
        with tempfile.TemporaryFile("w+") as trace:
            driver.database.trace(trace.fileno())
            driver.drive([measured], until)
            driver.database.trace(None)
            trace.seek(0)
            syncs = len(re.findall(r"^\S+ \S+\tF\t\d+\tSync", trace.read(), re.MULTILINE))
        with server.log.open("rb") as log:
            log.seek(begin)
            statements = len(re.findall(rb"execute <unnamed>|statement: ", log.read()))
        connection.execute("alter system reset log_statement")
        connection.execute("select pg_reload_conf()")
    driver.database.close()
    return statements / STEPS, syncs / STEPS


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--workflows", type=int, default=160, help="workflows of ten steps in each measurement")
    arguments.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    chosen = arguments.parse_args()
    cases: dict[str, Callable[[EmbeddedPostgres], float]] = {
        "ours, 1 worker": lambda server: ours(server, 1, chosen.workflows),
        "dbos, 1 worker": lambda server: dbos(server, 1, chosen.workflows),
        "ours, 16 workers": lambda server: ours(server, 16, chosen.workflows * 4),
        "dbos, 16 workers": lambda server: dbos(server, 16, chosen.workflows),
        "dbos, 16 threads of one": lambda server: dbos(server, 1, chosen.workflows, threads=16),
    }
    figures: dict[str, list[float]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory(prefix="bench") as directory, EmbeddedPostgres(Path(directory)) as server:
        create_database(server.url("supabase_admin", "postgres"), "bench")
        migrations.up(server.url("postgres", "bench"))
        allow_logins(server.url("supabase_admin", "postgres"))
        with console.status("measuring") as status:
            for turn in range(chosen.rounds):
                for name, case in cases.items():
                    status.update(f"round {turn + 1} of {chosen.rounds}: {name}")
                    figures[name].append(case(server))
        table = Table("durable steps/s", "median", "lowest", "highest")
        for name, values in figures.items():
            table.add_row(name, f"{statistics.median(values):,.0f}", f"{min(values):,.0f}", f"{max(values):,.0f}")
        console.print(table)
        ratios = Table("ours against DBOS, round by round", "median", "lowest", "highest")
        for mine, theirs in (
            ("ours, 1 worker", "dbos, 1 worker"),
            ("ours, 16 workers", "dbos, 16 workers"),
            ("ours, 16 workers", "dbos, 16 threads of one"),
        ):
            values = [a / b for a, b in zip(figures[mine], figures[theirs], strict=True)]
            ratios.add_row(f"{mine} / {theirs}", *(f"{f(values):.1f}x" for f in (statistics.median, min, max)))
        console.print(ratios)
        look = Table("round trips of one run, claim included", "statements per step", "Syncs per step")
        for kind, name in (("bench_step", "ten steps with effects"), ("bench_pure", "ten pure steps in a row")):
            statements, syncs = _close_look(server, kind)
            look.add_row(name, f"{statements:.2f}", f"{syncs:.2f}")
        console.print(look)


if __name__ == "__main__":
    main()
