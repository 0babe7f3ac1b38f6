"""Schemas that tenants write are applied within bounds, and say what jsonschema itself would."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from functions.code_exec.schemas import MOST_MISTAKES, check, mistakes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
SCHEMA = st.recursive(
    st.booleans()
    | st.builds(lambda kind: {"type": kind}, st.sampled_from(["object", "array", "string", "integer", "null"]))
    | st.builds(lambda value: {"enum": [value, 1]}, JSON)
    | st.builds(lambda pattern: {"pattern": pattern}, st.sampled_from(["^a", "b$", "a+b"]))
    | st.just({"uniqueItems": True}),
    lambda inner: (
        st.builds(lambda one: {"properties": {"a": one}, "additionalProperties": False}, inner)
        | st.builds(lambda one, other: {"patternProperties": {"^a": one}, "additionalProperties": other}, inner, inner)
        | st.builds(lambda one: {"items": one}, inner)
        | st.builds(lambda one, other: {"anyOf": [one, other]}, inner, inner)
        | st.builds(lambda one: {"not": one}, inner)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(SCHEMA, JSON)
def test_what_is_refused_is_what_jsonschema_refuses(schema: Any, value: Any) -> None:
    assert check(schema, "s") == []
    assert bool(mistakes(schema, value)) is not Draft202012Validator(schema).is_valid(value)


def doubling(levels: int) -> dict[str, Any]:
    """A small schema that asks the same 2 ** levels times."""
    parts: dict[str, Any] = {"0": {"type": "null"}}
    for level in range(1, levels):
        parts[str(level)] = {"allOf": [{"$ref": f"#/$defs/{level - 1}"}] * 2}
    return {"$defs": parts, "$ref": f"#/$defs/{levels - 1}"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 50_000 + "b"),
        ({"additionalProperties": False, "patternProperties": {"^(a+)+$": True}}, {"a" * 50_000 + "b": 1}),
        ({"uniqueItems": True}, [{"a": n} for n in range(3000)]),
        (doubling(40), None),
        ({"items": {"enum": list(range(200))}}, ["x"] * 5000),
        ({"multipleOf": 1e-320}, 1e308),
    ],
)
def test_nothing_takes_long(schema: dict[str, Any], value: Any) -> None:
    began = time.monotonic()
    assert mistakes(schema, value)
    assert time.monotonic() - began < 5


def test_the_first_mistakes_are_told_by_their_paths_and_short() -> None:
    found = mistakes({"items": {"type": "integer"}}, ["x" * 5000] * 100)
    assert len(found) == MOST_MISTAKES
    assert found[3]["path"] == "3"
    assert all(len(one["message"]) <= 300 for one in found)


def test_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(40):
        schema = {"items": schema}
    assert "levels deep" in check(schema, "s")[0]["message"]


def test_references_within_the_schema_are_followed() -> None:
    schema = {"$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}, "type": "array"}}, "$ref": "#/$defs/tree"}
    assert check(schema, "s") == []
    assert mistakes(schema, [[], [[]]]) == []
    assert mistakes(schema, [[], [1]])[0]["path"] == "1.0"
