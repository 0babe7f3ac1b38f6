"""Webhooks accepted and runs completed per second through the whole local stack: gateway, functions, Postgres, bells.

Everything is as in `make dev`: the functions of ``serverless.yml`` in processes of their own, Postgres with fsync, and
the load generator beside them on the same machine, in a process of its own. Deliveries are signed as GitHub signs them.
A run counts as completed when its row says so; the clock stops when the last acknowledged run has.

    python -m bench.intake [--seconds N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from infra.local.stack import Stack

console = Console()
BODY = json.dumps(
    {"ref": "refs/heads/main", "commits": [{"id": "6a1f", "message": "Grease the axle"}], "after": "6a1f"}
)


def _graph(nodes: int) -> dict[str, Any]:
    """A trigger, and then nodes that each compute a little from what came."""
    listed: list[dict[str, Any]] = [{"node_id": "n0", "node_type": "trigger"}]
    for number in range(1, nodes):
        value = "{{ trigger.payload.ref }}" if number == 1 else f"{{{{ nodes.n{number - 1}.output }}}}"
        config = {"variable_name": f"v{number}", "variable_value": value}
        listed.append({"node_id": f"n{number}", "node_type": "set_variable", "config": config})
    edges = [{"from": f"n{number}", "to": f"n{number + 1}"} for number in range(nodes - 1)]
    return {"nodes": listed, "edges": edges}


class Bench:
    """A running stack with a webhook for each workflow."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.api = httpx.Client(base_url=stack.url, headers={"authorization": f"Bearer {stack.token}"}, timeout=30)
        self.hooks: dict[int, tuple[str, str]] = {}

    def prepare(self, nodes: int) -> None:
        workflow = self.api.post("/api/v1/workflows", json={"name": f"{nodes} nodes", "graph_config": _graph(nodes)})
        workflow.raise_for_status()
        order = {"workflow_id": workflow.json()["id"], "scheme": "github", "webhook_path": f"/bench/{nodes}"}
        made = self.api.post("/api/v1/workflows/webhooks/subscriptions", json=order)
        made.raise_for_status()
        self.hooks[nodes] = (httpx.URL(made.json()["url"]).path, made.json()["secret"])

    def load(self, nodes: int, connections: int, seconds: float, rate: float | None = None) -> dict[str, Any]:
        """What the generator saw, and ``completed``: runs per second until the last acknowledged one was done."""
        path, secret = self.hooks[nodes]
        url = httpx.URL(self.stack.url)
        order = {
            "host": url.host,
            "port": url.port,
            "path": path,
            "secret": secret,
            "body": BODY,
            "connections": connections,
            "seconds": seconds,
            "rate": rate,
        }
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "bench.load"], input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True
        )
        seen: dict[str, Any] = json.loads(done.stdout)
        self._wait_for(seen["runs"])
        seen["completed"] = len(seen["runs"]) / (time.perf_counter() - began - START_OF_GENERATOR)
        seen["accepted"] = len(seen["runs"]) / seconds
        return seen

    def _wait_for(self, runs: list[str]) -> None:
        """Return when every one of these has completed; a run that was acknowledged and is not there is an error."""
        until = time.monotonic() + 120
        with psycopg.connect(self.stack.database_url("postgres"), autocommit=True) as connection:
            while time.monotonic() < until:
                row = connection.execute(
                    "select count(*) filter (where status = 'completed'), count(*) from public.workflowexecution "
                    "where id = any(%s::uuid[])",
                    [runs],
                ).fetchone()
                assert row is not None
                assert row[1] == len(runs), f"{len(runs) - row[1]} acknowledged runs are not in the database"
                if row[0] == len(runs):
                    return
                time.sleep(0.02)
        raise AssertionError("acknowledged runs did not complete within two minutes")


#: Seconds that the generator's process takes to begin; measured in main, and taken off.
START_OF_GENERATOR = 0.0


