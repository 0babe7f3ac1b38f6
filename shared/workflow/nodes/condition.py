"""Two ways on."""

from __future__ import annotations

from pydantic import Field, field_validator

from shared.workflow.node import NodeConfig, Output, StepContext, node
from shared.workflow.nodes.operands import Expression, declared, old, truth


def only_cel(language: str) -> str:
    """Refuse the expression languages of the old system, which ran them through ``eval``."""
    if language.lower() != "cel":
        raise ValueError(
            f"{language} is not evaluated; write the expression in CEL and leave this out: "
            "`trigger.amount > 100 && trigger.kind == 'sale'`"
        )
    return "cel"


class ConditionConfig(NodeConfig):
    """A question about the run."""

    expression: Expression = Field(
        validation_alias=old("expression", "condition", "condition_expression"), description="is true or false"
    )
    language: str = Field(
        default="cel", validation_alias=old("language", "condition_type"), description="only `cel` is evaluated"
    )

    _only_cel = field_validator("language")(only_cel)


@node("condition", "if", config=ConditionConfig, branches=("true", "false"), expressions=declared)
def condition(config: ConditionConfig, context: StepContext) -> Output:
    """Follow the branch true or false, as the expression says."""
    result = truth(context, config.expression, "expression")
    branch = "true" if result else "false"
    return Output({"condition_result": result, "branch": branch}, branch=branch)
