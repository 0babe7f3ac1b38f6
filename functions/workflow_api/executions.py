"""Runs: started by hand, looked at, signalled, cancelled, retried.

Whatever makes a run ready rings its bell afterwards. A lost bell costs time only: the schedule tick rings again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from functions.workflow_api.listing import below, only
from shared import statements
from shared.doorbell import RUNS, Doorbell
from shared.models.api import Page, page_of, read_cursor, write_cursor
from shared.models.execution import (
    ENDED,
    ExecutionOutput,
    ExecutionStatus,
    ExecutionSummary,
    LogOutput,
    ResolveInput,
    RunInput,
    SignalInput,
    SignalOutput,
    StepOutput,
    Tail,
    Timeline,
    TimelineStep,
)
from shared.tenant import Caller

SQL = statements.load("workflow_api")

#: What a tail holds at most, below the 30 s of the gateway.
TAIL_SECONDS = 25.0


def start_run(
    caller: Caller, bell: Doorbell, keep: Callable[[Any], Any], workflow_id: UUID, new: RunInput, key: str | None
) -> ExecutionSummary:
    """A new run, or the one that the same idempotency ``key`` started before. ``keep`` gives what a row holds."""
    [row] = caller.call(
        SQL["run_workflow"],
        {
            "workflow": workflow_id,
            "trigger": {"trigger_type": "manual", "payload": keep(new.payload)},
            "key": _request(key),
        },
    )
    bell.ring(RUNS, [str(row["id"])])
    return ExecutionSummary(**row)


def list_executions(
    caller: Caller,
    *,
    workflow_id: UUID | None,
    statuses: list[str] | None,
    trigger_type: str | None,
    since: datetime | None,
    until: datetime | None,
    cursor: str | None,
    limit: int,
) -> Page[ExecutionSummary]:
    """The caller's runs, newest first, a page at a time."""
    at, before = read_cursor(cursor, datetime, UUID)
    rows = caller.call(
        SQL["list_executions"],
        {
            "workflow": workflow_id,
            "statuses": statuses or None,
            "trigger_type": trigger_type,
            "since": since,
            "until": until,
            "at": at,
            "before": before,
            "limit": limit + 1,
        },
    )
    return page_of(ExecutionSummary, rows, limit, "started_at", "id")


def read_execution(caller: Caller, id_: UUID) -> ExecutionOutput:
    """One run."""
    return ExecutionOutput(**only(caller.call(SQL["read_execution"], {"id": id_}), "run"))


def read_status(caller: Caller, id_: UUID) -> ExecutionStatus:
    """How one run stands."""
    return ExecutionStatus(**only(caller.call(SQL["read_status"], {"id": id_}), "run"))


def read_timeline(caller: Caller, id_: UUID, cursor: str | None, limit: int) -> Timeline:
    """How a run went: its steps in brief, in the order in which they ended."""
    (after,) = read_cursor(cursor, int)
    status, steps = _timeline(caller, id_, after or 0, limit + 1)
    following = write_cursor(steps[limit - 1]["seq"]) if len(steps) > limit else None
    return Timeline(execution=status, steps=[TimelineStep(**step) for step in steps[:limit]], next=following)


def tail(caller: Caller, id_: UUID, cursor: str | None, wait: float) -> Tail:
    """What is new in a run since ``cursor``: steps that ended, or another status.

    When there is nothing new and the run has not ended, waits for up to ``wait`` seconds, looking again with growing
    pauses (one indexed read each).
    """
    after, known = read_cursor(cursor, int, str)
    until = time.monotonic() + min(wait, TAIL_SECONDS)
    pause = 0.05
    while True:
        status, steps = _timeline(caller, id_, after or 0, 200)
        remaining = until - time.monotonic()
        if steps or status.status != known or status.status in ENDED or remaining <= 0:
            place = write_cursor(steps[-1]["seq"] if steps else after or 0, status.status)
            return Tail(execution=status, steps=[TimelineStep(**step) for step in steps], cursor=place)
        time.sleep(min(pause, remaining))
        pause = min(pause * 1.5, 1.0)


def list_steps(caller: Caller, id_: UUID, node: str | None, cursor: str | None, limit: int) -> Page[StepOutput]:
    """A run's steps in full, in the order in which they ended, a page at a time."""
    (after,) = read_cursor(cursor, int)
    rows = caller.call(
        SQL["execution_steps"], {"execution": id_, "node": node, "after": after or 0, "limit": limit + 1}
    )
    return page_of(StepOutput, below(rows, "node_id", "run"), limit, "seq")


def list_logs(caller: Caller, id_: UUID, level: str | None, cursor: str | None, limit: int) -> Page[LogOutput]:
    """A run's log, oldest first, a page at a time."""
    at, after = read_cursor(cursor, datetime, UUID)
    rows = caller.call(
        SQL["execution_logs"], {"execution": id_, "level": level, "at": at, "after": after, "limit": limit + 1}
    )
    return page_of(LogOutput, below(rows, "id", "run"), limit, "timestamp", "id")


def signal(caller: Caller, bell: Doorbell, id_: UUID, new: SignalInput, key: str | None) -> SignalOutput:
    """Give a live run a signal. One that comes before the run waits for it is kept until it does."""
    [row] = caller.call(
        SQL["signal_execution"],
        {"execution": id_, "type": new.type, "data": _json(new.data), "key": _request(key)},
    )
    bell.ring(RUNS, [str(id_)])
    return SignalOutput(**row)


def cancel(caller: Caller, bell: Doorbell, id_: UUID) -> str:
    """``cancelled``, or ``cancelling`` while a worker has it. A run that ended otherwise is a Conflict."""
    [row] = caller.call(SQL["cancel_execution"], {"execution": id_})
    if row["status"] == "cancelling":
        bell.ring(RUNS, [str(id_)])
    return str(row["status"])


def retry(caller: Caller, bell: Doorbell, id_: UUID, key: str | None) -> ExecutionSummary:
    """Open a run again that failed, timed out or was cancelled. Completed steps stay; failed ones are tried anew."""
    [row] = caller.call(SQL["retry_execution"], {"execution": id_, "key": _request(key)})
    bell.ring(RUNS, [str(id_)])
    return ExecutionSummary(**row)


def resolve_step(
    caller: Caller, bell: Doorbell, id_: UUID, node: str, decision: ResolveInput, key: str | None
) -> SignalOutput:
    """Decide about a step in doubt: do it again, take it as done, or fail it."""
    [row] = caller.call(
        SQL["resolve_step"],
        {
            "execution": id_,
            "node": node,
            "iteration": decision.iteration,
            "decision": decision.decision,
            "output": _json(decision.output),
            "key": _request(key),
        },
    )
    bell.ring(RUNS, [str(id_)])
    return SignalOutput(**row)


def _timeline(caller: Caller, id_: UUID, after: int, limit: int) -> tuple[ExecutionStatus, list[dict[str, Any]]]:
    rows = caller.call(SQL["execution_timeline"], {"execution": id_, "after": after, "limit": limit})
    status = ExecutionStatus(**only(rows, "run"))
    return status, [row["step"] for row in rows if row["step"] is not None and row["step"]["node_id"] is not None]


def _request(key: str | None) -> str:
    """The caller's idempotency key, or one that makes only the repeat after a lost reply harmless."""
    return f"key:{key}" if key is not None else f"once:{uuid4()}"


def _json(value: Any) -> str:
    """``value`` as JSON text: a bare string or number would else be sent as one of Postgres."""
    import json

    return json.dumps(value)
