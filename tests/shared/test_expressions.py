"""Expressions give JSON, say what is wrong, and cannot be made to take long or much."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared import expressions, settings
from shared.expressions import (
    DEEPEST_VALUE,
    ExpressionError,
    check,
    evaluate,
    parts,
    render,
    sources,
)
from shared.expressions.program import Programs

CONTEXT: dict[str, Any] = {
    "trigger": {
        "ref": "refs/heads/main",
        "count": 3,
        "price": 2.5,
        "whole": 4.0,
        "none": None,
        "yes": True,
        "odd key": "odd",
        "commits": [{"id": "a1", "added": ["x"]}, {"id": "b2", "added": []}],
        "numbers": [3, 1, 2],
    },
    "nodes": {"http": {"output": {"status": 200, "body": {"ok": True}}}},
    "variables": {"greeting": "Grüß dich"},
    "execution": {"id": "e-1"},
}


def fails(source: str, context: dict[str, Any] | None = None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        evaluate(source, CONTEXT if context is None else context)
    return caught.value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("trigger.ref", "refs/heads/main"),
        ("trigger.ref == 'refs/heads/main' && trigger.count > 2", True),
        ("trigger['odd key']", "odd"),
        ("trigger.commits[1].id", "b2"),
        ("trigger.commits.map(c, c.id)", ["a1", "b2"]),
        ("trigger.commits.map(c, c.added != [], c.id)", ["a1"]),
        ("trigger.commits.filter(c, size(c.added) > 0)[0].id", "a1"),
        ("trigger.commits.exists(c, c.id == 'b2')", True),
        ("trigger.commits.exists_one(c, c.id == 'b2')", True),
        ("trigger.commits.all(c, has(c.id))", True),
        ("trigger.commits.map(c, c.added.map(f, c.id + '/' + f))", [["a1/x"], []]),
        ("size(trigger.commits)", 2),
        ("trigger.ref.size()", 15),
        ("size(trigger)", 9),
        ("has(trigger.none)", True),
        ("has(trigger.gone)", False),
        ("has(nodes.http.output.body.ok) && nodes.http.output.body.ok", True),
        ("trigger.none == null", True),
        ("nodes['http'].output", {"status": 200, "body": {"ok": True}}),
        ("nodes.http.output.status in [200, 201]", True),
        ("'count' in trigger", True),
        ("trigger.map(k, k).size()", 9),
        ("variables.greeting.startsWith('Grüß')", True),
        ("size(variables.greeting)", 9),
        ("trigger.ref.split('/')", ["refs", "heads", "main"]),
        ("trigger.ref.replace('refs/heads/', '').upperAscii()", "MAIN"),
        ("trigger.commits.map(c, c.id).join(',')", "a1,b2"),
        ("trigger.ref.matches('^refs/(heads|tags)/[a-z]{1,10}$')", True),
        ("math.greatest(trigger.numbers)", 3),
        ("math.round(trigger.price)", 3.0),
        ("trigger.yes ? 'a' : 'b'", "a"),
        ("false && trigger.gone.deeper", False),
        ("trigger.gone == 1 || true", True),
        ("{'a': [1, 2.5, null], 'b': {'c': true}}", {"a": [1, 2.5, None], "b": {"c": True}}),
        ("[{1: 'a', -2: 'b'}, {true: 'c'}]", [{"1": "a", "-2": "b"}, {"true": "c"}]),
        ("timestamp('2026-01-02T03:04:05Z') + duration('36h')", "2026-01-03T15:04:05Z"),
        ("timestamp('2026-01-02T03:04:05.5Z')", "2026-01-02T03:04:05.500000Z"),
        ("timestamp('2026-07-01T00:00:00Z').getHours('Europe/Berlin')", 2),
        ("duration('90m')", "5400s"),
        ("duration('-1.5s')", "-1.5s"),
        ("b'abc'", "YWJj"),
        ("execution.id", "e-1"),
    ],
)
def test_an_expression_has_its_value(source: str, value: Any) -> None:
    found = evaluate(source, CONTEXT)
    assert found == value
    assert type(found) is type(value)
    json.dumps(found)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("trigger.whole + 1", 5),
        ("type(trigger.whole) == int", True),
        ("type(trigger.price) == double", True),
        ("trigger.price * trigger.count", 7.5),
        ("trigger.count * trigger.price", 7.5),
        ("trigger.price + 1", 3.5),
        ("1 - trigger.price", -1.5),
        ("5 / trigger.price", 2.0),
        ("1.5 + 1", 2.5),
        ("trigger.price > 2", True),
        ("trigger.whole == 4.0", True),
        ("trigger.whole == 4", True),
        ("7 / 2", 3),
        ("7 % 4", 3),
        ("double(7) / 2.0", 3.5),
        ("trigger.numbers[0]", 3),
    ],
)
def test_a_whole_number_is_an_int_and_the_two_kinds_mix(source: str, value: Any) -> None:
    found = evaluate(source, CONTEXT)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("written", ["3", "3.0", "3e0", "30e-1"])
def test_how_a_number_is_written_does_not_matter(written: str) -> None:
    trigger = json.loads(f'{{"n": {written}, "list": [{written}, [{written}]], "map": {{"n": {written}}}}}')
    assert evaluate("[type(trigger.n) == int, trigger.n / 2 == 1]", {"trigger": trigger}) == [True, True]
    assert evaluate("trigger.list[0] / 2 + trigger.list.map(x, x)[1][0]", {"trigger": trigger}) == 4
    assert evaluate("trigger.map.map(k, trigger.map[k] / 2)", {"trigger": trigger}) == [1]
    found = evaluate("trigger", {"trigger": trigger})
    assert all(type(each) is int for each in (found["n"], found["list"][0], found["map"]["n"]))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**100, 1e300, 0.5])
def test_a_number_beyond_64_bits_is_a_double(number: float) -> None:
    assert evaluate(
        "type(trigger.n) == double && trigger.n == trigger.list[0]", {"trigger": {"n": number, "list": [number]}}
    )
    assert evaluate("type(trigger.n) == int", {"trigger": {"n": 2**63 - 1}})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_json_number_goes_neither_in_nor_out(number: float) -> None:
    assert "NaN" in fails("trigger.n == 1", {"trigger": {"n": number}}).detail
    assert "NaN" in fails("trigger.n[0] == 1", {"trigger": {"n": [number]}}).detail
    assert "NaN" in fails("trigger.n", {"trigger": {"n": {"a": [number]}}}).detail
    for source in ("1.0 / 0.0", "[-1.0 / 0.0]", "double('nan')", "1 / 0.0", "0.0 / 0"):
        assert "NaN or infinite" in fails(source).detail


def test_division_by_zero_follows_the_kind_of_number() -> None:
    assert "divide by zero" in fails("1 / 0").detail
    assert evaluate("1 / 0.0 > 10.0 && -1 / 0.0 < 10.0", CONTEXT) is True


def test_any_name_of_the_context_is_a_name() -> None:
    assert evaluate("a + b", {"a": 1, "b": 2}) == 3
    assert evaluate("item.x * index", {"item": {"x": 2}, "index": 5}) == 10
    assert evaluate("1", {"in": 1, "not-a-name": 2, "": 3, "true": 4}) == 1


def test_a_loop_variable_hides_the_name_of_the_same_spelling() -> None:
    assert evaluate("trigger.commits.map(trigger, trigger.id)", CONTEXT) == ["a1", "b2"]
    assert evaluate("trigger.commits.map(nodes, nodes.id + string(size(trigger.commits)))", CONTEXT) == ["a12", "b22"]


def test_the_context_may_change_between_calls() -> None:
    context: dict[str, Any] = {"trigger": {"n": [1]}}
    assert evaluate("trigger.n.map(x, x + 1)", context) == [2]
    context["trigger"]["n"].append(5)
    assert evaluate("trigger.n.map(x, x + 1)", context) == [2, 6]
    assert evaluate("trigger.n", context) == [1, 5]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("trigger.gone", "There is no trigger.gone."),
        ("trigger.gone.deeper.still", "There is no trigger.gone.deeper.still."),
        ("trigger['odd key'].x", 'There is no trigger["odd key"].x.'),
        ("trigger.commits[7].id", "There is no trigger.commits[7].id."),
        ("trigger.ref.id", "There is no trigger.ref.id."),
        ("size(trigger.gone)", "There is no trigger.gone."),
        ("size(trigger.count)", "There is no trigger.count."),
        ("has(trigger.gone.deeper)", "There is no trigger.gone.deeper."),
        ("item + 1", "There is no item."),
        ("trigger.commits.map(c, c.gone)", 'Key not found in map : "gone".'),
        ("trigger.ref + 1", "+ does not take (string, int)."),
        ("trigger.count ? 1 : 2", "A condition is neither true nor false."),
        ("9223372036854775807 + 1", "integer overflow."),
        ("type(1)", "The result is a type, not a value."),
        ("[int]", "The result is a type, not a value."),
    ],
)
def test_a_failure_is_said_in_terms_of_the_expression(source: str, said: str) -> None:
    error = fails(source)
    assert error.detail == said
    assert error.status == 422


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 +", "at 1:4"),
        ("\n\n  1 +", "at 3:6"),
        ("tigger.x", "undeclared reference to 'tigger"),
        ("item.x", "undeclared reference to 'item"),
        ("trigger.x.frobnicate()", "undeclared reference to 'frobnicate'"),
        ("__import__('os')", "undeclared reference to '__import__'"),
        ("'a' + 1", "no matching overload"),
        ("'%s'.format([1])", "do not offer the function format"),
        ("google.protobuf.Struct{}", "do not offer protobuf messages"),
        ("", "is empty"),
        (" \n", "is empty"),
        ("1 \0", "u0000"),
        ("'\ud800'", "surrogate"),
        ("x" * 8193, "at most 8192 characters"),
    ],
)
def test_a_mistake_is_found_when_the_expression_is_saved(source: str, said: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check(source, expressions.NAMES)
    assert said in caught.value.detail
    assert len(caught.value.detail) < 500


def test_an_undeclared_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ExpressionError) as caught:
        check("payload.x == 1", ("trigger",))
    assert caught.value.remedy == "Known here: trigger."
    check("trigger.x == item + accumulator")
    with pytest.raises(ExpressionError):
        check("nodes.x", ("trigger",))


# -- hostile expressions ----------------------------------------------------------------------------------------------

#: What a tenant could have put into a run to make an expression expensive.
LARGE: dict[str, Any] = {
    "trigger": {
        "text": "y" * 100_000,
        "long": "z" * 1_000_000,
        "texts": ["w" * 1000] * 2000,
        "many": list(range(9000)),
        "some": list(range(1300)),
        "rows": [{"id": i, "name": "x" * 20} for i in range(5000)],
    }
}

HOSTILE = {
    "deep parentheses": "(" * 4000 + "1" + ")" * 4000,
    "deep lists": "[" * 4000 + "]" * 4000,
    "deep calls": "size(" * 1600 + "trigger" + ")" * 1600,
    "deep conditions": "true ? 1 : " * 700 + "1",
    "deep paths": "trigger" + ".a" * 4000,
    "deep loops": "trigger.map(x, " * 400 + "1" + ")" * 400,
    "a long sum": "+".join(["1"] * 4000),
    "a long row of comparisons": "1" + "<1" * 4000,
    "a long row of maps": "trigger.some" + ".map(x, x)" * 700,
    "seven loops": "trigger.some.all(x, " * 7 + "true" + ")" * 7,
    "loops multiplied": "trigger.some.all(x, trigger.some.all(y, trigger.some.all(z, true)))",
    "more than the iteration budget": "trigger.many.all(x, true) && trigger.many.all(x, true)",
    "text doubled": "[trigger.text]" + ".map(b, b + b)" * 20,
    "short text doubled often": "['ab']" + ".map(b, b + b)" * 27 + ".size()",
    "lists doubled": "[[1]]" + ".map(b, b + b)" * 27 + ".size()",
    "shared parts compared": "['a']" + ".map(b, [b, b])" * 26 + ".all(q, q == q)",
    "shared parts made": "['a']" + ".map(b, [b, b])" * 27,
    "shared parts in maps": "['a']" + ".map(b, {'x': b, 'y': b})" * 25,
    "text repeated in a list": "[" + ",".join(["trigger.text"] * 600) + "]",
    "text repeated in a loop": "trigger.many.map(i, trigger.text)",
    "text searched in a loop": "trigger.many.all(i, !trigger.text.contains('yyyyyyyyyyyyyyyyyyz'))",
    "text made in a loop": "trigger.many.all(i, size(trigger.text + string(i)) > 0)",
    "lists copied in a loop": "trigger.some.map(x, trigger.some).size()",
    "lists compared in a loop": "trigger.some.all(x, trigger.rows == trigger.rows)",
    "a list built at once": "size(trigger.many.map(x, x))",
    "rows joined": "trigger.rows.filter(x, trigger.rows.exists(y, x.id == y.id + 1000000))",
    "text replaced": "[trigger.text]" + ".map(b, b.replace('y', b))" * 5,
    "nothing replaced": "trigger.text.replace('', trigger.text)",
    "texts joined": "trigger.texts.join(trigger.text)",
    "text split": "trigger.long.split('')",
    "text split, joined and split": "trigger.long.split('').join('-').split('')",
    "patterns compiled in a loop": "trigger.many.all(i, 'x'.matches('(\\\\pL{500})|' + string(i)) || true)",
    "a large pattern in a loop": "trigger.many.all(i, 'x'.matches('(([a-z]{20}){20}){20}') || true)",
    "a result too large": "[trigger.long, trigger.long, trigger.long, trigger.long, trigger.long]",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_expression_is_refused_soon(source: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ExpressionError):
        evaluate(source, LARGE)
    assert time.perf_counter() - began < 10


MEASURE = """
import resource, sys, time
from shared.expressions import ExpressionError, evaluate
from tests.shared.test_expressions import HOSTILE, LARGE
evaluate("trigger.some.map(x, x).size()", {"trigger": {"some": [1]}})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, source in HOSTILE.items():
    try:
        evaluate(source, LARGE)
    except ExpressionError:
        pass
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > 160 * 1024:
        sys.exit(f"{name}: {grown // 1024} MB")
