"""Variables keep values for later steps."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.workflow.node import REGISTRY, Output, StepError
from tests.workflow.context import call, output, step


@pytest.mark.parametrize("names", [("name", "value"), ("variable_name", "variable_value")])
def test_a_value_is_set_with_its_type(names):
    name, value = names
    outcome = call(
        "set_variable",
        {name: "total", value: "{{ variables.total + trigger.amount }}"},
        step({"amount": 5}, variables={"total": 2}),
    )
    assert outcome == Output({"total": 7}, variables={"total": 7})


def test_several_are_set_at_once():
    config = {"variables": {"a": "{{ trigger.x }}", "b": {"deep": ["{{ trigger.x + 1 }}"]}, "c": None}}
    outcome = call("set_variable", config, step({"x": 1}))
    assert isinstance(outcome, Output)
    assert outcome.variables == {"a": 1, "b": {"deep": [2]}, "c": None}


def test_text_around_an_expression_makes_text():
    assert output("set_variable", {"name": "a", "value": "n={{ trigger.n }}"}, step({"n": 3})) == {"a": "n=3"}


def test_a_variable_is_read():
    assert output("get_variable", {"variable_name": "a"}, step(variables={"a": [1]})) == [1]


def test_the_default_stands_in_for_one_never_set_but_not_for_null():
    config = {"name": "a", "default_value": "{{ trigger.d }}"}
    assert output("get_variable", config, step({"d": 4})) == 4
    assert output("get_variable", config, step({"d": 4}, variables={"a": None})) is None
    assert output("get_variable", {"name": "a"}) is None


def test_a_value_that_cannot_be_computed_fails_the_step():
    with pytest.raises(StepError, match="value: ") as caught:
        call("set_variable", {"name": "a", "value": "{{ trigger.nobody }}"}, step({}))
    assert caught.value.kind == "expression"


@pytest.mark.parametrize(
    ("node_type", "config"),
    [
        ("set_variable", {}),
        ("set_variable", {"name": "a", "variables": {"b": 1}}),
        ("set_variable", {"name": "not a name", "value": 1}),
        ("set_variable", {"variables": {"1a": 1}}),
        ("set_variable", {"variables": {}}),
        ("set_variable", {"variables": [1]}),
        ("set_variable", {"variable_name": "a", "variable_value": 1, "variable_scope": "loop"}),
        ("get_variable", {}),
        ("get_variable", {"name": ""}),
        ("get_variable", {"name": "a", "scope": "node"}),
    ],
)
def test_what_could_not_be_kept_is_refused(node_type, config):
    with pytest.raises(ValidationError):
        REGISTRY[node_type].config.model_validate(config)


@pytest.mark.parametrize("node_type", ["set_variable", "get_variable"])
def test_the_scope_that_every_variable_has_may_be_said(node_type):
    config = {"variable_name": "a", "variable_scope": "workflow"}
    assert REGISTRY[node_type].config.model_validate(config).scope == "workflow"
