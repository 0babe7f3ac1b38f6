"""Routes of runs."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import AwareDatetime

from functions.workflow_api import executions, payloads
from functions.workflow_api.routes import IdempotencyKey, PageCursor, PageLimit, RunReader, RunWriter
from functions.workflow_api.settings import keep_for
from shared.doorbell import doorbell
from shared.models.api import Page
from shared.models.execution import (
    CancelOutput,
    ExecutionOutput,
    ExecutionStatus,
    ExecutionSummary,
    LogOutput,
    PayloadOutput,
    ResolveInput,
    RunInput,
    SignalInput,
    SignalOutput,
    StepOutput,
    Tail,
    Timeline,
)
from shared.storage import storage
from shared.web import StrictRoute, problems

router = APIRouter(route_class=StrictRoute, tags=["runs"])

Statuses = Annotated[
    list[Annotated[str, Query(max_length=50)]] | None,
    Query(alias="status", max_length=20, description="Only runs in one of these statuses."),
]
Trigger = Annotated[
    str | None, Query(max_length=50, description="Only runs started so: manual, webhook, schedule, storage.")
]
Since = Annotated[AwareDatetime | None, Query(description="Only runs started then or later.")]
Until = Annotated[AwareDatetime | None, Query(description="Only runs started before.")]
NodeId = Annotated[str, Path(min_length=1, max_length=255)]


@router.post("/{workflow_id}/run", status_code=202, summary="Start a run", responses=problems(404, 409))
def start_run(
    caller: RunWriter,
    workflow_id: UUID,
    response: Response,
    new: RunInput | None = None,
    idempotency_key: IdempotencyKey = None,
) -> ExecutionSummary:
    """Starts a run of the workflow's present version. The answer comes at once; `Location` is where to look."""
    started = executions.start_run(
        caller, doorbell(), keep_for(caller), workflow_id, new or RunInput(), idempotency_key
    )
    response.headers["location"] = f"/api/v1/workflows/executions/{started.id}"
    return started


