"""Map, filter, reduce and split do with lists what their names say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import shared.settings
from shared.workflow.node import REGISTRY, StepError
from tests.workflow.context import call, output, step

numbers = st.lists(st.integers(-(2**31), 2**31), max_size=30)


@given(numbers)
def test_map_is_pythons_map(values):
    config = {"input_array": "trigger", "map_expression": "item * 2 + index"}
    assert output("map", config, step(values)) == [value * 2 + i for i, value in enumerate(values)]


@given(numbers)
def test_filter_is_pythons_filter(values):
    config = {"input_array": "trigger", "filter_condition": "item % 2 == 0"}
    assert output("filter", config, step(values)) == [value for value in values if value % 2 == 0]


@given(numbers)
def test_reduce_is_pythons_reduce(values):
    config = {"input_array": "trigger", "reduce_function": "accumulator + item", "initial_value": 10}
    assert output("reduce", config, step(values)) == 10 + sum(values)


@given(numbers, st.integers(1, 40))
def test_split_by_size_loses_nothing_and_keeps_the_order(values, size):
    parts = output("split", {"items": "trigger", "size": size}, step(values))
    assert [value for part in parts for value in part] == values
    assert all(len(part) == size for part in parts[:-1])
    assert all(parts)


def test_split_by_key_groups_in_order_of_appearance():
    rows = [{"k": "b", "n": 1}, {"k": "a", "n": 2}, {"k": "b", "n": 3}]
    parts = output("split", {"items": "trigger", "split_strategy": "by_key", "key": "item.k"}, step(rows))
    assert parts == {"b": [rows[0], rows[2]], "a": [rows[1]]}
    assert list(parts) == ["b", "a"]
    assert output("split", {"items": [1, 2, 3], "key": "item > 2"}) == {"false": [1, 2], "true": [3]}


def test_split_by_condition_has_both_sides_even_when_empty():
    assert output("split", {"items": [1, 2], "condition": "item > 1"}) == {"true": [2], "false": [1]}
    assert output("split", {"items": [], "condition": "item > 1"}) == {"true": [], "false": []}


class TestItems:
    """Where a node's list comes from."""

    @pytest.mark.parametrize("items", ["trigger.rows", "{{ trigger.rows }}", ["{{ trigger.rows[0] }}", 2], [1, 2]])
    def test_it_is_an_expression_a_template_or_written_out(self, items):
        assert output("map", {"items": items, "expression": "item"}, step({"rows": [1, 2]})) == [1, 2]

    def test_else_it_is_the_one_list_that_leads_in(self):
        context = step(inputs={"other": {"a": 1}, "rows": [3, 4]})
        assert output("map", {"expression": "item"}, context) == [3, 4]

    @pytest.mark.parametrize("inputs", [{}, {"a": 1}, {"a": [1], "b": [2]}])
    def test_none_or_two_leading_in_fail_the_step(self, inputs):
        with pytest.raises(StepError, match="where one is needed") as caught:
            call("map", {"expression": "item"}, step(inputs=inputs))
        assert caught.value.kind == "input"

    @pytest.mark.parametrize("value", [None, 1, "text", {"a": 1}, True])
    def test_anything_but_a_list_fails_the_step(self, value):
        with pytest.raises(StepError, match="not a list"):
            call("filter", {"items": "trigger", "condition": "true"}, step(value))

    def test_their_number_is_bounded_by_a_setting(self, monkeypatch):
        monkeypatch.setenv("MILLRACE_LIST_ITEMS", "3")
        shared.settings.forget()
        assert output("map", {"items": [1, 2, 3], "expression": "item"}) == [1, 2, 3]
        with pytest.raises(StepError, match="at most 3") as caught:
            call("map", {"items": [1, 2, 3, 4], "expression": "item"})
        assert caught.value.kind == "too_large"


def test_items_see_the_rest_of_the_run():
    context = step({"rows": [1, 2]}, nodes={"rate": {"value": 3}}, variables={"plus": 1})
    config = {"items": "trigger.rows", "expression": "item * nodes.rate.output.value + variables.plus"}
    assert output("map", config, context) == [4, 7]


def test_the_initial_value_is_a_template_and_the_result_for_nothing():
    config = {"items": "trigger.rows", "expression": "accumulator + [item]", "initial": ["{{ trigger.first }}"]}
    assert output("reduce", config, step({"rows": [], "first": 0})) == [0]
    assert output("reduce", config, step({"rows": [1, 2], "first": 0})) == [0, 1, 2]


def test_an_item_that_cannot_be_computed_fails_the_step():
    with pytest.raises(StepError, match="expression: ") as caught:
        call("map", {"items": [{"a": 1}, {}], "expression": "item.a"})
    assert caught.value.kind == "expression"


@pytest.mark.parametrize(
    ("node_type", "config"),
    [
        ("map", {"expression": "item"}),
        ("filter", {"condition": "true"}),
        ("reduce", {"expression": "item"}),
        ("split", {"key": "item"}),
    ],
)
def test_a_step_whose_time_is_over_stops(node_type, config):
    with pytest.raises(StepError, match="0 of 3 items") as caught:
        call(node_type, {"items": [1, 2, 3], **config}, step(seconds=0))
    assert caught.value.kind == "timeout"


def test_a_filter_asks_for_a_truth():
    with pytest.raises(StepError, match="not true or false"):
        call("filter", {"items": [0, 1], "condition": "item"})


def test_a_key_names_a_part():
    with pytest.raises(StepError, match="key gave a list"):
        call("split", {"items": [1], "key": "[item]"})


@pytest.mark.parametrize(
    ("node_type", "config"),
    [
        ("map", {"items": [1]}),
        ("map", {"items": 3, "expression": "item"}),
        ("map", {"items": [1], "expression": ""}),
        ("filter", {"items": [1]}),
        ("reduce", {"items": [1]}),
        ("split", {"items": [1]}),
        ("split", {"items": [1], "size": 0}),
        ("split", {"items": [1], "size": 2, "key": "item"}),
        ("split", {"items": [1], "size": 2, "strategy": "by_key"}),
        ("split", {"items": [1], "strategy": "by_moon"}),
    ],
)
def test_a_config_that_says_too_little_or_too_much_is_refused(node_type, config):
    with pytest.raises(ValidationError):
        REGISTRY[node_type].config.model_validate(config)
