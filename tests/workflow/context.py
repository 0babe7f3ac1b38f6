"""Run one node's function as the engine does, over data that a test writes down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.workflow.context import Step
from shared.workflow.node import REGISTRY, Outcome, Output
from shared.workflow.nodes import operands  # noqa: F401  (its package registers the node types)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def step(
    trigger: Any = None,
    *,
    nodes: dict[str, Any] | None = None,
    variables: dict[str, Any] | None = None,
    inputs: dict[str, Any] | None = None,
    state: Any = None,
    now: datetime = NOW,
    seconds: float = 30,
) -> Step:
    """A step of a run: ``nodes`` are outputs by node id; ``inputs`` those of the nodes that lead here, ended too."""
    ended = {**(nodes or {}), **(inputs or {})}
    return Step(
        key="run/node/0",
        attempt=1,
        now=now,
        deadline=now + timedelta(seconds=seconds),
        inputs=inputs or {},
        state=state,
        names={
            "trigger": trigger,
            "nodes": {id_: {"output": value, "branch": None, "status": "completed"} for id_, value in ended.items()},
            "variables": variables or {},
            "execution": {"id": "run", "workflow_id": "workflow"},
        },
    )


def call(node_type: str, config: dict[str, Any], context: Step | None = None) -> Outcome:
    """What the node gives: its function over the validated config."""
    kind = REGISTRY[node_type]
    return kind.function(kind.config.model_validate(config), context or step())


def output(node_type: str, config: dict[str, Any], context: Step | None = None) -> Any:
    """The value of a node that is done at once."""
    outcome = call(node_type, config, context)
    assert isinstance(outcome, Output)
    return outcome.value
