"""Where a run begins."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from pydantic import Field, field_validator

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

    @field_validator("cron")
    @classmethod
    def _fires(cls, cron: str | None) -> str | None:
        if not cron:
            return None  # the old builder writes an empty one for a trigger that is no schedule
        from shared.cron import CronError, next_fire

        try:
            next_fire(cron, "UTC", datetime.now(UTC))
        except CronError as error:
            raise ValueError(error.detail) from None
        return cron


@node("trigger", config=TriggerConfig)
def trigger(config: TriggerConfig, context: StepContext) -> Output:
    """Pass on what started the run."""
    return Output(evaluate(context, "trigger", "trigger"))
