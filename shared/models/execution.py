"""Runs and what they leave behind."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class WorkflowExecutionRow(Row):
    """A run, as its owner sees it: written at the start, at changes of status, and at the end.

    ``response`` is what a respond node shaped: ``{"status": 200, "headers": {}, "body": ...}``; ``error`` is
    ``{"kind", "message", "node"}``. What the engine works on while the run lives is elsewhere, in ``millrace.run``.
    """

    table = "workflowexecution"

    id: UUID
    workflow_id: UUID
    workflow_version: int
    execution_id: str
    status: str
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error_message: str | None
    current_node_id: str | None
    execution_state: Json | None
    retry_count: int
    next_retry_at: UtcDatetime | None
    owner_id: UUID | None
    version_id: UUID | None
    trigger_type: str | None
    trigger_data: Json | None
    output: Json | None
    response: Json | None
    error: Json | None
    epoch: int | None
    deadline_at: UtcDatetime | None
    retry_of: UUID | None


class ExecutionStepRow(Row):
    """One step that ended (or is in doubt), once per attempt that was recorded."""

    table = "executionstep"

    execution_id: UUID
    node_id: str
    iteration: int
    attempt: int
    seq: int
    owner_id: UUID | None
    node_type: str
    status: str
    branch: str | None
    output: Json | None
    error: Json | None
    variables: Json | None
    started_at: UtcDatetime
    duration_ms: float


class ExecutionLogRow(Row):
    """A line of a run's log."""

    table = "executionlog"

    id: UUID
    execution_id: UUID
    node_id: str
    level: str
    message: str
    timestamp: UtcDatetime
    owner_id: UUID | None


class WorkflowSignalRow(Row):
    """Something a run was told from outside, and whether it heard it."""

    table = "workflowsignal"

    id: UUID
    execution_id: UUID
    signal_type: str
    signal_data: Json | None
    received_at: UtcDatetime
    processed: bool
    owner_id: UUID | None
