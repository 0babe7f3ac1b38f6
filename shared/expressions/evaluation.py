"""Evaluating: what an expression names is looked up, measured and handed over; its value comes back as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.expressions.bounds import Extent, Meter, TooMuch
from shared.expressions.mistakes import ExpressionError, explain
from shared.expressions.program import Program, Slot, program_of
from shared.expressions.tree import Name
from shared.expressions.values import SCALAR_EXTENT, Export, Json, imported, measure, reads_too_much
from shared.settings import ExpressionSettings

_PORTIONS_WORK = 4  #: times the work of one, by all portions of a list together: their memory is given back in between
_PORTION = 64  #: elements of a list that one evaluation of a map or filter sees
_NO_METER = 256 * 1024  #: bytes of all that is named, below which an expression without loops may do as it likes


class _Missing(Exception):
    """There is nothing at a path."""


def evaluate(source: str, context: Mapping[str, Json]) -> Json:
    """The JSON value of ``source`` over ``context``, or :class:`ExpressionError` with what is wrong."""
    program = program_of(source, tuple(context))
    data: dict[str, Json] = {}
    extents: dict[str, Extent] = {}
    total = largest = 0
    for slot in program.slots:
        try:
            value, extent = _bind(slot, context)
        except _Missing:
            continue  # an error only if the expression comes to look at it
        data[slot.name] = value
        extents[slot.name] = extent
        size = int(extent.size)
        total += size
        largest = max(largest, size)
    bounds = ExpressionSettings.load()
    if total > bounds.expression_input_bytes:
        raise reads_too_much(bounds.expression_input_bytes)
    if isinstance(program.tree, Name) and program.tree.name in data:
        return data[program.tree.name]  # as it is, looked at already; nothing is made of it
    if program.portioned is not None and extents.get(program.portioned, SCALAR_EXTENT).length > _PORTION:
        return _in_portions(program, data, extents)
    if program.grows or program.references * largest > _NO_METER:
        _measure_work(program, extents, Meter(bounds.expression_work_bytes))
    value = _run(program, data)
    if value is None or type(value) is bool or type(value) is int:
        return value
    return Export().value(value)


def _run(program: Program, data: dict[str, Json]) -> Any:
    """The program's value as the evaluator gives it."""
    try:
        result = program.compiled.eval(data=data)
        value = result.plain_value()
    except (RuntimeError, ValueError, OverflowError) as error:
        raise ExpressionError(_explained(str(error), program)) from None
    if type(value) is str and result.type().name() == "ERROR":
        raise ExpressionError(_explained(value, program))
    return value


def _in_portions(program: Program, data: dict[str, Json], extents: dict[str, Extent]) -> Json:
    """A map or filter over a long list: the results over its portions, one after the other.

    For each element these look at that element alone, so nothing tells them the portion from the list.
    """
    assert program.portioned is not None
    elements = data[program.portioned]
    most = ExpressionSettings.load().expression_work_bytes
    work = 0.0
    export = Export()
    result: list[Json] = []
    for start in range(0, len(elements), _PORTION):
        portion = elements[start : start + _PORTION]
        meter = Meter(min(most, _PORTIONS_WORK * most - work))
        _measure_work(program, {**extents, program.portioned: Extent(measure(portion)[0], len(portion))}, meter)
        work += meter.spent
        result += export.value(_run(program, {**data, program.portioned: portion}))
    return result


def _measure_work(program: Program, extents: Mapping[str, Extent], meter: Meter) -> None:
    try:
        meter.add(program.tree, extents)
    except TooMuch:
        raise ExpressionError(
            "The expression may take too much time or memory over this data.",
            remedy="Do it in steps, with map, filter or reduce nodes.",
        ) from None


def _bind(slot: Slot, context: Mapping[str, Json]) -> tuple[Json, Extent]:
    """What the program gets for a path, with its extent; _Missing when there is nothing."""
    path = slot.path
    try:
        value = context[path[0]]  # type: ignore[index]  # the first part is a name
    except KeyError:
        raise _Missing from None
    last = path[-1]
    for part in path[1:-1] if slot.kind == "has" else path[1:]:
        value = _at(value, part)
    if slot.kind == "value":
        return imported(value)
    if slot.kind == "size":
        if isinstance(value, str | list | tuple | dict):
            return len(value), SCALAR_EXTENT
        raise _Missing
    if isinstance(value, dict):
        return last in value, SCALAR_EXTENT
    raise _Missing


def _at(value: Json, part: str | int) -> Json:
    if isinstance(value, dict):
        if isinstance(part, str) and part in value:
            return value[part]
    elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
        return value[part]
    raise _Missing


def _explained(message: str, program: Program) -> str:
    return explain(message, {slot.name: slot.source for slot in program.slots})
