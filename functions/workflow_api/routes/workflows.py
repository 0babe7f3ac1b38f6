"""Routes of workflows and their versions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Response

from functions.workflow_api import node_types, workflows
from functions.workflow_api.routes import PageCursor, PageLimit, Reader, Writer
from functions.workflow_api.settings import deployed
from shared.errors import BadRequest
from shared.models.api import Page
from shared.models.workflow import (
    GraphInput,
    GraphOutput,
    NodeTypeOutput,
    VersionOutput,
    VersionSummary,
    WorkflowInput,
    WorkflowOutput,
    WorkflowPatch,
    WorkflowSummary,
)
from shared.web import StrictRoute, problems

router = APIRouter(route_class=StrictRoute, tags=["workflows"])

IfMatch = Annotated[
    str | None,
    Header(max_length=50, description="The ETag (version) that the change is based on.", examples=['"3"']),
]
Version = Annotated[int, Path(ge=1, le=2_147_483_647)]


@router.get("", summary="List workflows")
def list_workflows(
    caller: Reader,
    name: Annotated[str | None, Query(max_length=255, description="Only those of exactly this name.")] = None,
    is_active: Annotated[bool | None, Query()] = None,
    cursor: PageCursor = None,
    limit: PageLimit = 50,
) -> Page[WorkflowSummary]:
    """The caller's workflows, newest first, without their graphs."""
    return workflows.list_workflows(caller, name, is_active, cursor, limit)


@router.post("", status_code=201, summary="Create a workflow")
def create_workflow(caller: Writer, new: WorkflowInput, response: Response) -> WorkflowOutput:
    """A new workflow at version 1. A graph with mistakes is refused with every one of them and its path."""
    made = workflows.create_workflow(caller, new, deployed())
    response.headers["location"] = f"/api/v1/workflows/{made.id}"
    return _tagged(made, response)


@router.post("/validate", summary="Look a graph over")
def validate_graph(caller: Reader, wanted: GraphInput) -> GraphOutput:
    """What a graph would be, or every mistake in it with its path. Nothing is saved."""
    entry, nodes, edges = workflows.check_graph(wanted.graph_config, deployed())
    return GraphOutput(entry=entry, nodes=nodes, edges=edges)


@router.get("/node-types", summary="List node types")
def list_node_types(caller: Reader) -> list[NodeTypeOutput]:
    """What a graph can be made of, with the JSON Schema of each type's config."""
    return node_types.list_node_types(deployed())


@router.get("/{workflow_id}", summary="Read a workflow", responses=problems(404))
def read_workflow(caller: Reader, workflow_id: UUID, response: Response) -> WorkflowOutput:
    """One workflow with its present graph. The ETag is its version."""
    return _tagged(workflows.read_workflow(caller, workflow_id), response)


@router.patch("/{workflow_id}", summary="Change a workflow", responses=problems(404, 412))
def update_workflow(
    caller: Writer, workflow_id: UUID, patch: WorkflowPatch, response: Response, if_match: IfMatch = None
) -> WorkflowOutput:
    """Only the fields that are sent change. Another graph or trigger makes another version; runs stay on theirs."""
    changed = workflows.update_workflow(caller, workflow_id, patch, _expected(if_match), deployed())
    return _tagged(changed, response)


@router.delete("/{workflow_id}", status_code=204, summary="Delete a workflow", responses=problems(404, 409))
def delete_workflow(
    caller: Writer,
    workflow_id: UUID,
    force: Annotated[bool, Query(description="Also when it has runs that have not ended: they end with it.")] = False,
) -> None:
    """The workflow is gone, with its versions, subscriptions, schedules, storage triggers and runs."""
    workflows.delete_workflow(caller, workflow_id, force)


@router.get("/{workflow_id}/versions", summary="List versions", responses=problems(404))
def list_versions(
    caller: Reader, workflow_id: UUID, cursor: PageCursor = None, limit: PageLimit = 50
) -> Page[VersionSummary]:
    """A workflow's versions, newest first, without their graphs."""
    return workflows.list_versions(caller, workflow_id, cursor, limit)


@router.get("/{workflow_id}/versions/{version}", summary="Read a version", responses=problems(404))
def read_version(caller: Reader, workflow_id: UUID, version: Version) -> VersionOutput:
    """One version with its graph. Versions never change."""
    return workflows.read_version(caller, workflow_id, version)


@router.post("/{workflow_id}/versions/{version}/restore", summary="Restore a version", responses=problems(404, 412))
def restore_version(
    caller: Writer, workflow_id: UUID, version: Version, response: Response, if_match: IfMatch = None
) -> WorkflowOutput:
    """The old version's graph and trigger become the present ones, as a new version."""
    restored = workflows.restore_version(caller, workflow_id, version, _expected(if_match), deployed())
    return _tagged(restored, response)


def _tagged(workflow: WorkflowOutput, response: Response) -> WorkflowOutput:
    response.headers["etag"] = f'"{workflow.version}"'
    return workflow


def _expected(if_match: str | None) -> int | None:
    """The version that an If-Match names (RFC 9110, 13.1.1); None for `*` or no header."""
    if if_match is None or if_match.strip() == "*":
        return None
    tag = if_match.strip()
    if len(tag) > 2 and tag[0] == tag[-1] == '"' and tag[1:-1].isascii() and tag[1:-1].isdigit() and len(tag) < 12:
        return min(int(tag[1:-1]), 2_147_483_647)
    raise BadRequest("If-Match is not an ETag of a workflow.", remedy='Send the ETag as you got it, such as "3".')