def _milliseconds(latencies: list[float], quantile: float) -> str:
    ordered = sorted(latencies)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * quantile))] * 1000:.1f} ms"


def _first_accepted(directory: Path, hook: tuple[str, str] | None) -> tuple[float, Stack]:
    """Seconds from nothing running to the first accepted webhook."""
    import hashlib
    import hmac

    began = time.perf_counter()
    stack = Stack(directory)
    stack.start()
    if hook is None:
        return time.perf_counter() - began, stack
    path, secret = hook
    headers = {"x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), BODY.encode(), hashlib.sha256).hexdigest()}
    answer = httpx.post(stack.url + path, content=BODY, headers={"content-type": "application/json", **headers})
    assert answer.status_code == 202, answer.text
    return time.perf_counter() - began, stack


class Memory(threading.Thread):
    """The stack's largest memory while it is loaded, sampled."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self.stack = stack
        self.peak = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            self.peak = max(self.peak, self.stack.memory_bytes())


def main() -> None:
    global START_OF_GENERATOR
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=10, help="length of each measurement")
    seconds = arguments.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        directory = Path(name)
        os.environ["XDG_CONFIG_HOME"] = name  # the data keys go with the rest
        _, stack = _first_accepted(directory, None)
        time.sleep(3)
        idle = stack.memory_bytes()
        bench = Bench(stack)
        for nodes in (2, 10):
            bench.prepare(nodes)
        hook = bench.hooks[2]
        used = stack.memory_bytes()
        began = time.perf_counter()
        bench.load(2, 1, 0.001)
        START_OF_GENERATOR = time.perf_counter() - began
        memory = Memory(stack)
        memory.start()

        table = Table("through the whole stack", "connections", "accepted/s", "completed/s", "p50", "p99", "answers")
        for nodes in (2, 10):
            for connections in (16, 64):
                seen = bench.load(nodes, connections, seconds)
                table.add_row(
                    f"{nodes}-node workflow",
                    str(connections),
                    f"{seen['accepted']:,.0f}",
                    f"{seen['completed']:,.0f}",
                    _milliseconds(seen["latencies"], 0.5),
                    _milliseconds(seen["latencies"], 0.99),
                    str(seen["statuses"]),
                )
        for nodes in (2, 10):
            seen = bench.load(nodes, 16, seconds, rate=100)
            median, tail = _milliseconds(seen["latencies"], 0.5), _milliseconds(seen["latencies"], 0.99)
            row = (f"{nodes}-node workflow at 100/s", "16", f"{seen['accepted']:,.0f}", f"{seen['completed']:,.0f}")
            table.add_row(*row, median, tail, str(seen["statuses"]))
        flood = bench.load(2, 1000, seconds)
        console.print(table)
        console.print(
            f"overload, 1,000 connections: {flood['statuses']}; {flood['retry_after']} refusals said when to "
            f"come again; all {len(flood['runs'])} acknowledged runs completed"
        )
        memory.stopped.set()
        memory.join()
        stack.stop()

        starts = []
        for _ in range(3):
            taken, stack = _first_accepted(directory, hook)
            starts.append(taken)
            stack.stop()
        killed = _after_kill(directory, hook)
        console.print(
            f"start to first accepted webhook: {statistics.median(starts):.2f} s; after kill -9: {killed:.2f} s"
        )
        console.print(
            f"memory: idle {idle / 2**20:.0f} MiB, with the API in use {used / 2**20:.0f} MiB, "
            f"peak {memory.peak / 2**20:.0f} MiB (sum of PSS)"
        )


def _after_kill(directory: Path, hook: tuple[str, str]) -> float:
    """The same after ``kill -9`` of a stack in a process of its own."""
    code = (
        "import sys, time; from infra.local.stack import Stack; "
        "Stack(sys.argv[1]).start(); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
    taken, stack = _first_accepted(directory, hook)
    stack.stop()
    return taken


if __name__ == "__main__":
    main()
