"""A tenant's workflows, driven by hand: start, drive, look."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.database import Database
from shared.doorbell import RecordingDoorbell
from shared.payloads import Payloads
from shared.workflow.drive import Driver
from shared.workflow.node import Job, Json, NodeConfig, Output, StepContext, StepError
from shared.workflow.run import Bounds
from tests.cluster import TestDatabase, User


class Probe(NodeConfig):
    """What a test tells its probe to do, by name."""

    act: str = "echo"
    timeout_seconds: float | None = None


#: What probes do, by ``act``; a test adds its own. Each is called with the context.
ACTS: dict[str, Callable[[StepContext], Any]] = {}
#: The key and attempt of each call of a probe, in order.
CALLS: list[tuple[str, int]] = []


def act(config: Probe, context: StepContext) -> Any:
    CALLS.append((context.key, context.attempt))
    outcome = ACTS[config.act](context) if config.act in ACTS else {"from": context.key.split("/")[1]}
    return outcome if isinstance(outcome, Output | Job) or hasattr(outcome, "until") else Output(outcome)


def chain(*nodes: dict[str, Any], **graph: Any) -> dict[str, Any]:
    """A graph of these nodes in a row, after a trigger; each edge may carry the source's ``branch`` key."""
    listed = [{"node_id": "start", "node_type": "trigger"}, *nodes]
    edges = [{"from": a["node_id"], "to": b["node_id"]} for a, b in itertools.pairwise(listed)]
    return {"nodes": listed, "edges": edges, **graph}


def probe(node_id: str, act: str = "echo", kind: str = "probe", **more: Any) -> dict[str, Any]:
    return {"node_id": node_id, "node_type": kind, "config": {"act": act}, **more}


@dataclass
class Engine:
    """What a test drives runs with."""

    db: TestDatabase
    user: User
    database: Database
    bell: RecordingDoorbell = field(default_factory=RecordingDoorbell)
    bounds: Bounds = field(default_factory=Bounds)
    stopped: datetime | None = None
    storage: Any = None
    inline_bytes: int = 64 * 1024
    lease_seconds: float = 60.0
    executor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    def now(self) -> datetime:
        return self.stopped or datetime.now(UTC)

    def skip(self, seconds: float) -> None:
        """Stop the clock, Python's and Postgres's, this much later than it stands."""
        self.stopped = self.now() + timedelta(seconds=seconds)
        self.db.connect("supabase_admin").execute(
            f"alter database {self.db.name} set millrace.now = '{self.stopped.isoformat()}'"  # type: ignore[arg-type]
        )
        self.db.owner.execute("select set_config('millrace.now', %s, false)", [self.stopped.isoformat()])
        self.database.close()  # the next connection starts with the new time

    def save(self, graph: Json, *, user: User | None = None) -> uuid.UUID:
        owner = (user or self.user).id
        workflow = uuid.uuid4()
        self.db.owner.execute(
            "insert into public.workflow (id, name, owner_id, is_active, version, graph_config) "
            "values (%s, 'test', %s, true, 1, %s)",
            [workflow, owner, graph],
        )
        self.db.owner.execute(
            "with v as (insert into public.workflowversion (owner_id, workflow_id, version, graph) "
            "values (%(owner)s, %(workflow)s, 1, %(graph)s) returning id) "
            "update public.workflow set version_id = (select id from v) where id = %(workflow)s",
            {"owner": owner, "workflow": workflow, "graph": graph},
        )
        return workflow

    def start(self, graph: Json, trigger: Json = None) -> str:
        """Save the graph and start one run of it; the run's id."""
        row = self.db.owner.execute(
            "select millrace.start_run(%s, %s, 'manual', %s) as id", [self.save(graph), self.user.id, trigger or {}]
        ).fetchone()
        assert row is not None
        return str(row["id"])

    def driver(self, database: Database | None = None) -> Driver:
        return Driver(
            database or self.database,
            self.bell,
            self.executor,
            self.bounds,
            Payloads(lambda: self.storage, inline_bytes=self.inline_bytes, largest_bytes=1024 * 1024),
            lease_seconds=self.lease_seconds,
            clock=self.now,
        )

    def drive(self, *runs: str, seconds: float = 300) -> int:
        return self.driver().drive(runs, self.now() + timedelta(seconds=seconds))

    def run(self, graph: Json, trigger: Json = None) -> dict[str, Any]:
        """Start a run, drive it once, and say where it stands."""
        run = self.start(graph, trigger)
        self.drive(run)
        return self.execution(run)

    def execution(self, run: str) -> dict[str, Any]:
        row = self.db.owner.execute("select * from public.workflowexecution where id = %s", [run]).fetchone()
        assert row is not None
        return row

    def steps(self, run: str) -> list[dict[str, Any]]:
        return self.db.owner.execute(
            "select * from public.executionstep where execution_id = %s order by seq", [run]
        ).fetchall()

    def hot(self, run: str) -> dict[str, Any] | None:
        """The run's row in the engine's own table, while it lives."""
        return self.db.owner.execute("select * from millrace.run where execution_id = %s", [run]).fetchone()

    def call(self, function: str, *params: Any) -> Any:
        """One of the engine's internal functions, as its owner."""
        marks = ", ".join(["%s"] * len(params))
        row = self.db.owner.execute(f"select millrace.{function}({marks}) as answer", params).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row["answer"]


def failing(
    times: int = 10**6, kind: str = "flaky", *, retryable: bool = True, retry_after: float | None = None
) -> Callable[[StepContext], Any]:
    """An act that fails its first ``times`` attempts."""

    def act(context: StepContext) -> Any:
        if context.attempt <= times:
            raise StepError("no luck", kind=kind, retryable=retryable, retry_after=retry_after)
        return {"attempt": context.attempt}

    return act
