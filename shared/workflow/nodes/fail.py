"""End the run as failed."""

from __future__ import annotations

import json

from pydantic import Field

from shared.workflow.node import End, NodeConfig, StepContext, node
from shared.workflow.nodes.operands import Template, Text, declared, old, render


class FailConfig(NodeConfig):
    """Why."""

    message: Text = Field(
        default="The workflow ended itself as failed.",
        max_length=2_000,
        validation_alias=old("message", "error", "error_message"),
        description="why, a template",
    )
    output: Template = Field(default=None, description="the run's output, a template")


@node("fail", config=FailConfig, expressions=declared)
def fail(config: FailConfig, context: StepContext) -> End:
    """End the whole run as failed, with a message."""
    message = render(context, config.message, "message")
    text = message if isinstance(message, str) else json.dumps(message)
    return End(render(context, config.output, "output"), error=text[:10_000] or "The workflow ended itself as failed.")
