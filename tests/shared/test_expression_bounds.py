"""The bound of an expression's work is one: what an expression makes is never larger than was foreseen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import expressions
from shared.expressions import evaluation, values
from shared.expressions.bounds import DEEPEST, FUNCTIONS, SCALAR, Extent, Meter, TooMuch, appended, survey
from shared.expressions.program import program_of
from shared.expressions.tree import Call, Constant, Fold, ListOf, Name, Unsupported

CONTEXT: dict[str, Any] = {
    "trigger": {
        "s": "a-b-c-d-é",
        "t": "",
        "l": ["x", "", "long enough to matter", "é"],
        "e": [],
        "n": [[1, 2], [], [[3, 4, 5]], "s"],
        "i": 3,
    }
}


ELEMENTS = st.sampled_from(["x", "[x, x]", "{'k': x, 'l': [x]}", "dyn(x)", "trigger.s", "trigger.n"])


def lists(texts: st.SearchStrategy[str], inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(texts | inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        st.tuples(inner, inner).map(lambda each: f"({each[0]} + {each[1]})"),
        st.tuples(inner, ELEMENTS).map(lambda each: f"{each[0]}.map(x, {each[1]})"),
        st.tuples(inner, inner).map(lambda each: f"{each[0]}.map(x, {each[1]}.map(y, [x, y]))"),
        st.tuples(inner, inner).map(lambda each: f"{each[0]}.filter(x, x in {each[1]})"),
        st.tuples(inner, inner).map(lambda each: f"(size({each[0]}) > 2 ? {each[0]} : {each[1]})"),
        st.tuples(texts, texts).map(lambda each: f"{each[0]}.split({each[1]})"),
        inner.map(lambda each: f"dyn({each}).map(x, string(size([x])))"),
    )


def texts(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda each: f"({each[0]} + {each[1]})"),
        st.tuples(inner, inner, inner).map(lambda each: f"{each[0]}.replace({each[1]}, {each[2]})"),
        st.tuples(inner, st.sampled_from(["upperAscii", "trim", "reverse", "lowerAscii"])).map(
            lambda each: f"{each[0]}.{each[1]}()"
        ),
        inner.map(lambda each: f"strings.quote({each})"),
        inner.map(lambda each: f"string(bytes({each}))"),
        st.tuples(inner, inner).map(lambda each: f"{each[0]}.split({each[1]}).join({each[1]})"),
        st.tuples(inner, inner).map(lambda each: f"['', {each[0]}, {each[0]}].join({each[1]})"),
    )


TEXTS = st.recursive(st.sampled_from(["trigger.s", "trigger.t", "'a'", "''", "'\\n\"'"]), texts, max_leaves=6)
LISTS = st.recursive(
    st.sampled_from(["trigger.l", "trigger.e", "trigger.n", "[]"]), lambda inner: lists(TEXTS, inner), max_leaves=6
)


def measured(source: str) -> tuple[float, float] | None:
    """How large the value may be, and how large it is; None when the expression has none."""
    try:
        program = program_of(source, tuple(CONTEXT))
    except expressions.ExpressionError:
        return None
    data, extents = {}, {}
    for slot in program.slots:
        data[slot.name], extents[slot.name] = evaluation._bind(slot, CONTEXT)
    foreseen = Meter(float("inf"))._extent(program.tree, extents)
    try:
        value = evaluation._run(program, data)
    except expressions.ExpressionError:
        return None
    if isinstance(value, list):
        assert len(value) <= foreseen.length
    return foreseen.size, values.imported(value)[1].size


@settings(max_examples=400)
@given(LISTS | TEXTS)
def test_nothing_is_larger_than_was_foreseen(source: str) -> None:
    if sizes := measured(source):
        foreseen, actual = sizes
        assert actual <= foreseen


@pytest.mark.parametrize(
    "source",
    [
        "trigger.l.map(x, x + x).map(x, x + x)",
        "trigger.n.map(x, [x, trigger.n])",
        "trigger.s.replace('', trigger.s)",
        "trigger.l.map(x, trigger.l.map(y, trigger.l.map(z, x + y + z)))",
        "trigger.s.split('').map(c, c + trigger.s)",
    ],
)
def test_the_bound_is_not_far_off(source: str) -> None:
    sizes = measured(source)
    assert sizes is not None
    assert sizes[1] <= sizes[0] <= 40 * sizes[1]


def test_work_beyond_the_limit_is_refused() -> None:
    tree = Call("_+_", None, (Name("a"), Name("a")))
    Meter(10_000).add(tree, {"a": Extent(1_000, 0)})
    with pytest.raises(TooMuch):
        Meter(10_000).add(tree, {"a": Extent(5_000, 0)})
    twice = Meter(10_000)
    twice.add(tree, {"a": Extent(1_000, 0)})
    with pytest.raises(TooMuch):
        twice.add(tree, {"a": Extent(1_500, 0)})


def loop(inner: Any) -> Fold:
    return Fold("x", Name("a"), "@result", Constant(b"", None), Name("@result"), inner, Name("@result"))


def test_loops_inside_each_other_are_counted() -> None:
    tree: Any = Name("x")
    for _ in range(DEEPEST):
        tree = loop(tree)
    survey(tree)
    with pytest.raises(Unsupported, match="loops"):
        survey(loop(tree))
    spent = []
    for elements in (10, 20):
        meter = Meter(float("inf"))
        meter.add(loop(loop(Name("x"))), {"a": Extent(SCALAR * (elements + 1), elements)})
        spent.append(meter.spent)
    assert spent[1] > 3 * spent[0]


def test_a_function_or_loop_that_is_not_known_is_not_offered() -> None:
    with pytest.raises(Unsupported, match="frobnicate"):
        survey(Call("frobnicate", None, (Name("a"),)))
    strange = Fold(
        "x", Name("a"), "@result", ListOf(()), Name("c"), Call("_+_", None, (Name("a"), Name("a"))), Name("a")
    )
    with pytest.raises(Unsupported, match="loop"):
        appended(strange)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_every_function_offered_has_a_bound(function: str) -> None:
    operands = tuple(Name("a") for _ in range(3))
    Meter(float("inf")).add(Call(function, None, operands), {"a": Extent(100, 3)})
