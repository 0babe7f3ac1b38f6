"""The HTTP face of code execution: runs, tools, sandboxes."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response

from functions.code_exec import executions, sandboxes, tools
from shared.doorbell import doorbell
from shared.errors import Conflict, Invalid
from shared.models.api import Cursor, Limit, Page
from shared.models.code_runs import (
    ArtifactLink,
    CallInput,
    DeprecateInput,
    ExecuteInput,
    ExecutionOutput,
    ExecutionSummary,
    RuntimeOutput,
    SandboxExecuteInput,
    SandboxInput,
    SandboxOutput,
    SandboxPatch,
    ToolInput,
    ToolOutput,
    ToolSummary,
)
from shared.scopes import Scope
from shared.storage import storage
from shared.tenant import Tenant
from shared.web import StrictRoute, allow, asgi_handler, create_app, problems

PREFIX = "/api/v1/code"

router = APIRouter(route_class=StrictRoute, tags=["code"])

Reader = Annotated[Tenant, allow(Scope.CODE_READ)]
Writer = Annotated[Tenant, allow(Scope.CODE_WRITE)]
PageCursor = Annotated[Cursor | None, Query()]
PageLimit = Annotated[Limit, Query()]
ToolName = Annotated[str, Path(min_length=1, max_length=255)]
Version = Annotated[str | None, Query(max_length=50, description="Default: the version that a call would take.")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Your own name for this request: asked again, it is answered with the same run.",
    ),
]


def _answer(caller: Tenant, run: UUID, wait: float, response: Response) -> ExecutionOutput:
    """The run that was asked for; 202 when it goes on."""
    found = executions.wait_for(caller, run, wait)
    response.headers["location"] = f"{PREFIX}/execute/{run}"
    if found.status not in executions.ENDED:
        response.status_code = 202
    return found


# Runs -----------------------------------------------------------------------------------------------------------------


@router.post("/execute", summary="Run code", responses=problems(404, 413, 429))
def execute(caller: Writer, new: ExecuteInput, response: Response, idempotency_key: Key = None) -> ExecutionOutput:
    """Runs code in the sandbox and answers with the run once it ended, whatever came of it.

    What takes longer than `wait` seconds is answered with 202 and goes on; `Location` is where to look.
    """
    return _answer(caller, executions.execute(caller, doorbell(), new, idempotency_key), new.wait, response)


@router.get("/execute", summary="List runs of code")
def list_executions(
    caller: Reader,
    status: Annotated[str | None, Query(max_length=50)] = None,
    tool_id: Annotated[str | None, Query(max_length=255)] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[ExecutionSummary]:
    """The caller's runs, newest first; those of workflows too."""
    return executions.list_executions(caller, status=status, tool=tool_id, cursor=cursor, limit=limit)


@router.get("/execute/{run_id}", summary="Read a run of code", responses=problems(404))
def read_execution(
    caller: Reader,
    run_id: UUID,
    wait: Annotated[float, Query(ge=0, le=25, description="Seconds to wait for its end.")] = 0,
) -> ExecutionOutput:
    """One run, with all that came of it."""
    return executions.wait_for(caller, run_id, wait)


@router.get("/execute/{run_id}/artifacts", summary="Files that a run left", responses=problems(404))
def read_artifacts(caller: Reader, run_id: UUID) -> list[ArtifactLink]:
    """Each file with an address that works for a while."""
    return executions.links(caller, storage(), run_id)


@router.post("/execute/{run_id}/cancel", summary="Cancel a run of code", responses=problems(404, 409))
def cancel(caller: Writer, run_id: UUID) -> ExecutionOutput:
    """What it may still give is thrown away."""
    return executions.cancel(caller, doorbell(), run_id)


@router.get("/runtimes", summary="What can be run")
def read_runtimes(caller: Reader) -> list[RuntimeOutput]:
    """The languages, and the modules that code may import."""
    return executions.runtimes()


# Tools ----------------------------------------------------------------------------------------------------------------


@router.post("/register-tool", status_code=201, summary="Register a tool", responses=problems(409, 413, 429))
def register_tool(
    caller: Writer, new: ToolInput, response: Response, idempotency_key: Key = None
) -> ToolOutput | ExecutionOutput:
    """A new version of a tool, once all its tests passed in the sandbox.

    A test that fails is 422, with where the result differs. Tests that take longer than `wait` are answered with 202
    and their run; the tool appears when that completes.
    """
    tools.check_tool(caller, new)
    if not new.tests:
        return tools.register_tool(caller, new)
    run = _answer(
        caller, executions.request(caller, doorbell(), tools.registration(new), idempotency_key), new.wait, response
    )
    if run.status not in executions.ENDED:
        return run
    if run.status != "completed":
        report = run.output_data if isinstance(run.output_data, dict) else {}
        errors = [
            {"path": f"tests.{index}", "message": f"{one.get('name')}: {one.get('why')}"}
            for index, one in enumerate(report.get("tests", []))
            if not one.get("passed")
        ]
        refusal = Invalid if run.error and run.error.get("kind") == "tests_failed" else Conflict
        raise refusal(
            f"The tool is not registered: {run.error_message}",
            errors=errors,
            remedy=f"Its run is {PREFIX}/execute/{run.id}.",
        )
    response.headers["location"] = f"{PREFIX}/tools/{new.tool_id}?version={new.version}"
    return tools.read_tool(caller, new.tool_id, new.version)


