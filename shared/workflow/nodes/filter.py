"""Some of a list."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.workflow.node import NodeConfig, Output, StepContext, node
from shared.workflow.nodes.operands import Expression, Items, declared, each, items, old, truth


class FilterConfig(NodeConfig):
    """Which items stay."""

    names: ClassVar[tuple[str, ...]] = ("item", "index")

    items: Items = Field(
        default=None, validation_alias=old("items", "input_array"), description="the list; else the one that leads in"
    )
    condition: Expression = Field(
        validation_alias=old("condition", "filter_condition", "expression"),
        description="of `item` and `index`: true for what stays",
    )


@node("filter", config=FilterConfig, expressions=declared)
def filter_items(config: FilterConfig, context: StepContext) -> Output:
    """Give the items for which the condition is true, in their order."""
    found = items(context, config.items)
    return Output(
        [item for i, item in each(context, found) if truth(context, config.condition, "condition", item=item, index=i)]
    )
