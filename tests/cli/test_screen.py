"""What is shown is short, whole where it must be, and never breaks on what a run may hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.cli.screen import brief, took
from infra.cli.timeline import failure, step_line

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.integers(min_value=2, max_value=200))
def test_a_value_in_brief_is_one_line_within_its_bound(value: object, limit: int) -> None:
    said = brief(value, limit)
    assert len(said) <= limit
    assert "\n" not in said


def test_a_short_value_is_shown_whole() -> None:
    assert brief({"a": [1, "two"], "b": None}) == '{"a": [1, "two"], "b": null}'
    assert brief("line one\nline two") == "line one line two"


def test_durations_are_said_as_people_do() -> None:
    said = [took(value) for value in (None, 0.04, 9.94, 12.4, 999, 1000, 61_000)]
    assert said == ["", "0.0 ms", "9.9 ms", "12 ms", "999 ms", "1.0 s", "1 min 1 s"]


@given(
    st.fixed_dictionaries(
        {
            "node_id": st.text(min_size=1, max_size=60),
            "node_type": st.text(min_size=1, max_size=40),
            "status": st.sampled_from(["completed", "failed", "in_doubt", "new word"]),
            "iteration": st.integers(0, 9),
            "attempt": st.integers(1, 9),
            "branch": st.none() | st.text(max_size=200),
            "duration_ms": st.none() | st.floats(0, 1e9),
            "output": JSON,
            "error": st.none() | st.fixed_dictionaries({"message": st.text()}),
        }
    ),
    st.integers(72, 200),
)
def test_a_step_is_one_line_that_fits(step: dict[str, object], width: int) -> None:
    assert len(step_line(step, width).plain) <= width


def test_a_failure_names_the_node_and_the_kind() -> None:
    error = {"kind": "expression", "message": "no such key: name", "node": "greet"}
    assert failure({"error": error}) == "greet: no such key: name (expression)"
    assert failure({"error": None, "error_message": "timed out"}) == "timed out"
    assert failure({"error": None}) == ""