@router.get("/tools", summary="List tools")
def list_tools(caller: Reader, cursor: PageCursor = None, limit: PageLimit = 50) -> Page[ToolSummary]:
    """The caller's tools, each in the version that a call would take."""
    return tools.list_tools(caller, cursor, limit)


@router.get("/tools/{tool_id}", summary="Read a tool", responses=problems(404))
def read_tool(caller: Reader, tool_id: ToolName, version: Version = None) -> ToolOutput:
    """One version of a tool, with its code, schemas and tests."""
    return tools.read_tool(caller, tool_id, version)


@router.get("/tools/{tool_id}/versions", summary="List a tool's versions", responses=problems(404))
def list_versions(
    caller: Reader, tool_id: ToolName, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[ToolSummary]:
    """All versions, the highest first by SemVer."""
    return tools.list_versions(caller, tool_id, cursor, limit)


@router.post("/tools/{tool_id}/call", summary="Call a tool", responses=problems(404, 413, 429))
def call_tool(
    caller: Writer, tool_id: ToolName, new: CallInput, response: Response, idempotency_key: Key = None
) -> ExecutionOutput:
    """Runs the tool on an input that its schema accepts; answered as a run of code is."""
    run = executions.call_tool(caller, doorbell(), tool_id, new, idempotency_key)
    return _answer(caller, run, new.wait, response)


@router.post("/tools/{tool_id}/deprecate", summary="Deprecate a tool", responses=problems(404))
def deprecate_tool(caller: Writer, tool_id: ToolName, why: DeprecateInput) -> ToolOutput:
    """It still runs, but a call that names no version takes another if there is one."""
    return tools.deprecate_tool(caller, tool_id, why)


# Sandboxes ------------------------------------------------------------------------------------------------------------


@router.get("/sandboxes", summary="List sandboxes")
def list_sandboxes(caller: Reader, cursor: PageCursor = None, limit: PageLimit = 50) -> Page[SandboxOutput]:
    """The caller's named ways to run code."""
    return sandboxes.list_sandboxes(caller, cursor, limit)


@router.post("/sandbox", status_code=201, summary="Make a sandbox", responses=problems(409))
def create_sandbox(caller: Writer, new: SandboxInput) -> SandboxOutput:
    """Limits and variables under a name. What looks like a secret is refused."""
    return sandboxes.create_sandbox(caller, new)


@router.get("/sandbox/{sandbox_id}", summary="Read a sandbox", responses=problems(404))
def read_sandbox(caller: Reader, sandbox_id: UUID) -> SandboxOutput:
    """One sandbox."""
    return sandboxes.read_sandbox(caller, str(sandbox_id))


@router.patch("/sandbox/{sandbox_id}", summary="Change a sandbox", responses=problems(404, 409))
def update_sandbox(caller: Writer, sandbox_id: UUID, patch: SandboxPatch) -> SandboxOutput:
    """Only the fields that are sent change; limits and variables as a whole."""
    return sandboxes.update_sandbox(caller, sandbox_id, patch)


@router.delete("/sandbox/{sandbox_id}", status_code=204, summary="Delete a sandbox", responses=problems(404))
def delete_sandbox(caller: Writer, sandbox_id: UUID) -> None:
    """Runs that used it stay."""
    sandboxes.delete_sandbox(caller, sandbox_id)


@router.post("/sandbox/{sandbox_id}/execute", summary="Run code in a sandbox", responses=problems(404, 413, 429))
def execute_in_sandbox(
    caller: Writer, sandbox_id: UUID, new: SandboxExecuteInput, response: Response, idempotency_key: Key = None
) -> ExecutionOutput:
    """As running code, with the limits and variables of this sandbox."""
    inside = ExecuteInput(**new.model_dump(), sandbox=str(sandbox_id))
    return _answer(caller, executions.execute(caller, doorbell(), inside, idempotency_key), new.wait, response)


app = create_app("Code", PREFIX, router, description="Runs untrusted code apart from everything else.")
handler = asgi_handler(app)
