"""One value from a list."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.workflow.node import NodeConfig, Output, StepContext, node
from shared.workflow.nodes.operands import Expression, Items, Template, declared, each, evaluate, items, old, render


class ReduceConfig(NodeConfig):
    """How the value grows with each item."""

    names: ClassVar[tuple[str, ...]] = ("item", "index", "accumulator")

    items: Items = Field(
        default=None, validation_alias=old("items", "input_array"), description="the list; else the one that leads in"
    )
    expression: Expression = Field(
        validation_alias=old("expression", "reduce_function"),
        description="of `accumulator`, `item` and `index`: the next accumulator",
    )
    initial: Template = Field(
        default=None, validation_alias=old("initial", "initial_value"), description="the first accumulator, a template"
    )


@node("reduce", config=ReduceConfig, expressions=declared)
def reduce_items(config: ReduceConfig, context: StepContext) -> Output:
    """Give what the accumulator is after the last item, or the initial value for an empty list."""
    accumulator = render(context, config.initial, "initial")
    for index, item in each(context, items(context, config.items)):
        accumulator = evaluate(
            context, config.expression, "expression", accumulator=accumulator, item=item, index=index
        )
    return Output(accumulator)
