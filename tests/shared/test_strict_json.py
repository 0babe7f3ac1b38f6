"""Whatever passes ``strict_json`` is JSON that Postgres keeps as it is; all else is refused with the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import strict_json
from shared.errors import BadRequest, Invalid, MillraceError
from tests.cluster import TestDatabase

#: Text without what `jsonb` refuses: U+0000 and halves of surrogate pairs.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_json_comes_through_unchanged(value: Any) -> None:
    assert strict_json.loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_a_value_or_a_refusal(data: bytes) -> None:
    try:
        value = strict_json.loads(data)
    except (BadRequest, Invalid):
        return
    json.dumps(value, allow_nan=False).encode()


@given(
    st.recursive(
        st.none() | st.floats() | st.text(st.characters(), max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_what_passes_has_nothing_that_jsonb_refuses(value: Any) -> None:
    try:
        strict_json.check(value)
    except Invalid:
        return
    kept = json.dumps(value, ensure_ascii=False, allow_nan=False)  # raises for NaN and infinity
    assert "\\u0000" not in kept.replace("\\\\", "")
    kept.encode()  # raises for halves of surrogate pairs


def test_postgres_agrees_about_what_it_can_hold(db: TestDatabase) -> None:
    for value in ("\x00", "\ud800", "\udfff x", float("inf"), {"a\x00": 1}, [1, {"x": "\x00"}]):
        with pytest.raises(Invalid):
            strict_json.check(value)
    fine: dict[str, Any] = {"text": "ünïcode 🌾 \x01", "numbers": [1e308, -0.5, 10**300], "none": None}
    strict_json.check(fine)
    [row] = db.api.call("select %(value)s as value", {"value": fine})
    assert row["value"]["text"] == fine["text"]


def test_every_fault_is_named_by_its_path() -> None:
    with pytest.raises(Invalid) as caught:
        strict_json.check({"a": [1, "x\x00"], "b": {"c": float("nan"), "d\x00": 1}})
    assert [error["path"] for error in caught.value.errors] == ["a.1", "b.c", "b"]


@pytest.mark.parametrize("data", [b"[" * 1000, b"[" * 200_000, b'{"a":' * 65 + b"1" + b"}" * 65])
def test_depth_is_bounded(data: bytes) -> None:
    with pytest.raises(MillraceError):
        strict_json.loads(data)
    assert strict_json.loads(b"[" * 64 + b"]" * 64)
