"""Templates: text in which ``{{ expressions }}`` stand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from shared.expressions.evaluation import evaluate
from shared.expressions.mistakes import ExpressionError
from shared.expressions.values import Json


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
    """Where the ``}}`` is that ends an expression: outside CEL's strings and its own braces."""
    depth = 0
    while position < len(template):
        char = template[position]
        if char in "\"'":
            position = _string_end(template, position)
            continue
        if char == "{":
            depth += 1
        elif char == "}":
            if depth:
                depth -= 1
            elif template.startswith("}}", position):
                return position
        position += 1
    raise ExpressionError("A template's {{ has no }}.")


def _string_end(template: str, start: int) -> int:
    """The position after the CEL string that begins at ``start``: one or three quotes, perhaps raw (``r'\\'``)."""
    quote = template[start]
    if template.startswith(quote * 3, start):
        quote *= 3
    prefix = template[max(0, start - 2) : start].lower()
    raw = prefix.endswith("r") or prefix == "rb"
    position = start + len(quote)
    while position < len(template):
        if template[position] == "\\" and not raw:
            position += 2
        elif template.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    return position


def render(value: Json, context: Mapping[str, Json]) -> Json:
    """``value`` with every ``{{ expression }}`` replaced, in depth; keys stay.

    A string that is one expression and nothing else becomes that expression's value, of any type. Elsewhere a string
    goes in as it is, null as nothing, anything else as JSON, a whole double without its ``.0``.
    """
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
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


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
