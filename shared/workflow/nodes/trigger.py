"""Where a run begins."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from shared.workflow.node import NodeConfig, Output, StepContext, node
from shared.workflow.nodes.operands import evaluate, old


class Cause(StrEnum):
    """What starts the workflow."""

    MANUAL = "manual"
    WEBHOOK = "webhook"
    SCHEDULE = "schedule"
    STORAGE = "storage"


class TriggerConfig(NodeConfig):
    """Tells a reader of the graph what starts it; the subscription or schedule itself is a row of its own."""

    trigger_type: Cause = Field(
        default=Cause.MANUAL, validation_alias=old("trigger_type", "type"), description="what starts the workflow"
    )
    cron: str | None = Field(
        default=None,
        validation_alias=old("cron", "cron_expression"),
        max_length=255,
        description="when, as cron writes it",
    )
    method: str | None = Field(
        default=None, validation_alias=old("method", "webhook_method"), max_length=10, description="of the webhook"
    )


@node("trigger", config=TriggerConfig)
def trigger(config: TriggerConfig, context: StepContext) -> Output:
    """Pass on what started the run."""
    return Output(evaluate(context, "trigger", "trigger"))