print(grown // 1024)
"""


def test_no_hostile_expression_takes_much_memory() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=root, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_what_is_just_allowed_stays_within_the_bounds() -> None:
    """The bounds are upper ones: what they let through takes no more than they say."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for source in (
        "size(trigger.some.map(x, x).map(x, x))",
        "trigger.long + trigger.long + trigger.long",
        "trigger.many.all(x, x * 1.5 >= 0.0 && x / 1.5 >= 0.0)",
        "trigger.long.lowerAscii().upperAscii().trim().reverse().size()",
        "trigger.rows.map(r, {'id': r.id, 'name': r.name + '!', 'all': [r.id, r.id]})",
    ):
        began = time.perf_counter()
        evaluate(source, LARGE)
        assert time.perf_counter() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 160 * 1024


def test_long_lists_go_through_a_map_or_filter_whole_and_in_order() -> None:
    assert evaluate("trigger.many.map(x, x * 2)", LARGE) == [x * 2 for x in range(9000)]
    assert evaluate("trigger.many.filter(x, x % 1000 == 1)", LARGE) == list(range(1, 9000, 1000))
    assert evaluate("trigger.rows.filter(r, r.id % 2 == 0).map(r, r.id)", LARGE) == list(range(0, 5000, 2))
    assert evaluate("trigger.rows.map(r, r.id > 4997, r)", LARGE) == LARGE["trigger"]["rows"][4998:]
    assert evaluate("trigger.some.map(x, x + size(trigger.some))", LARGE)[-1] == 1299 + 1300
    assert "loops" in fails("trigger.many.exists(x, x < 0) || trigger.many.exists(x, x < 0)", LARGE).detail


