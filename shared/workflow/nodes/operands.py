"""What the configs of nodes are made of: expressions, templates and lists, and how a step reads them.

A field is annotated with what it is; from that :func:`declared` tells the graph which CEL sources to check when the
workflow is saved, and the functions here give its value when the step runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from enum import Enum, auto
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field

from shared import expressions
from shared.settings import NodeSettings
from shared.workflow.node import Json, NodeConfig, StepContext, StepError


class Operand(Enum):
    """How a config field is read."""

    EXPRESSION = auto()  #: CEL
    TEMPLATE = auto()  #: any JSON, with ``{{ CEL }}`` in its strings
    LIST = auto()  #: CEL that gives a list, or a list that is a template


def _bare(source: Any) -> Any:
    """An expression may be written as ``{{ expression }}`` too, as it stands elsewhere."""
    if isinstance(source, bool):
        return "true" if source else "false"
    if not isinstance(source, str):
        return source
    source = source.strip()
    if source.startswith("{{"):
        try:
            parts = expressions.parts(source)
        except expressions.ExpressionError:
            return source
        if len(parts) == 1:
            return parts[0][1]
    return source


def _closed(value: Any) -> Any:
    """A template whose every ``{{`` has its ``}}``."""
    try:
        expressions.sources(value)
    except expressions.ExpressionError as error:
        raise ValueError(error.detail) from None
    return value


#: CEL over the run's data.
Expression = Annotated[str, BeforeValidator(_bare), Field(min_length=1), Operand.EXPRESSION]
#: The same where none need be given.
MaybeExpression = Annotated[str | None, BeforeValidator(_bare), Field(min_length=1), Operand.EXPRESSION]
#: Any JSON, with ``{{ CEL }}`` in its strings.
Template = Annotated[Any, AfterValidator(_closed), Operand.TEMPLATE]
#: Text, with ``{{ CEL }}`` in it.
Text = Annotated[str, AfterValidator(_closed), Operand.TEMPLATE]
MaybeText = Annotated[str | None, AfterValidator(_closed), Operand.TEMPLATE]
#: CEL that gives a list, or the list itself, with ``{{ CEL }}`` in its strings. None is what leads into the node.
Items = Annotated[str | list[Any] | None, BeforeValidator(_bare), AfterValidator(_closed), Operand.LIST]


def old(name: str, *olds: str) -> AliasChoices:
    """The names a field is read from: its own, then those of the old system."""
    return AliasChoices(name, *olds)


@cache
def _operands(model: type[NodeConfig]) -> tuple[tuple[str, Operand], ...]:
    return tuple(
        (name, mark) for name, info in model.model_fields.items() for mark in info.metadata if isinstance(mark, Operand)
    )


def declared(config: NodeConfig) -> dict[str, str]:
    """Every CEL source in ``config``, by its path."""
    found: dict[str, str] = {}
    for name, mark in _operands(type(config)):
        value = getattr(config, name)
        if value is None:
            continue
        if mark is Operand.EXPRESSION or (mark is Operand.LIST and isinstance(value, str)):
            found[name] = value
        else:
            for path, source in expressions.sources(value, name):
                # Two expressions in one string have one path.
                found[path if path not in found else f"{path}#{len(found)}"] = source
    return found


def written(model: type[NodeConfig], config: dict[str, Any]) -> dict[str, str]:
    """The CEL sources in a config that is wrong otherwise, so that they are checked in the same go."""
    found: dict[str, str] = {}
    for field, mark in _operands(model):
        alias = model.model_fields[field].validation_alias
        for name in dict.fromkeys((field, *getattr(alias, "choices", ()))):
            value = _bare(config.get(name)) if mark is not Operand.TEMPLATE else config.get(name)
            if not value:
                continue
            if mark is Operand.TEMPLATE or isinstance(value, list):
                with contextlib.suppress(expressions.ExpressionError):  # reported with the config's other mistakes
                    found.update(expressions.sources(value, name))
            elif isinstance(value, str):
                found[name] = value
    return found


def evaluate(context: StepContext, source: str, field: str, /, **extra: Json) -> Json:
    """The value of ``source``, or :class:`StepError` of kind ``expression`` that names the field."""
    try:
        return context.evaluate(source, **extra)
    except expressions.ExpressionError as error:
        raise StepError(f"{field}: {error.detail}", kind="expression") from error


def render(context: StepContext, value: Json, field: str, /) -> Json:
    """``value`` with its templates replaced, or :class:`StepError` of kind ``expression`` that names the field."""
    try:
        return context.render(value)
    except expressions.ExpressionError as error:
        raise StepError(f"{field}: {error.detail}", kind="expression") from error


def truth(context: StepContext, source: str, field: str, /, **extra: Json) -> bool:
    """The value of a condition, which must be true or false: nothing else is taken for one."""
    value = evaluate(context, source, field, **extra)
    if not isinstance(value, bool):
        raise StepError(
            f"{field} gave {kind(value)}, not true or false; write a comparison such as `size(x) > 0`",
            kind="expression",
        )
    return value


def items(context: StepContext, config: Items, field: str = "items", /) -> list[Json]:
    """The list a node works through: what its config says, or the one list that leads into it."""
    if config is None:
        values = list(context.inputs.values())
        lists = [value for value in values if isinstance(value, list)]
        if len(lists) != 1:
            raise StepError(
                f"{field} is not given, and {len(lists)} lists lead into the node where one is needed", kind="input"
            )
        found: Json = lists[0]
    elif isinstance(config, str):
        found = evaluate(context, config, field)
    else:
        found = render(context, config, field)
    if not isinstance(found, list):
        raise StepError(f"{field} gave {kind(found)}, not a list", kind="input")
    most = NodeSettings.load().list_items
    if len(found) > most:
        raise StepError(f"{field} has {len(found)} items; a node reads at most {most}", kind="too_large")
    return found


def each(context: StepContext, found: list[Json], /) -> Iterator[tuple[int, Json]]:
    """Index and item, as long as the step has time."""
    until = time.monotonic() + (context.deadline - context.now).total_seconds()
    for index, item in enumerate(found):
        if time.monotonic() >= until:
            raise StepError(f"The step's time was over after {index} of {len(found)} items", kind="timeout")
        yield index, item


def kind(value: Json) -> str:
    """What JSON calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
