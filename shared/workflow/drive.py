"""Drive runs: claim a batch, work on all of them, write their checkpoints together.

One worker, one connection, few round trips: what a batch of runs has to say at the same moment goes into one call of
``millrace.advance``. Node functions with effects run in threads; only this thread talks to the database.
"""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from shared.database import Database
from shared.doorbell import MAX_DELAY_SECONDS, RUNS, Doorbell
from shared.errors import Invalid, MillraceError, Unavailable
from shared.payloads import Payloads
from shared.statements import load
from shared.workflow import graph
from shared.workflow.checkpoint import closing
from shared.workflow.graph import Graph, GraphError
from shared.workflow.node import Json
from shared.workflow.run import Bounds, Run

logger = logging.getLogger(__name__)

POSTPONED_SECONDS = 30.0  #: a run whose stored values are out of reach rests this long
GRAPHS_KEPT = 256  #: versions never change, so a parsed one is good for as long as there is room


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Driver:
    """A worker's engine. It is used by one thread; ``executor`` runs the effects.

    Times are Postgres's: where this machine's clock is off by more than a claim takes, the difference is added.
    """

    def __init__(
        self,
        database: Database,
        doorbell: Doorbell,
        executor: Executor,
        bounds: Bounds,
        payloads: Payloads,
        *,
        lease_seconds: float = 60.0,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.database = database
        self.doorbell = doorbell
        self.executor = executor
        self.bounds = bounds
        self.payloads = payloads
        self.lease_seconds = lease_seconds
        self.clock = clock
        self._statements = load("engine")
        self._graphs: OrderedDict[str, Graph] = OrderedDict()
        self._ahead = timedelta()  #: of Postgres's clock before this machine's

    def drive(self, ids: Iterable[str], until: datetime) -> int:
        """Drive those of these runs that are due until each ended, waits, or ``until`` is near; answer how many.

        What is left at ``until`` is released as due, and its bell rung, for a new invocation to go on with. Raises
        ``shared.errors.Unavailable`` when the database does not answer; the leases then run out and nothing is lost.
        """
        wanted = list(ids)
        driven = 0
        began: datetime | None = None
        while wanted:
            claims = self._claim(wanted)
            began = began or self.clock()
            driven += len(claims)
            self._drive(self._open(claims), until + self._ahead, began + self._ahead)
            more = bool(claims) and claims[0]["left_out"] and self.clock() < until
            wanted = (
                [id_ for id_ in wanted if id_ not in {str(claim["execution_id"]) for claim in claims}] if more else []
            )
        return driven

    def now(self) -> datetime:
        """Postgres's time, as far as this machine can tell."""
        return self.clock() + self._ahead

    def _claim(self, ids: list[str]) -> list[dict[str, Any]]:
        asked = self.clock()
        claims = self.database.call(
            self._statements["claim_runs"],
            {"ids": ids, "lease": self.lease_seconds, "known": list(self._graphs), "claim": uuid.uuid4()},
        )
        if claims:
            told, answered = claims[0]["lease_until"] - timedelta(seconds=self.lease_seconds), self.clock()
            # Never ahead of Postgres: a bell set by this clock must not come before Postgres holds the run to be due.
            self._ahead = timedelta() if asked <= told <= answered else told - answered
        return claims

    def _drive(self, runs: dict[str, Run], until: datetime, began: datetime) -> None:
        try:
            while runs:
                now = self.now()
                items = []
                for run in list(runs.values()):
                    try:
                        run.work(self.executor, until, fresh=now - began < timedelta(seconds=1))
                        renew = run.lease_until - self.now() < timedelta(seconds=self.lease_seconds / 2)
                        item = run.checkpoint(self.lease_seconds, renew=renew)
                    except Exception:  # one run's trouble is not the others': its lease runs out, and it is tried anew
                        logger.exception("a run could not be driven", extra={"execution_id": run.id})
                        runs.pop(run.id).abandon()
                        continue
                    if item:
                        items.append(item)
                if items:
                    self._advance(runs, items)
                else:
                    futures = [attempt.future for run in runs.values() for attempt in run.attempts.values()]
                    wait(futures, timeout=1.0, return_when=FIRST_COMPLETED)
        finally:
            for run in runs.values():
                run.abandon()

    def _open(self, claims: list[dict[str, Any]]) -> dict[str, Run]:
        runs: dict[str, Run] = {}
        broken = []
        for claim in claims:
            try:
                run = Run(claim, self._graph(claim), self.bounds, self.payloads, self.now)
            except (Unavailable, OSError):
                logger.exception(
                    "a run's stored values are out of reach", extra={"execution_id": claim["execution_id"]}
                )
                broken.append(self._postponement(claim))
            except MillraceError as error:
                broken.append(self._refusal(claim, error))
            else:
                run.lease_until = self.now() + timedelta(seconds=self.lease_seconds)
                runs[run.id] = run
        while len(self._graphs) > GRAPHS_KEPT:  # not before: a claim may count on any that was known when it was made
            self._graphs.popitem(last=False)
        if broken:
            self._write(broken)
        return runs

    def _graph(self, claim: dict[str, Any]) -> Graph:
        version = str(claim["version_id"])
        if claim["graph"] is not None:
            self._graphs[version] = graph.parse(claim["graph"])
        elif version not in self._graphs:
            raise GraphError("The version that this run started with is gone.")
        self._graphs.move_to_end(version)
        return self._graphs[version]

    def _refusal(self, claim: dict[str, Any], error: MillraceError) -> dict[str, Json]:
        """The end of a run that cannot go on: its graph is older than a node type, or stored values are gone."""
        kind = "invalid_graph" if isinstance(error, GraphError) else "values_gone"
        told = {"kind": kind, "message": error.detail, "errors": error.errors}
        return closing(str(claim["execution_id"]), claim["epoch"], claim["seq"], claim["news"], told, None)

    def _postponement(self, claim: dict[str, Any]) -> dict[str, Json]:
        """The checkpoint that lets a run rest as it is."""
        kept = {name: claim[name] for name in ("epoch", "news", "frontier")}
        due = (self.now() + timedelta(seconds=POSTPONED_SECONDS)).isoformat()
        more = {"seq": claim["seq"] + 1, "lease": self.lease_seconds, "then": "release", "due": due}
        return {"run": str(claim["execution_id"]), **kept, **more}

    def _write(self, items: list[dict[str, Json]]) -> dict[str, Any]:
        answers: dict[str, Any] = self.database.call(self._statements["advance"], {"items": items})[0]["answers"]
        return answers

    def _advance(self, runs: dict[str, Run], items: list[dict[str, Json]]) -> None:
        try:
            answers = self._write(items)
        except (Invalid, psycopg.DataError, psycopg.IntegrityError) as error:
            if len(items) > 1:  # one run's trouble is not the others'
                for item in items:
                    self._advance(runs, [item])
                return
            logger.exception("a checkpoint was refused", extra={"execution_id": items[0]["run"]})
            answers = self._write([runs[items[0]["run"]].refused(str(error))])
        for item in items:
            self._take_answer(runs, item, answers[item["run"]])

    def _take_answer(self, runs: dict[str, Run], item: dict[str, Json], answer: dict[str, Any]) -> None:
        run = runs[item["run"]]
        if answer["outcome"] == "advanced":
            run.lease_until = self.now() + timedelta(seconds=self.lease_seconds)
            run.advanced(answer, item)
        else:
            run.abandon()
            if answer["outcome"] == "lost":
                logger.warning("a lease was lost", extra={"execution_id": run.id, "epoch": run.epoch})
            del runs[run.id]
        if answer["outcome"] == "lost":
            return
        for job in item.get("jobs", ()):
            self.doorbell.ring(job["kind"], [job["id"]])
        if answer["outcome"] == "released" and item["due"] is not None:
            delay = (datetime.fromisoformat(item["due"]) - self.now()).total_seconds()
            if delay <= MAX_DELAY_SECONDS:
                self.doorbell.ring(RUNS, [run.id], max(0.0, delay))
