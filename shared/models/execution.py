"""Runs and what they leave behind."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field, computed_field, field_validator

from shared.models.api import Input, Output
from shared.models.base import Json, Row, UtcDatetime

#: Statuses that a run does not leave again, unless it is retried.
ENDED = frozenset({"completed", "failed", "cancelled", "timed_out"})


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


class RunInput(Input):
    """What a run started by hand begins with."""

    payload: Any = Field(default=None, examples=[{"to": "world"}])
    """Any JSON; expressions see it as `trigger.payload`."""


class SignalInput(Input):
    """Something that a run waits for."""

    type: str = Field(min_length=1, max_length=100, examples=["approved"])
    """The name that the waiting node gives."""
    data: Any = Field(default=None, examples=[{"by": "Ada"}])
    """Any JSON, for that node's output."""

    @field_validator("type")
    @classmethod
    def _not_ours(cls, type_: str) -> str:
        if type_.startswith("millrace."):
            raise ValueError("names that begin with `millrace.` are the engine's own")
        return type_


class SignalOutput(Output):
    """A signal that was taken down."""

    id: UUID


class CancelOutput(Output):
    """How a cancelled run stands."""

    id: UUID
    status: Literal["cancelled", "cancelling"]
    """cancelling while a worker has it."""


class ResolveInput(Input):
    """What to do about a step that may or may not have had its effect when its worker was lost."""

    decision: Literal["retry", "complete", "fail"] = Field(examples=["retry"])
    """Do it again, take it as done with `output`, or fail it."""
    iteration: int = Field(default=0, ge=0, le=2_147_483_647)
    output: Any = None
    """Its output, with `complete`."""


class ExecutionStatus(Output):
    """How a run stands."""

    id: UUID
    workflow_id: UUID
    status: str
    """running, waiting, waiting_for_signal, paused, completed, failed, cancelled or timed_out; cancelling when a worker
    has yet to hear of it."""
    current_node_id: str | None
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error: Json | None
    error_message: str | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in ENDED

    @computed_field  # type: ignore[prop-decorator]
    @property
    def duration_ms(self) -> float | None:
        """From start to end."""
        return (self.completed_at - self.started_at).total_seconds() * 1000 if self.completed_at else None


class ExecutionSummary(ExecutionStatus):
    """A run in a list."""

    workflow_version: int
    trigger_type: str | None
    retry_count: int


class ExecutionOutput(ExecutionSummary):
    """A run. A value too large for its row is `{"$payload": {"sha256": …}}`; see `/payloads/{sha256}`."""

    trigger_data: Json | None
    output: Json | None
    response: Json | None
    """What a respond node answered the webhook's sender: status, headers, body."""


class TimelineStep(Output):
    """One step of a run, in brief."""

    node_id: str
    node_type: str
    iteration: int
    attempt: int
    status: str
    """completed, failed or in_doubt."""
    branch: str | None
    started_at: UtcDatetime
    duration_ms: float
    output: Json | None
    """Its output; of a long one the first 200 characters, as text."""
    error: Json | None


class StepOutput(Output):
    """One step of a run, in full."""

    node_id: str
    node_type: str
    iteration: int
    attempt: int
    seq: int
    """Counts the run's steps as they ended."""
    status: str
    branch: str | None
    started_at: UtcDatetime
    duration_ms: float
    output: Json | None
    error: Json | None
    variables: Json | None
    """The workflow variables that it set."""


class PayloadOutput(Output):
    """Where a value too large for its row can be read."""

    url: str
    """For one GET after another until it expires, without a token."""
    expires_at: UtcDatetime
    bytes: int
    media_type: str


class Timeline(Output):
    """How a run went."""

    execution: ExecutionStatus
    steps: list[TimelineStep]
    next: str | None
    """`cursor` of the steps that follow, if there are more."""


class Tail(Output):
    """What is new in a run since the cursor."""

    execution: ExecutionStatus
    steps: list[TimelineStep]
    cursor: str
    """For the next call."""


class LogOutput(Output):
    """A line of a run's log."""

    timestamp: UtcDatetime
    level: str
    node_id: str
    message: str
