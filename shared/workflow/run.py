"""One leased run: start what is ready, take in what ended, and say what the next checkpoint holds.

Nothing here talks to the database; :mod:`shared.workflow.drive` does, for several runs at once. A step's effect decides
when its checkpoint is written. Pure steps run at once and are recorded with whatever follows them: lost, they are
computed again from the same committed state, to the same result. Idempotent steps run under their stable key and are
recorded when they end. The start of an at-most-once step is recorded first; found begun at a claim, it is in doubt.
"""

from __future__ import annotations

import json
import logging
import random
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.errors import MillraceError
from shared.payloads import Payloads
from shared.workflow import retry
from shared.workflow.checkpoint import Pending, closing
from shared.workflow.context import Step
from shared.workflow.graph import ERROR_BRANCH, Graph, Node
from shared.workflow.node import Effect, End, Job, Json, Outcome, Output, StepError, Wait
from shared.workflow.outputs import Outputs
from shared.workflow.state import OpenStep, RunState

logger = logging.getLogger(__name__)

GRACE = timedelta(seconds=5)  #: a node that heeds its deadline has ended by then
SLICE = timedelta(seconds=1)  #: pure steps in a row give way to the worker's other runs after this

RESOLVE_SIGNAL = "millrace.resolve_step"  #: how millrace.resolve_step's decision travels


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one run may take of its worker."""

    parallel: int = 8  #: effects of one run under way at once
    step_seconds: float = 60.0  #: an attempt's time where the node does not say
    job_seconds: float = 3600.0  #: a job's time where the node does not say
    output_bytes: int = 2 * 1024 * 1024  #: of one step's output as JSON
    context_bytes: int = 4 * 1024 * 1024  #: of all outputs of a run together
    attempts_logged: int = 100


@dataclass(slots=True)
class Attempt:
    """An effect under way in a thread."""

    future: Future[Outcome]
    step: Step
    started: datetime


def _plain(message: str) -> str:
    """What Postgres can hold of a message."""
    return message[:10_000].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


class Run:
    """A run that this worker holds the lease of. ``claim`` is a row of ``millrace.claim_runs``."""

    def __init__(
        self, claim: dict[str, Any], graph: Graph, bounds: Bounds, payloads: Payloads, clock: Callable[[], datetime]
    ) -> None:
        self.id = str(claim["execution_id"])
        self.owner: uuid.UUID = claim["owner_id"]
        self.epoch: int = claim["epoch"]
        self.seq: int = claim["seq"]
        self.news: int = claim["news"]
        self.status: str = claim["status"]
        self.lease_until: datetime = claim["lease_until"]  #: by this worker's clock
        self.graph = graph
        self.bounds = bounds
        self.payloads = payloads
        self.clock = clock
        steps = claim["steps"] or []
        for step in steps:
            step["output"] = payloads.resolve(self.owner, step["output"])
        self.outputs = Outputs(
            payloads, self.owner, self.id, output_bytes=bounds.output_bytes, context_bytes=bounds.context_bytes
        )
        self.outputs.count(steps)
        self.state = RunState.restore(graph, steps, claim["frontier"])
        self.attempts: dict[str, Attempt] = {}
        self.pending = Pending()
        self.cancelled: bool = claim["cancel_requested"]
        self.ended: dict[str, Json] | None = None  #: what ``advance`` writes as the end, once it is known
        self.deadline = claim["opened_at"] + timedelta(seconds=graph.timeout_seconds) if graph.timeout_seconds else None
        self._paused = False  #: pure steps gave way; there are more
        self._unwritten = False  #: an effect's outcome is known here only; no effect may begin that depends on it
        self._announced: set[str] = set()  #: at-most-once steps whose start the last checkpoint recorded
        self._mail: list[dict[str, Any]] = []  #: signals that no step has waited for yet
        trigger = claim["trigger_data"]
        if isinstance(trigger, dict) and "payload" in trigger:
            trigger = {**trigger, "payload": payloads.resolve(self.owner, trigger["payload"])}
        self._names: dict[str, Json] = {
            "trigger": trigger,
            "nodes": self.state.nodes,
            "variables": self.state.variables,
            "execution": {
                "id": self.id,
                "workflow_id": str(claim["workflow_id"]),
                "workflow_version": claim["version"],
                "trigger_type": claim["trigger_type"],
                "started_at": claim["opened_at"].isoformat(),
            },
        }
        for node_id, step in self.state.open.items():
            if step.started:
                what = "The worker was lost while this step's effect was under way"
                self._doubt(node_id, step.attempt, what, step.since or clock())
        if claim["inbox"]:
            self.receive(claim["inbox"])

    # -- news ---------------------------------------------------------------------------------------------------------

    def receive(self, inbox: dict[str, Any]) -> None:
        """Take in signals and the results of jobs. A signal that no step waits for yet is kept for one that will."""
        self._mail = [signal for signal in inbox["signals"] if signal["id"] not in self.pending.signals]
        for node_id, step in list(self.state.open.items()):
            if step.job is not None and (result := inbox["jobs"].get(step.job)):
                self._take_result(node_id, step, result)
        self._deliver()

    def _take_result(self, node_id: str, step: OpenStep, result: dict[str, Any]) -> None:
        since = step.since or self.clock()
        if result["status"] == "completed":
            try:
                output = Output(self.payloads.resolve(self.owner, result["result"]))
            except (MillraceError, OSError):  # what is large is kept in a bucket, which may not answer now
                logger.warning("a job's result could not be fetched", exc_info=True, extra={"execution_id": self.id})
                failure = StepError("The job's result could not be fetched.", kind="storage", retryable=True)
                self._fail(node_id, step.attempt, failure, since)
                return
            self._succeed(node_id, step.attempt, output, since)
            return
        error = result["error"] or {"kind": "cancelled", "message": "The job was cancelled."}
        failure = StepError(
            error["message"],
            kind=error["kind"],
            retryable=bool(error.get("retryable")),
            output=error.get("output"),
        )
        self._fail(node_id, step.attempt, failure, since)

    def _deliver(self) -> None:
        """Give each signal to the first step that waits for its type."""
        kept = []
        for signal in self._mail:
            if signal["type"] == RESOLVE_SIGNAL:
                self._resolve(signal["data"])
            else:
                step = next((step for step in self.state.open.values() if step.signal == signal["type"]), None)
                if step is None:
                    kept.append(signal)
                    continue
                step.state = {**(step.state or {}), "signal": signal["data"]}
                step.signal, step.due = None, None
            self.pending.signals.append(signal["id"])
        self._mail = kept

    def _doubt(self, node_id: str, number: int, what: str, started: datetime) -> None:
        kept = self.state.open[node_id].state
        self.state.open[node_id] = OpenStep(number, since=started, state=kept, in_doubt=True)
        message = f"{what}; it may or may not have happened."
        self._record(node_id, number, "in_doubt", None, None, {"kind": "in_doubt", "message": message}, started)
        self._log(node_id, "ERROR", message + " Resolve it: retry, complete or fail.")
        self.pending.frontier = True

    def _resolve(self, decision: dict[str, Any]) -> None:
        node_id = decision["node_id"]
        step = self.state.open.get(node_id)
        if step is None or not step.in_doubt:
            return
        self.pending.frontier = True
        step.in_doubt = False
        if decision["decision"] == "retry":
            step.attempt, step.due = step.attempt + 1, self.clock()
        elif decision["decision"] == "complete":
            self._succeed(node_id, step.attempt, Output(decision["output"]), step.since or self.clock(), resolved=True)
        else:
            failure = StepError("It was in doubt and was decided to have failed.", kind="in_doubt")
            self._fail(node_id, step.attempt, failure, step.since or self.clock(), resolved=True)

    # -- work ---------------------------------------------------------------------------------------------------------

    def work(self, executor: Executor, until: datetime, fresh: bool) -> None:
        """Take in what ended and start what can be started. ``until`` is when this invocation must have stopped;
        while it is ``fresh`` every step fits in, later only those whose time does."""
        now = self.clock()
        for node_id in [id_ for id_, attempt in self.attempts.items() if attempt.future.done()]:
            attempt = self.attempts.pop(node_id)
            self._conclude(node_id, attempt.step.attempt, attempt.started, attempt.future.result)
        for node_id, attempt in list(self.attempts.items()):
            if now > min(attempt.step.deadline + GRACE, until):
                self._give_up(node_id, self.attempts.pop(node_id))
        if self.ended is None:
            if self.cancelled:
                self._end("cancelled", {"kind": "cancelled", "message": "The run was cancelled."})
            elif self.deadline is not None and now >= self.deadline:
                message = f"The run did not end within its {self.graph.timeout_seconds:g} seconds."
                self._end("timed_out", {"kind": "timeout", "message": message})
        self._paused = False
        while self.ended is None and not self._paused and (ready := self._next(now, until, fresh)) is not None:
            self._start(ready, executor, until)
            self._paused = bool(self.state.ready) and self.clock() - now > SLICE

    def _give_up(self, node_id: str, attempt: Attempt) -> None:
        """An attempt is over its time. Its thread cannot be stopped; what it still does is under the step's key."""
        self._announced.discard(node_id)
        number, step = attempt.step.attempt, attempt.step
        if attempt.future.cancel():  # every thread was taken: it never began
            self.state.open[node_id] = OpenStep(number, due=self.clock(), state=step.state)
            self.pending.frontier = True
        elif self.graph.nodes[node_id].effect is Effect.AT_MOST_ONCE:
            self._doubt(node_id, number, "This step did not end within its time", attempt.started)
        else:
            failure = StepError("The step did not end within its time.", kind="timeout", retryable=True)
            self._fail(node_id, number, failure, attempt.started)

    def abandon(self) -> None:
        """This worker is done with the run: no effect may begin any more."""
        for attempt in self.attempts.values():
            attempt.future.cancel()

    def _next(self, now: datetime, until: datetime, fresh: bool) -> str | None:
        """The next step to start now, ready or open, if there is one that fits."""
        for node_id, step in self.state.open.items():
            if node_id in self.attempts or not step.callable(now):
                continue
            if step.started and node_id not in self._announced:
                continue
            if step.job is not None:  # due without a result
                self.pending.cancel_jobs.append(step.job)
                step.job, step.due = None, None
                failure = StepError("The job did not end within the step's time.", kind="timeout", retryable=True)
                self._fail(node_id, step.attempt, failure, step.since or now)
                return self._next(now, until, fresh)
            if node_id in self._announced or self._fits(node_id, now, until, fresh):
                return node_id
        for _ in range(len(self.state.ready)):
            node_id = self.state.ready[0]
            if self._fits(node_id, now, until, fresh):
                return self.state.ready.popleft()
            self.state.ready.rotate(-1)
        return None

    def _fits(self, node_id: str, now: datetime, until: datetime, fresh: bool) -> bool:
        node = self.graph.nodes[node_id]
        if node.effect is Effect.PURE:
            return now < until
        if self._unwritten or len(self.attempts) >= self.bounds.parallel:
            return False
        return fresh or now + self._allowed(node) <= until

    def _allowed(self, node: Node) -> timedelta:
        own = node.timeout_seconds or getattr(node.config, "timeout_seconds", None)
        return timedelta(seconds=own or self.bounds.step_seconds)

    def _start(self, node_id: str, executor: Executor, until: datetime) -> None:
        node = self.graph.nodes[node_id]
        open_step = self.state.open.get(node_id)
        now = self.clock()
        if node.effect is Effect.AT_MOST_ONCE and (open_step is None or not open_step.started):
            open_step = open_step or OpenStep()
            open_step.started, open_step.due, open_step.since = True, None, now
            self.state.open[node_id] = open_step
            self.pending.frontier = True  # its start is written first; advanced() announces it
            return
        step = Step(
            key=f"{self.id}/{node_id}/{open_step.iteration if open_step else 0}",
            attempt=open_step.attempt if open_step else 1,
            now=now,
            deadline=min(now + self._allowed(node), until),
            inputs=self.state.inputs(node_id),
            state=open_step.state if open_step else None,
            names=self._names,
        )
        started = (open_step.since if open_step else None) or now
        if node.effect is Effect.PURE:
            self._conclude(node_id, step.attempt, started, lambda: node.type.function(node.config, step))
        else:
            # A snapshot, for this thread goes on adding to the run's own while the step's expressions read it.
            step.names = {**self._names, "nodes": dict(self.state.nodes), "variables": dict(self.state.variables)}
            self.attempts[node_id] = Attempt(executor.submit(node.type.function, node.config, step), step, started)

    def _conclude(self, node_id: str, number: int, started: datetime, outcome: Callable[[], Outcome]) -> None:
        """Settle a step by its outcome, or by what it raises."""
        self._announced.discard(node_id)
        try:
            settled = outcome()
        except StepError as error:
            self._fail(node_id, number, error, started)
        except MillraceError as error:
            self._fail(node_id, number, StepError(error.detail, kind=error.slug.replace("-", "_")), started)
        except Exception:
            logger.exception("a node raised", extra={"node_id": node_id, "execution_id": self.id})
            message = "The node failed in a way it should not have; the worker's log has the details."
            self._fail(node_id, number, StepError(message, kind="internal"), started)
        else:
            self._settle(node_id, number, settled, started)

    def _settle(self, node_id: str, number: int, outcome: Outcome, started: datetime) -> None:
        match outcome:
            case Output():
                self._succeed(node_id, number, outcome, started)
            case Wait(until=until, signal=signal, state=state):
                if until is None and signal is None:
                    self._fail(node_id, number, StepError("It would wait for ever.", kind="internal"), started)
                    return
                self.state.open[node_id] = OpenStep(number, due=until, signal=signal, state=state, since=started)
                self.pending.frontier = True
                self._deliver()
            case Job(kind=kind, input=input_):
                job = str(uuid.uuid4())
                seconds = self.graph.nodes[node_id].timeout_seconds or self.bounds.job_seconds
                due = self.clock() + timedelta(seconds=seconds)
                self.state.open[node_id] = OpenStep(number, due=due, job=job, since=started)
                self.pending.jobs.append(
                    {
                        "id": job,
                        "kind": kind,
                        "input": input_,
                        "node_id": node_id,
                        "iteration": 0,
                    }
                )
            case End(value=value, error=error):
                if error is None:
                    self._succeed(node_id, number, Output(value), started)
                    if node_id in self.state.nodes:
                        self._end("completed", None, value)
                else:
                    self._fail(node_id, number, StepError(error, kind="failed", output=value), started)

    def _succeed(
        self, node_id: str, number: int, outcome: Output, started: datetime, *, resolved: bool = False
    ) -> None:
        try:
            kept = self.outputs.kept(outcome)
        except StepError as error:
            if error.retryable and self.graph.nodes[node_id].effect is Effect.AT_MOST_ONCE:  # it did happen
                error.retryable = False
            self._fail(node_id, number, error, started, resolved=resolved)
            return
        self.state.variables.update(outcome.variables)
        if outcome.respond is not None:
            self.pending.response = outcome.respond
        self.state.end(node_id, outcome.value, outcome.branch, "completed")
        self._record(node_id, number, "completed", outcome.branch, kept, None, started, outcome.variables, resolved)

    def _fail(self, node_id: str, number: int, error: StepError, started: datetime, *, resolved: bool = False) -> None:
        node = self.graph.nodes[node_id]
        told = {"kind": error.kind, "message": _plain(error.message)}
        delay = retry.decide(node.retry, error, number, random.random)
        if delay is not None and not resolved:
            self.state.open[node_id] = OpenStep(number + 1, due=self.clock() + timedelta(seconds=delay))
            _, kept = self.outputs.failure(told, error.output, counted=False)
            self._record(node_id, number, "failed", None, kept, told, started)
            self._log(
                node_id,
                "WARNING",
                f"Attempt {number} failed ({error.kind}: {told['message']}); again in {delay:.1f} s.",
            )
            self.pending.frontier = True
            return
        self._log(node_id, "ERROR", f"Attempt {number} failed for good ({error.kind}: {told['message']}).")
        handled = any(edge.branch == ERROR_BRANCH for edge in node.outgoing)
        output, kept = self.outputs.failure(told, error.output, counted=handled)
        if handled:
            self.state.end(node_id, output, ERROR_BRANCH, "failed")
        else:
            self.state.open.pop(node_id, None)
            self.state.last = node_id
            self._end("failed", {**told, "node_id": node_id})
        branch = ERROR_BRANCH if handled else None
        self._record(node_id, number, "failed", branch, kept, told, started, None, resolved)

    def _record(
        self,
        node_id: str,
        number: int,
        status: str,
        branch: str | None,
        output: Json,
        error: Json,
        started: datetime,
        variables: dict[str, Json] | None = None,
        resolved: bool = False,
    ) -> None:
        self.state.seq += 1
        self._unwritten = self._unwritten or self.graph.nodes[node_id].effect is not Effect.PURE
        row = {
            "node_id": node_id,
            "iteration": 0,
            "attempt": number,
            "seq": self.state.seq,
            "node_type": self.graph.nodes[node_id].type.name,
            "status": status,
            "branch": branch,
            "output": output,
            "error": error,
            "variables": variables or None,
            "started_at": started.isoformat(),
            "duration_ms": round((self.clock() - started).total_seconds() * 1000, 3),
        }
        (self.pending.resolved if resolved else self.pending.steps).append(row)

    def _log(self, node_id: str, level: str, message: str) -> None:
        if len(self.pending.logs) < self.bounds.attempts_logged:
            self.pending.logs.append({"node_id": node_id, "level": level, "message": message.replace("\0", "")[:5000]})

    def _end(self, status: str, error: Json, output: Json = None) -> None:
        """The run is decided; effects under way are still taken in before it is written."""
        if self.ended is None:
            self.ended = {"status": status, "error": error, "output": output}
            self.state.ready.clear()
            for node_id, step in self.state.open.items():
                step.started = step.started and node_id in self.attempts  # what has not begun never will

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def checkpoint(self, lease: float, *, renew: bool) -> dict[str, Json] | None:
        """The item that ``millrace.advance`` wants now, or None while there is nothing to write, not even a renewal."""
        idle = not self.attempts and not self._unannounced() and not self._held_back()
        item: dict[str, Json] = {
            "run": self.id,
            "epoch": self.epoch,
            "seq": self.seq + 1,
            "lease": lease,
            "news": self.news,
            **self.pending.parts(),
        }
        if idle and self.ended is None and not self.state.open and not self.state.ready:
            self._end("completed", None, self.state.output())
        if idle and self.ended is not None:
            return {**item, "then": "finish", "end": self._ending()}
        item["frontier"] = self.state.frontier()
        if idle:
            return {**item, "then": "release", "due": self._due(), "status": self._waiting_status()}
        if not (self._unwritten or self._paused or renew or self.pending.presses):
            return None
        if self.status != "running":
            item["status"] = "running"
        return {**item, "then": "go_on"}

    def _held_back(self) -> bool:
        """Whether steps could begin once this checkpoint is written."""
        if self._paused:
            return True
        now = self.clock()
        begin = self.state.ready or any(step.callable(now) for step in self.state.open.values())
        return self._unwritten and self.ended is None and bool(begin)

    def _unannounced(self) -> Iterable[str]:
        return [id_ for id_, step in self.state.open.items() if step.started and id_ not in self.attempts]

    def _due(self) -> str | None:
        """When a worker should look again: at once while steps are ready (this invocation had no time for them)."""
        if self.state.ready or any(step.callable(self.clock()) for step in self.state.open.values()):
            return self.clock().isoformat()
        times = [time for time in (self.state.due(), self.deadline) if time is not None]
        return min(times).isoformat() if times else None

    def _waiting_status(self) -> str:
        if self.state.ready:
            return "running"
        for step in self.state.open.values():
            if step.in_doubt or (step.signal is not None):
                return "waiting_for_signal"
        return "waiting"

    def _ending(self) -> dict[str, Json]:
        assert self.ended is not None
        error, output = self.ended["error"], self.ended["output"]
        return {
            "status": self.ended["status"],
            "output": self.payloads.keep(self.owner, output, len(json.dumps(output))),
            "response": self.pending.response,
            "error": error,
            "error_message": error["message"] if error else None,
            "node": self.state.last,
            "epoch": self.epoch,
            "state": {"variables": self.state.variables, "completed_node_ids": list(self.state.nodes)},
            "frontier": self.state.frontier(),
        }

    def refused(self, why: str) -> dict[str, Json]:
        """The checkpoint that ends the run when Postgres will not keep the one it had; nothing of that one is kept."""
        message = f"The run's checkpoint could not be kept: {why}"
        return closing(
            self.id, self.epoch, self.seq, self.news, {"kind": "unstorable", "message": message}, self.state.last
        )

    def advanced(self, answer: dict[str, Any], item: dict[str, Json]) -> None:
        """The checkpoint is written and the run is still this worker's."""
        self.seq = item["seq"]
        self.status = "running"
        self.pending = Pending()
        self._unwritten = False
        self._announced.update(id_ for id_, kept in item.get("frontier", {}).items() if kept.get("started"))
        if "news" in answer:
            self.news = answer["news"]
            self.cancelled = self.cancelled or answer["cancel"]
            self.receive(answer["inbox"])
