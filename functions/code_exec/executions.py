"""Runs of code: asked for, waited for, read, cancelled. Each is a job of kind ``code`` with a row of its own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from functions.code_exec import artifacts
from functions.code_exec.sandboxes import read_sandbox
from functions.code_exec.settings import Settings
from functions.code_exec.tools import read_version
from shared import code_runtime, jobs, statements
from shared.doorbell import Doorbell
from shared.errors import Invalid, NotFound, Unavailable
from shared.models.api import Page, page_of, read_cursor
from shared.models.code import Language
from shared.models.code_runs import (
    ArtifactLink,
    CallInput,
    ExecuteInput,
    ExecuteOptions,
    ExecutionOutput,
    ExecutionSummary,
    RuntimeOutput,
    SandboxExecuteInput,
)
from shared.storage import Storage
from shared.tenant import Caller

SQL = statements.load("code_exec")
KIND = "code"  #: of jobs, and the queue of their bells
CAPABILITY = "code_exec"

#: A run of some milliseconds is seen to have ended within a few; a long one is asked about four times a second.
FIRST_PAUSE = 0.004
LONGEST_PAUSE = 0.25
GROWTH = 1.4

ENDED = frozenset({"completed", "failed", "timed_out", "cancelled"})


def execute(caller: Caller, doorbell: Doorbell, new: ExecuteInput | SandboxExecuteInput, key: str | None) -> UUID:
    """Ask for a run of code; the run's id."""
    choice = code_runtime.choose(new.runtime, new.language)
    if refused := code_runtime.refused_requirement(new.requirements, new.language):
        raise Invalid(
            "The requirements are not met.",
            errors=[{"path": "requirements", "message": refused}],
            remedy="GET /api/v1/code/runtimes lists what the sandbox carries.",
        )
    sandbox = getattr(new, "sandbox", None)
    if sandbox is not None:
        sandbox = str(read_sandbox(caller, sandbox).id)
    asked = {
        "code": new.code,
        "language": choice.language.value,
        "runtime": choice.runtime,
        "decision": choice.to_json(),
        "input_data": new.input_data,
        "requirements": new.requirements,
        **_options(new),
        "sandbox": sandbox,
    }
    return request(caller, doorbell, asked, key)


def call_tool(caller: Caller, doorbell: Doorbell, tool_id: str, new: CallInput, key: str | None) -> UUID:
    """Ask for a call of a tool, whose input is checked here already; the run's id."""
    from functions.code_exec.schemas import mistakes  # jsonschema: only who calls or registers a tool pays for it

    tool = read_version(caller, tool_id, new.version)
    if wrong := mistakes(tool.input_schema if tool.input_schema is not None else {}, new.input):
        errors = [{**one, "path": f"input.{one['path']}".rstrip(".")} for one in wrong]
        raise Invalid(f"The input is not what {tool.tool_id} {tool.version} takes.", errors=errors)
    sandbox = str(read_sandbox(caller, new.sandbox).id) if new.sandbox is not None else None
    choice = code_runtime.choose(tool.runtime, tool.language)
    asked = {
        "tool": tool.tool_id,
        "tool_version": tool.version,
        "language": choice.language.value,
        "runtime": choice.runtime,
        "decision": choice.to_json(),
        "input_data": new.input,
        **_options(new),
        "sandbox": sandbox,
    }
    return request(caller, doorbell, asked, key)


def _options(new: ExecuteOptions) -> dict[str, Any]:
    return {"timeout_seconds": new.timeout_seconds, "files": [file.model_dump(mode="json") for file in new.files]}


def request(caller: Caller, doorbell: Doorbell, asked: dict[str, Any], key: str | None) -> UUID:
    """Make the job and ring for it. Raises :class:`~shared.errors.TooMany` for an owner who ran enough code.

    Without a key of the caller's it has one of this call: a statement repeated after a lost reply asks once.
    """
    settings = Settings.load()
    if settings.capabilities and CAPABILITY not in settings.deployed:
        raise Unavailable("Nothing here runs code.", remedy="Install it (`make install-code`) and start again.")
    bounds = {
        "open": settings.jobs_open,
        "runs": settings.code_runs_per_hour,
        "cpu_seconds": settings.code_cpu_seconds_per_hour,
    }
    [row] = caller.call(SQL["request_code"], {"input": asked, "key": key or str(uuid.uuid4()), **bounds})
    id_: UUID = row["id"]
    doorbell.ring(KIND, [str(id_)])
    return id_


def wait_for(
    caller: Caller,
    id_: UUID,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ExecutionOutput:
    """The run once it ended, or as it is after ``seconds``; its status is read by its key each time."""
    until = clock() + seconds
    pause = FIRST_PAUSE
    while True:
        left = until - clock()
        rows = caller.call(SQL["execution_status"], {"id": id_}) if left > 0 else []
        if not rows or rows[0]["status"] in ENDED:
            return read_execution(caller, id_)
        sleep(min(pause, left))
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def read_execution(caller: Caller, id_: UUID) -> ExecutionOutput:
    """One run, or :class:`NotFound`."""
    rows = caller.call(SQL["read_execution"], {"id": id_})
    if not rows:
        raise NotFound("There is no such run of code, or it is not yours.")
    return ExecutionOutput.model_validate(rows[0])


def list_executions(
    caller: Caller, *, status: str | None, tool: str | None, cursor: str | None, limit: int
) -> Page[ExecutionSummary]:
    """The caller's runs, newest first."""
    before, before_id = read_cursor(cursor, datetime, UUID)
    asked = {"status": status, "tool": tool, "before": before, "before_id": before_id, "limit": limit + 1}
    return page_of(ExecutionSummary, caller.call(SQL["list_executions"], asked), limit, "started_at", "id")


def cancel(caller: Caller, doorbell: Doorbell, id_: UUID) -> ExecutionOutput:
    """The run, which nothing more will come of; :class:`~shared.errors.Conflict` when it has ended."""
    read_execution(caller, id_)
    jobs.cancel(caller, doorbell, id_)
    return read_execution(caller, id_)


def links(caller: Caller, storage: Storage, id_: UUID) -> list[ArtifactLink]:
    """The files that the run left, each with an address that works for a while."""
    return artifacts.links(storage, read_execution(caller, id_).artifacts, Settings.load().code_links_seconds)


def runtimes() -> list[RuntimeOutput]:
    """What can be run here."""
    return [
        RuntimeOutput(
            language=language.value, runtime=code_runtime.RUNTIME, carried=list(code_runtime.carried(language))
        )
        for language in Language
    ]
