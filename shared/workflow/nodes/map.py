"""A list made from a list."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.workflow.node import NodeConfig, Output, StepContext, node
from shared.workflow.nodes.operands import Expression, Items, declared, each, evaluate, items, old


class MapConfig(NodeConfig):
    """What becomes of each item."""

    names: ClassVar[tuple[str, ...]] = ("item", "index")

    items: Items = Field(
        default=None, validation_alias=old("items", "input_array"), description="the list; else the one that leads in"
    )
    expression: Expression = Field(
        validation_alias=old("expression", "map_expression"), description="of `item` and `index`: the new item"
    )


@node("map", config=MapConfig, expressions=declared)
def map_items(config: MapConfig, context: StepContext) -> Output:
    """Give the list of what the expression makes of each item."""
    found = items(context, config.items)
    return Output(
        [evaluate(context, config.expression, "expression", item=item, index=i) for i, item in each(context, found)]
    )
