"""Workflows: what is edited, and the immutable versions that runs stay on."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AliasChoices, Field, model_validator

from shared.models.api import Input, Output, Patch
from shared.models.base import Json, Row, UtcDatetime


class WorkflowRow(Row):
    """A workflow. ``graph_config`` is the graph as last saved, which is also version ``version_id``."""

    table = "workflow"

    name: str
    description: str | None
    is_active: bool
    version: int
    trigger_config: Json | None
    graph_config: Json | None
    id: UUID
    owner_id: UUID
    created_at: UtcDatetime
    updated_at: UtcDatetime
    version_id: UUID | None


class WorkflowVersionRow(Row):
    """One saved graph. Never changed."""

    table = "workflowversion"

    id: UUID
    owner_id: UUID
    workflow_id: UUID
    version: int
    graph: Json
    trigger_config: Json | None
    created_at: UtcDatetime
    created_by: UUID | None


class WorkflowNodeRow(Row):
    """A node of an old workflow whose ``graph_config`` holds none."""

    table = "workflownode"

    id: UUID
    workflow_id: UUID
    node_type: str
    node_id: str
    position_x: float
    position_y: float
    config: Json | None
    owner_id: UUID | None


_GRAPH_EXAMPLE = {
    "nodes": [
        {"node_id": "start", "node_type": "trigger", "config": {}},
        {"node_id": "greet", "node_type": "set_variable", "config": {"variable_name": "to", "variable_value": "world"}},
    ],
    "edges": [{"from": "start", "to": "greet"}],
}


class TriggerInput(Input):
    """What the workflow is meant to be started by. With ``schedule`` and ``cron`` the schedule is kept for you."""

    type: Literal["manual", "webhook", "schedule", "storage"] = "manual"
    cron: str | None = Field(
        default=None, max_length=256, validation_alias=AliasChoices("cron", "cron_expression"), examples=["0 9 * * 1-5"]
    )
    """When, in five fields or as `@daily`."""
    timezone: str = Field(default="UTC", max_length=64, examples=["Europe/Berlin"])
    """IANA time zone of `cron`."""
    method: str | None = Field(
        default=None, max_length=10, validation_alias=AliasChoices("method", "webhook_method"), examples=["POST"]
    )
    """The only HTTP method that its webhooks accept."""

    @model_validator(mode="after")
    def _scheduled(self) -> TriggerInput:
        if self.cron is not None:
            from shared.cron import CronError, check

            try:
                check(self.cron, self.timezone)
            except CronError as error:
                raise ValueError(error.detail) from None
        return self


class WorkflowInput(Input):
    """A new workflow."""

    name: str = Field(min_length=1, max_length=255, examples=["Greet"])
    description: str | None = Field(default=None, max_length=1000)
    is_active: bool = True
    """Whether it may be started."""
    graph_config: dict[str, Any] = Field(examples=[_GRAPH_EXAMPLE])
    """Nodes and the edges between them."""
    trigger_config: TriggerInput = Field(default_factory=TriggerInput)


class WorkflowPatch(Patch):
    """What changes in a workflow. Another graph or trigger makes another version."""

    nullable: ClassVar[frozenset[str]] = frozenset({"description", "version"})

    name: str | None = Field(default=None, min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=1000)
    is_active: bool | None = None
    graph_config: dict[str, Any] | None = Field(default=None, examples=[_GRAPH_EXAMPLE])
    trigger_config: TriggerInput | None = None
    version: int | None = Field(default=None, ge=1)
    """The version that the change is based on; refused with 412 when there is a newer one."""


class GraphInput(Input):
    """A graph to be looked over."""

    graph_config: dict[str, Any] = Field(examples=[_GRAPH_EXAMPLE])


class GraphOutput(Output):
    """A graph without mistakes."""

    entry: str
    """The node that a run starts at."""
    nodes: int
    edges: int


class WorkflowSummary(Output):
    """A workflow, without its graph."""

    id: UUID
    name: str
    description: str | None
    is_active: bool
    version: int
    trigger_config: Json | None
    created_at: UtcDatetime
    updated_at: UtcDatetime


class WorkflowOutput(WorkflowSummary):
    """A workflow."""

    graph_config: Json | None


class VersionSummary(Output):
    """An immutable version, without its graph."""

    version: int
    created_at: UtcDatetime
    created_by: UUID | None


class VersionOutput(VersionSummary):
    """An immutable version. Runs stay on the one they started with."""

    graph_config: Json
    trigger_config: Json | None


class NodeTypeOutput(Output):
    """A node type that a graph may use."""

    name: str
    aliases: list[str]
    summary: str
    capability: str | None
    """The capability it needs, if any."""
    deployed: bool
    """Whether that capability is here."""
    config: dict[str, Any]
    """The JSON Schema of its config."""