@given(st.lists(st.integers(-50, 50), max_size=300), st.integers(1, 7))
@example(list(range(64)), 2)
@example(list(range(65)), 2)
def test_portions_do_not_show(numbers: list[int], step: int) -> None:
    context = {"trigger": {"n": numbers, "step": step}}
    assert evaluate("trigger.n.filter(x, x % trigger.step == 0).map(x, [x, x + 1])", context) == [
        [x, x + 1] for x in numbers if math.fmod(x, step) == 0
    ]


def test_what_is_read_is_bounded() -> None:
    most = 16 * 1024 * 1024
    assert "reads more than" in fails("trigger.x != []", {"trigger": {"x": [0] * (most // 16)}}).detail
    assert "reads more than" in fails("trigger.x != ''", {"trigger": {"x": "x" * most}}).detail
    many = {f"k{i}": "x" * (most // 8) for i in range(9)}
    assert "reads more than" in fails(" || ".join(f"trigger.k{i} == '1'" for i in range(9)), {"trigger": many}).detail
    assert evaluate("trigger.k1.size() > 0 && has(trigger.k2)", {"trigger": many}) is True  # nothing of them is read


def test_the_result_is_bounded() -> None:
    most = 4 * 1024 * 1024
    assert "result has more than" in fails("trigger.x + '!'", {"trigger": {"x": "x" * most}}).detail
    context = {"trigger": {"x": ["x" * 1000] * 5000}}
    assert evaluate("trigger.x", context) == context["trigger"]["x"]  # nothing is made
    assert "result has more than" in fails("trigger.x.map(each, each + '!')", context).detail


@pytest.mark.parametrize(
    ("name", "least", "source"),
    [
        ("CHARACTERS", 256, "trigger.x != [" + " " * 256 + "]"),
        ("INPUT_BYTES", 64 * 1024, "trigger.x != [1]"),
        ("RESULT_BYTES", 64 * 1024, "[trigger.x]"),
        ("RESULT_BYTES", 64 * 1024, "trigger.x.map(each, each)"),
        ("WORK_BYTES", 1024 * 1024, "trigger.x.map(each, [each, each, each, each].map(e, [e, e, e, e]))"),
    ],
)
def test_each_bound_is_a_setting(monkeypatch: pytest.MonkeyPatch, name: str, least: int, source: str) -> None:
    context = {"trigger": {"x": [0] * 5000}}
    assert evaluate(source + " ", context) is not None  # another program, for those are kept
    monkeypatch.setenv(f"MILLRACE_EXPRESSION_{name}", str(least))
    settings.forget()
    fails(source, context)


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_how_deep_data_may_be() -> None:
    assert evaluate("trigger.x == trigger.y", {"trigger": {"x": nested(DEEPEST_VALUE - 1), "y": 1}}) is False
    for depth in (DEEPEST_VALUE, 5_000, 100_000):
        assert "nested more than" in fails("trigger.x == 1", {"trigger": {"x": nested(depth)}}).detail
    row = "[trigger.x]" + "".join(f".map(x, {'[' * 20}x{']' * 20})" for _ in range(2))
    assert "result is nested" in fails(row, {"trigger": {"x": nested(50)}}).detail


@pytest.mark.parametrize("value", [object(), {1: 2}, [{"a": {1}}], b"bytes", {"a": (1, object())}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    fails("trigger.x == 1", {"trigger": {"x": value}})


def test_strings_that_postgres_cannot_hold_are_refused() -> None:
    for source in ("'a\\u0000b'", "['a\\u0000b']", "{'a\\u0000b': 1}", "trigger.nul", "trigger.nul + 'x'"):
        assert "u0000" in fails(source, {"trigger": {"nul": "\0"}}).detail
    for trigger in ({"half": "\ud800"}, {"half": ["\ud800"]}, {"half": {"\ud800": 1}}):
        assert "surrogate" in fails("trigger.half != 1", {"trigger": trigger}).detail


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def postgres_holds(value: Any) -> bool:
    text = json.dumps(value)
    return "\\u0000" not in text


@given(JSON)
@example({"a": [1.0, -0.0, 1e17, 1e300, True]})
def test_json_goes_through_unchanged(value: Any) -> None:
    if not postgres_holds(value):
        return
    context = {"trigger": {"x": value}}
    assert evaluate("trigger.x", context) == value
    assert evaluate("[trigger.x][0]", context) == value
    assert evaluate("{'k': trigger.x}.k == trigger.x", context) is True


@given(
    st.text(st.sampled_from("trigeno.sd[]{}()'\"+-*/%<>=!&|?:,0129 \\rbmap\n{}"), max_size=40) | st.text(max_size=40)
)
def test_any_text_has_a_value_or_an_expression_error(source: str) -> None:
    with suppress(ExpressionError):
        json.dumps(evaluate(source, CONTEXT))
    with suppress(ExpressionError):
        check(source)
    with suppress(ExpressionError):
        json.dumps(render(source, CONTEXT))


def test_programs_are_kept_within_bounds() -> None:
    programs = Programs()
    first = programs.get("trigger.x + 1", ("trigger",))
    assert programs.get("trigger.x + 1", ("trigger",)) is first
    for number in range(3000):
        programs.get(f"trigger.x + {number}", ("trigger",))
    assert len(programs._kept) <= 2048
    for number in range(60):
        programs.get(f"'{'x' * 8000}' + '{number}'", ("trigger",))
    assert programs._length == sum(len(source) for source, _ in programs._kept) <= 256 * 1024
    assert programs.get("trigger.x + 1", ("trigger",)) is not first


def test_threads_share_the_programs() -> None:
    failures: list[Exception] = []

    def work(seed: int) -> None:
        try:
            for number in range(300):
                context = {"trigger": {"n": number, "s": [seed] * (number % 100)}}
                assert evaluate(f"trigger.n + {number % 7}", context) == number + number % 7
                assert evaluate("trigger.s.map(x, x + trigger.n)", context) == [seed + number] * (number % 100)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_evaluation_costs_the_same_however_large_the_context_is() -> None:
    def seconds(context: dict[str, Any]) -> float:
        best = 1.0
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(100):
                evaluate("nodes.http.output.status == 200 && has(trigger.ref)", context)
            best = min(best, time.perf_counter() - began)
        return best

    large = {**CONTEXT, "nodes": {**CONTEXT["nodes"], "other": LARGE["trigger"]}}
    assert seconds(large) < 10 * seconds(CONTEXT)  # handing it all over would take a thousand times as long


# -- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{ trigger.count }}", 3),
        ("{{trigger.numbers}}", [3, 1, 2]),
        ("{{ trigger.none }}", None),
        ("ref {{ trigger.ref }}!", "ref refs/heads/main!"),
        ("{{ trigger.count }} of {{ trigger.whole }}", "3 of 4"),
        (" {{ trigger.count }}", " 3"),
        ("[{{ trigger.none }}]", "[]"),
        ("{{ trigger.price }}/{{ trigger.yes }}", "2.5/true"),
        ("{{ 2.0 * 2.0 }} EUR", "4 EUR"),
        ("x{{ trigger.numbers }}", "x[3, 1, 2]"),
        ("x{{ {'a': {'b': 1}} }}", 'x{"a": {"b": 1}}'),
        ("{{ '}}' }}", "}}"),
        ("{{ '{{' }}", "{{"),
        ('{{ "}}\\"}}" }}', '}}"}}'),
        ("{{ r'\\}}' }}|", "\\}}|"),
        ("{{ '''a'}}''' }}", "a'}}"),
        ("{{ b'}}' }}", "fX0="),
        ("a } b }} c { d", "a } b }} c { d"),
        ("{{{'a': 1}}}", {"a": 1}),
    ],
)
def test_a_template_is_filled_in(template: str, value: Any) -> None:
    found = render(template, CONTEXT)
    assert found == value
    assert type(found) is type(value)


def test_a_template_is_filled_in_at_any_depth() -> None:
    value = {"a": [{"{{ key }}": "{{ trigger.count }}"}, 1, None], "b": "{{ execution.id }}"}
    assert render(value, CONTEXT) == {"a": [{"{{ key }}": 3}, 1, None], "b": "e-1"}
    assert sources(value) == [("a.0.{{ key }}", "trigger.count"), ("b", "execution.id")]


@pytest.mark.parametrize("template", ["{{", "a {{ b", "{{ '}}", "{{ { }}", "{{ a }", "{{ '''a' }}"])
def test_a_template_that_does_not_end_is_refused(template: str) -> None:
    with pytest.raises(ExpressionError, match="has no"):
        render(template, CONTEXT)
    with pytest.raises(ExpressionError, match="has no"):
        sources({"x": template})


def test_an_empty_expression_in_a_template_is_refused() -> None:
    with pytest.raises(ExpressionError, match="empty"):
        render("{{ }}", CONTEXT)


@given(st.text())
def test_the_parts_of_a_template_make_it_up(template: str) -> None:
    with suppress(ExpressionError):
        rebuilt = "".join(f"{{{{{text}}}}}" if is_source else text for is_source, text in parts(template))
        assert [each for each in rebuilt if not each.isspace()] == [each for each in template if not each.isspace()]
