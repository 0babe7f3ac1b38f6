"""Workflows: what is edited, and the immutable versions that runs stay on."""

from __future__ import annotations

from uuid import UUID

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
