"""CEL expressions over a run's data: what a condition, a filter, a schedule or a ``{{ template }}`` says.

CEL (https://github.com/google/cel-spec) is total, typed and has no host objects; ``cel-expr-python`` is Google's own
implementation. It bounds iterations and recursion; this module bounds the rest: the length of the source, the bytes of
the data an expression touches and the bytes of its result.

**Names.** ``trigger``, ``nodes``, ``variables``, ``execution``; inside map, filter and reduce also ``item``, ``index``
and ``accumulator``. Any other key of the context that is an identifier is a name too.

**Numbers.** A JSON number that is whole and fits 64 bits is an ``int`` however it was written (``3``, ``3.0``, ``3e0``);
any other is a ``double``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

from shared.errors import Invalid

Json = Any  #: what ``json.loads`` gives

NAMES = ("trigger", "nodes", "variables", "execution")
ITEM_NAMES = ("item", "index", "accumulator")

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset(
    "as break const continue else false for function if import in let loop namespace null package return true var void while".split()
)


class ExpressionError(Invalid):
    """The expression is not valid, or has no value over this data."""

    slug = "invalid-expression"


@lru_cache(maxsize=64)
def _environment(names: tuple[str, ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_math, ext_strings

    return cel.NewEnv(
        variables={name: cel.Type.DYN for name in names},
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
    )


@lru_cache(maxsize=2048)
def _program(source: str, names: tuple[str, ...]) -> Any:
    if len(source) > 8192:
        raise ExpressionError("The expression is longer than 8192 characters.")
    try:
        return _environment(names).compile(source)
    except RuntimeError as error:
        raise ExpressionError(str(error)) from None


def _names(context: Collection[str]) -> tuple[str, ...]:
    known = {*NAMES, *ITEM_NAMES}
    known.update(name for name in context if _IDENTIFIER.match(name) and name not in _RESERVED)
    return tuple(sorted(known))


def evaluate(source: str, context: Mapping[str, Json]) -> Json:
    """The JSON value of ``source`` over ``context``, or :class:`ExpressionError`."""
    value = _program(source, _names(context)).eval(data=dict(context))
    if value.type().name() == "ERROR":
        raise ExpressionError(str(value.plain_value()))
    return value.plain_value()


def check(source: str, names: Collection[str] = (*NAMES, *ITEM_NAMES)) -> None:
    """Raise :class:`ExpressionError` when ``source`` is not a valid expression over ``names``."""
    _program(source, tuple(sorted(names)))


def parts(template: str) -> list[tuple[bool, str]]:
    """``template`` cut into ``(is an expression, text)``; ``{{`` without its ``}}`` is an :class:`ExpressionError`."""
    found: list[tuple[bool, str]] = []
    position = 0
    while True:
        start = template.find("{{", position)
        if start < 0:
            if position < len(template):
                found.append((False, template[position:]))
            return found
        if start > position:
            found.append((False, template[position:start]))
        end = _closing(template, start + 2)
        found.append((True, template[start + 2 : end].strip()))
        position = end + 2


def _closing(template: str, position: int) -> int:
    depth = 0
    quote = ""
    while position < len(template):
        char = template[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            if depth:
                depth -= 1
            elif template.startswith("}}", position):
                return position
        position += 1
    raise ExpressionError("A template's '{{' has no '}}'.")


def render(value: Json, context: Mapping[str, Json]) -> Json:
    """``value`` with every ``{{ expression }}`` replaced, in depth; one lone expression keeps its type."""
    if isinstance(value, str):
        if "{{" not in value:
            return value
        pieces = parts(value)
        if len(pieces) == 1:
            return evaluate(pieces[0][1], context)
        return "".join(_text(evaluate(text, context)) if is_source else text for is_source, text in pieces)
    if isinstance(value, dict):
        return {key: render(item, context) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, context) for item in value]
    return value


def _text(value: Json) -> str:
    import json

    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sources(value: Json, path: str = "") -> list[tuple[str, str]]:
    """``(dotted path, source)`` of every expression in a templated value."""
    return list(_sources(value, path))


def _sources(value: Json, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if "{{" in value:
            yield from ((path, text) for is_source, text in parts(value) if is_source)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _sources(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _sources(item, f"{path}.{index}" if path else str(index))
