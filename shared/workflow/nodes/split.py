"""A list in parts."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, model_validator

from shared.workflow.node import Json, NodeConfig, Output, StepContext, StepError, node
from shared.workflow.nodes.operands import Items, MaybeExpression, declared, each, evaluate, items, kind, old, truth


class Strategy(StrEnum):
    """What decides which items belong together."""

    BY_SIZE = "by_size"
    BY_KEY = "by_key"
    BY_CONDITION = "by_condition"


class SplitConfig(NodeConfig):
    """How the list is parted: by exactly one of size, key and condition."""

    names: ClassVar[tuple[str, ...]] = ("item", "index")

    items: Items = Field(
        default=None, validation_alias=old("items", "input_array"), description="the list; else the one that leads in"
    )
    strategy: Strategy | None = Field(
        default=None,
        validation_alias=old("strategy", "split_strategy"),
        description="`by_size`, `by_key` or `by_condition`; need not be said",
    )
    size: int | None = Field(
        default=None, ge=1, le=1_000_000, validation_alias=old("size", "split_size"), description="items in each part"
    )
    key: MaybeExpression = Field(
        default=None, validation_alias=old("key", "split_key"), description="of `item` and `index`: the part's name"
    )
    condition: MaybeExpression = Field(
        default=None,
        validation_alias=old("condition", "split_condition"),
        description="of `item` and `index`: true or false",
    )

    @model_validator(mode="after")
    def _one_way(self) -> SplitConfig:
        given = [
            strategy
            for strategy, value in (
                (Strategy.BY_SIZE, self.size),
                (Strategy.BY_KEY, self.key),
                (Strategy.BY_CONDITION, self.condition),
            )
            if value is not None
        ]
        if len(given) != 1:
            raise ValueError("needs exactly one of `size`, `key` and `condition`")
        if self.strategy not in (None, given[0]):
            raise ValueError(f"strategy {self.strategy} does not go with `{given[0].removeprefix('by_')}`")
        self.strategy = given[0]
        return self


def _part(value: Json) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, list | dict):
        raise StepError(f"key gave {kind(value)}, not text, a number or a truth value", kind="expression")
    return json.dumps(value)


@node("split", config=SplitConfig, expressions=declared)
def split(config: SplitConfig, context: StepContext) -> Output:
    """Give the list in parts: a list of lists by size, an object of lists by key or by condition."""
    found = items(context, config.items)
    if config.size is not None:
        return Output([found[start : start + config.size] for start in range(0, len(found), config.size)])
    parts: dict[str, list[Json]] = {} if config.condition is None else {"true": [], "false": []}
    for index, item in each(context, found):
        if config.condition is not None:
            name = "true" if truth(context, config.condition, "condition", item=item, index=index) else "false"
        else:
            name = _part(evaluate(context, config.key or "", "key", item=item, index=index))
        parts.setdefault(name, []).append(item)
    return Output(parts)