@router.get("/executions", summary="List runs")
def list_executions(
    caller: RunReader,
    workflow_id: Annotated[UUID | None, Query()] = None,
    status: Statuses = None,
    trigger_type: Trigger = None,
    started_after: Since = None,
    started_before: Until = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[ExecutionSummary]:
    """The caller's runs, newest first."""
    return executions.list_executions(
        caller,
        workflow_id=workflow_id,
        statuses=status,
        trigger_type=trigger_type,
        since=started_after,
        until=started_before,
        cursor=cursor,
        limit=limit,
    )


@router.get("/by-workflow/{workflow_id}/executions", summary="List a workflow's runs")
def list_workflow_executions(
    caller: RunReader,
    workflow_id: UUID,
    status: Statuses = None,
    trigger_type: Trigger = None,
    started_after: Since = None,
    started_before: Until = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[ExecutionSummary]:
    """The old address of the list of runs with `workflow_id`."""
    return executions.list_executions(
        caller,
        workflow_id=workflow_id,
        statuses=status,
        trigger_type=trigger_type,
        since=started_after,
        until=started_before,
        cursor=cursor,
        limit=limit,
    )


@router.get("/executions/{execution_id}", summary="Read a run", responses=problems(404))
def read_execution(caller: RunReader, execution_id: UUID) -> ExecutionOutput:
    """One run with what started it and what came out."""
    return executions.read_execution(caller, execution_id)


@router.get("/executions/{execution_id}/status", summary="Read a run's status", responses=problems(404))
def read_status(caller: RunReader, execution_id: UUID) -> ExecutionStatus:
    """How it stands, and nothing large."""
    return executions.read_status(caller, execution_id)


@router.get("/executions/{execution_id}/timeline", summary="Read a run's timeline", responses=problems(404))
def read_timeline(caller: RunReader, execution_id: UUID, cursor: PageCursor = None, limit: PageLimit = 200) -> Timeline:
    """Each step that ended: node, type, attempt, status, start, duration and its output in brief."""
    return executions.read_timeline(caller, execution_id, cursor, limit)


@router.get("/executions/{execution_id}/steps", summary="List a run's steps", responses=problems(404))
def list_steps(
    caller: RunReader,
    execution_id: UUID,
    node: Annotated[str | None, Query(max_length=255, description="Only this node's.")] = None,
    cursor: PageCursor = None,
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
) -> Page[StepOutput]:
    """The steps in full, in the order in which they ended."""
    return executions.list_steps(caller, execution_id, node, cursor, limit)


@router.get("/executions/{execution_id}/logs", summary="List a run's log", responses=problems(404))
def list_logs(
    caller: RunReader,
    execution_id: UUID,
    level: Annotated[str | None, Query(max_length=20)] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 100,
) -> Page[LogOutput]:
    """The run's log, oldest line first."""
    return executions.list_logs(caller, execution_id, level, cursor, limit)


@router.get("/payloads/{sha256}", summary="Find a large value", responses=problems(404))
def read_payload(
    caller: RunReader, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$", examples=["…"])]
) -> PayloadOutput:
    """Where the value of a reference (`{"$payload": {"sha256": …}}`) in a run's data can be read, for 15 minutes."""
    return payloads.read_payload(storage(), caller.user_id, sha256)


@router.get(
    "/executions/{execution_id}/tail",
    summary="Follow a run",
    response_model=Tail,
    responses={
        **problems(404),
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        204: {"description": "To an event source only: the run has ended and nothing is left to tell."},
    },
)
def tail(
    caller: RunReader,
    execution_id: UUID,
    cursor: PageCursor = None,
    wait: Annotated[float, Query(ge=0, le=executions.TAIL_SECONDS, description="Seconds to wait for news.")] = 20.0,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str | None, Header(max_length=500)] = None,
) -> Tail | Response:
    """What is new since `cursor`: answers at once when there is something, or else when there is, or after `wait`.

    Ask again with the cursor of the answer until `execution.ended`. With `Accept: text/event-stream` the same is one
    server-sent event; the stream ends after it, and an EventSource asks again by itself, with its last event's id for a
    cursor, until 204 tells it to stop.
    """
    if "text/event-stream" not in accept:
        return executions.tail(caller, execution_id, cursor, wait)
    place = last_event_id or cursor
    news = executions.tail(caller, execution_id, place, wait)
    if news.execution.ended and news.cursor == place:
        return Response(status_code=204)
    event = f"id: {news.cursor}\nevent: tail\nretry: 100\ndata: {news.model_dump_json()}\n\n"
    return Response(event, media_type="text/event-stream")


@router.post(
    "/executions/{execution_id}/signals", status_code=202, summary="Signal a run", responses=problems(404, 409)
)
def signal(
    caller: RunWriter, execution_id: UUID, new: SignalInput, idempotency_key: IdempotencyKey = None
) -> SignalOutput:
    """Tells a run what it waits for. Told early, it is kept until the run waits for it."""
    return executions.signal(caller, doorbell(), execution_id, new, idempotency_key)


def cancel(caller: RunWriter, execution_id: UUID) -> CancelOutput:
    """Ends a run: at once, or as soon as the worker that has it comes to its next checkpoint."""
    return CancelOutput(id=execution_id, status=executions.cancel(caller, doorbell(), execution_id))


router.post("/executions/{execution_id}/cancel", status_code=202, summary="Cancel a run", responses=problems(404, 409))(
    cancel
)
router.post(
    "/executions/{execution_id}/terminate",
    status_code=202,
    summary="Cancel a run (old address)",
    responses=problems(404, 409),
    name="terminate",
)(cancel)


@router.post("/executions/{execution_id}/retry", status_code=202, summary="Retry a run", responses=problems(404, 409))
def retry(caller: RunWriter, execution_id: UUID, idempotency_key: IdempotencyKey = None) -> ExecutionSummary:
    """Opens a run again that failed, timed out or was cancelled: done steps stay done, failed ones are tried anew."""
    return executions.retry(caller, doorbell(), execution_id, idempotency_key)


@router.post(
    "/executions/{execution_id}/steps/{node_id}/resolve",
    status_code=202,
    summary="Decide about a step in doubt",
    responses=problems(404, 409),
)
def resolve_step(
    caller: RunWriter,
    execution_id: UUID,
    node_id: NodeId,
    decision: ResolveInput,
    idempotency_key: IdempotencyKey = None,
) -> SignalOutput:
    """A step whose effect may have happened when its worker was lost asks: do it again, take it as done, or fail it."""
    return executions.resolve_step(caller, doorbell(), execution_id, node_id, decision, idempotency_key)
