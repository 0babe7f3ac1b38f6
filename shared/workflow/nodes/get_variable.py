"""Read what an earlier step kept."""

from __future__ import annotations

from pydantic import Field, field_validator

from shared.workflow.node import NodeConfig, Output, StepContext, node
from shared.workflow.nodes.operands import Template, declared, old, render
from shared.workflow.nodes.set_variable import NAME, only_workflow

_ABSENT = object()


class GetVariableConfig(NodeConfig):
    """A variable, and what stands in for it."""

    name: str = Field(pattern=NAME, validation_alias=old("name", "variable_name"), description="of the variable")
    default: Template = Field(
        default=None,
        validation_alias=old("default", "default_value"),
        description="the output when it was never set, a template",
    )
    scope: str = Field(
        default="workflow", validation_alias=old("scope", "variable_scope"), description="only `workflow`: the run's"
    )

    _only_workflow = field_validator("scope")(only_workflow)


@node("get_variable", config=GetVariableConfig, expressions=declared)
def get_variable(config: GetVariableConfig, context: StepContext) -> Output:
    """Give a variable's value as the output."""
    value = context.variable(config.name, _ABSENT)
    return Output(render(context, config.default, "default") if value is _ABSENT else value)
