"""One value from several branches."""

from __future__ import annotations

import json
from enum import StrEnum

from pydantic import Field

from shared.workflow.node import Json, NodeConfig, Output, StepContext, StepError, node
from shared.workflow.nodes.operands import evaluate, kind, old


class Strategy(StrEnum):
    """How values become one."""

    SHALLOW = "shallow"  #: one object; a later source's key replaces an earlier one's
    DEEP = "deep"  #: the same inside the objects under a key that both have
    ARRAY = "array"  #: the list of them
    BY_NODE = "by_node"  #: an object of each value by its node's id


class MergeConfig(NodeConfig):
    """What is merged, and how."""

    sources: list[str] | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        validation_alias=old("sources", "input_sources"),
        description="ids of the nodes, in order; else every node that led here",
    )
    strategy: Strategy = Field(
        default=Strategy.SHALLOW,
        validation_alias=old("strategy", "merge_strategy"),
        description="`shallow` or `deep` for objects, `array`, or `by_node`",
    )


def _deep(first: Json, second: Json) -> Json:
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return {**first, **{key: _deep(first[key], value) if key in first else value for key, value in second.items()}}


def _expressions(config: MergeConfig) -> dict[str, str]:
    """A source is a reference to a node, and is checked as one."""
    return {f"sources.{index}": f"nodes[{json.dumps(source)}]" for index, source in enumerate(config.sources or ())}


def _gathered(config: MergeConfig, context: StepContext) -> dict[str, Json]:
    if config.sources is None:
        return dict(context.inputs)
    found: dict[str, Json] = {}
    for index, source in enumerate(config.sources):
        if source in context.inputs:
            found[source] = context.inputs[source]
        else:
            name = json.dumps(source)
            # A source on a branch that was not taken has no output, and nothing to add.
            held = evaluate(context, f"{name} in nodes ? [nodes[{name}].output] : []", f"sources.{index}")
            found.update((source, value) for value in held)
    return found


@node("merge", config=MergeConfig, expressions=_expressions)
def merge(config: MergeConfig, context: StepContext) -> Output:
    """Give the outputs of the nodes that led here, as one value."""
    found = _gathered(config, context)
    if config.strategy is Strategy.ARRAY:
        return Output(list(found.values()))
    if config.strategy is Strategy.BY_NODE:
        return Output(found)
    merged: dict[str, Json] = {}
    for source, value in found.items():
        if value is None:
            continue
        if not isinstance(value, dict):
            raise StepError(
                f"{source!r} gave {kind(value)}, which is not merged into an object; use the strategy array or by_node",
                kind="input",
            )
        merged = _deep(merged, value) if config.strategy is Strategy.DEEP else {**merged, **value}
    return Output(merged)
