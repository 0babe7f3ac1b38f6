"""Keep a value for later steps."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from shared.workflow.node import NodeConfig, Output, StepContext, node
from shared.workflow.nodes.operands import Template, declared, old, render

#: So that an expression can name it: ``variables.<name>``.
NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"


def only_workflow(scope: str) -> str:
    """Refuse the scopes of the old system that never held anything."""
    if scope != "workflow":
        raise ValueError(f"there are no variables of scope {scope!r}; every variable is the run's own (`workflow`)")
    return scope


class SetVariableConfig(NodeConfig):
    """One variable by name and value, or several."""

    name: str | None = Field(
        default=None, pattern=NAME, validation_alias=old("name", "variable_name"), description="of one variable"
    )
    value: Template = Field(
        default=None, validation_alias=old("value", "variable_value"), description="its value, a template"
    )
    variables: Template = Field(default=None, description="several: an object of names and templates")
    scope: str = Field(
        default="workflow", validation_alias=old("scope", "variable_scope"), description="only `workflow`: the run's"
    )

    _only_workflow = field_validator("scope")(only_workflow)

    @field_validator("variables")
    @classmethod
    def _names(cls, variables: Any) -> Any:
        import re

        if not isinstance(variables, dict) or not variables:
            raise ValueError("must be an object of names and values")
        for name in variables:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"{name!r} is not a name: letters, digits and _, not beginning with a digit")
        return variables

    @model_validator(mode="after")
    def _one_or_several(self) -> SetVariableConfig:
        if (self.name is None) == (self.variables is None):
            raise ValueError("needs either `name` and `value`, or `variables`")
        return self


@node("set_variable", config=SetVariableConfig, expressions=declared)
def set_variable(config: SetVariableConfig, context: StepContext) -> Output:
    """Set variables of the run; the output is the object of what was set."""
    if config.name is not None:
        values = {config.name: render(context, config.value, "value")}
    else:
        values = render(context, config.variables, "variables")
    return Output(values, variables=values)
