"""JSON Schemas that tenants write (2020-12), checked and applied within bounds.

``jsonschema`` does the work. What could make it slow, or reach out, is taken away: a schema is small and refers to
nothing outside itself, every keyword that is looked at is counted, and patterns are matched by RE2 (which CEL brings
along) in linear time, so that a pattern RE2 does not know (lookahead, backreferences) is refused. ``format`` says
something to people and is not checked, as the specification has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from shared.expressions import ExpressionError, evaluate

Mistake = dict[str, Any]  #: ``{"path": dotted, "message": what is wrong}``

LARGEST_SCHEMA = 64 * 1024  #: bytes of JSON
DEEPEST_SCHEMA = 32
#: Keywords looked at for one value: about half a second.
WORK = 100_000
MOST_MISTAKES = 20

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SHOWN = 300
_left: ContextVar[list[int]] = ContextVar("left")


class TooMuchWork(Exception):
    """The schema asks for more than is done for one value."""


def _matches(pattern: str, text: str) -> bool:
    return bool(evaluate("variables.text.matches(variables.pattern)", _names(pattern, text)))


def _names(pattern: str, text: str) -> dict[str, Any]:
    return {"variables": {"text": text, "pattern": pattern}}


# Keywords whose usual implementation is not bounded -------------------------------------------------------------------


def _pattern(validator: Any, pattern: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _matches(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    for pattern, inner in patterns.items():
        for key, item in value.items():
            if _matches(pattern, key):
                yield from validator.descend(item, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    patterns = list(schema.get("patternProperties", {}))
    extra = [key for key in value if key not in known and not any(_matches(pattern, key) for pattern in patterns)]
    if inner is False:
        if extra:
            yield ValidationError(f"{', '.join(map(repr, extra[:10]))} is not expected")
        return
    for key in extra:
        yield from validator.descend(value[key], inner, path=key)


def _cost(keyword: str, said: Any, value: Any) -> int:
    """How often this keyword compares."""
    if keyword == "uniqueItems" and said is True and isinstance(value, list):
        plain = all(isinstance(item, str | int | float) for item in value)
        return len(value) if plain else len(value) ** 2
    if keyword in ("enum", "required") and isinstance(said, list):
        return len(said)
    if keyword in ("patternProperties", "additionalProperties") and isinstance(value, dict):
        return len(value)
    return 1


def _counted(keyword: str, check: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def counted(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        left = _left.get()
        left[0] -= _cost(keyword, said, value)
        if left[0] < 0:
            raise TooMuchWork
        yield from check(validator, said, value, schema) or ()

    return counted


_OWN = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
}
_extend: Callable[..., Any] = validators.extend
_Bounded = _extend(
    Draft202012Validator,
    {
        keyword: _counted(keyword, _OWN.get(keyword) or check)
        for keyword, check in dict[str, Any](Draft202012Validator.VALIDATORS).items()
    },
)


# What callers use -----------------------------------------------------------------------------------------------------


def mistakes(schema: Any, value: Any) -> list[Mistake]:
    """What is wrong with ``value`` by ``schema``, which :func:`check` found good; the first twenty."""
    found: list[Mistake] = []
    token = _left.set([WORK])
    try:
        for error in _Bounded(_frozen(schema)).iter_errors(value):
            found.append({"path": _path(error), "message": _cut(error.message)})
            if len(found) >= MOST_MISTAKES:
                break
    except TooMuchWork:
        found.append({"path": "", "message": "could not be checked: the schema asks for too much work for this value"})
    except (RecursionError, ArithmeticError, Unresolvable, ExpressionError) as error:
        found.append({"path": "", "message": _cut(f"could not be checked: {type(error).__name__}: {error}")})
    finally:
        _left.reset(token)
    return found


def check(schema: Any, field: str) -> list[Mistake]:
    """Why ``schema`` is none that is used here, each by its path below ``field``; an empty list when it is."""

    def wrong(message: str, path: str = "") -> list[Mistake]:
        return [{"path": f"{field}.{path}" if path else field, "message": _cut(message)}]

    if not isinstance(schema, dict | bool):
        return wrong("must be an object or true or false")
    size = len(json.dumps(schema, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > LARGEST_SCHEMA:
        return wrong(f"has {size} bytes; at most {LARGEST_SCHEMA} are taken")
    if _depth(schema) > DEEPEST_SCHEMA:
        return wrong(f"is nested more than {DEEPEST_SCHEMA} levels deep")
    if isinstance(schema, dict) and str(schema.get("$schema", _DIALECT)).rstrip("#") != _DIALECT:
        return wrong(f"must be {_DIALECT}, or left out", "$schema")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return wrong(error.message, _path(error))
    if found := list(_foreign(schema, "")):
        return [mistake for path, message in found[:MOST_MISTAKES] for mistake in wrong(message, path)]
    samples: tuple[Any, ...] = (None, {}, [], "", 0)
    for sample in samples:
        if unusable := [one for one in mistakes(schema, sample) if one["message"].startswith("could not be checked")]:
            return wrong(unusable[0]["message"])
    return []


def _foreign(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """References that lead outside, and patterns that RE2 does not know."""
    registry: Registry[Any] = Registry()
    resolver = registry.with_resource("", DRAFT202012.create_resource(schema)).resolver()
    patterned = unevaluated = False
    for place, part in _parts(schema, path):
        for keyword in ("$ref", "$dynamicRef"):
            if isinstance(reference := part.get(keyword), str):
                if not reference.startswith("#"):
                    yield _below(place, keyword), "refers to another document; only `#…` of this schema is followed"
                    continue
                try:
                    resolver.lookup(reference)
                except Unresolvable:
                    yield _below(place, keyword), f"refers to {reference}, which is not there"
        if isinstance(part.get("$id"), str) and place:
            yield _below(place, "$id"), "a part of a schema has no address of its own here"
        patterns = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
        if isinstance(inner := part.get("patternProperties"), dict):
            patterned = True
            patterns += inner
        unevaluated |= "unevaluatedProperties" in part
        for pattern in patterns:
            try:
                _matches(pattern, "")
            except ExpressionError as error:
                yield _below(place, "pattern"), f"{pattern[:100]!r} is no pattern that RE2 knows: {error.detail}"
    if patterned and unevaluated:
        yield path, "patternProperties and unevaluatedProperties are not used together here"


def _parts(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for key, inner in schema.items():
            yield from _parts(inner, _below(path, key))
    elif isinstance(schema, list):
        for index, inner in enumerate(schema):
            yield from _parts(inner, _below(path, str(index)))


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= DEEPEST_SCHEMA + 1:
        level = [
            inner
            for part in level
            if isinstance(part, dict | list)
            for inner in (part.values() if isinstance(part, dict) else part)
        ]
        depth += 1
    return depth


def _path(error: Any) -> str:
    return ".".join(str(part) for part in error.absolute_path)[:_SHOWN]


def _cut(message: str) -> str:
    return message if len(message) <= _SHOWN else message[: _SHOWN - 1] + "…"


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    return json.loads(text)


def _frozen(schema: Any) -> Any:
    """The same object for the same schema, so that what jsonschema keeps about it is found again."""
    return _parsed(json.dumps(schema, sort_keys=True))
