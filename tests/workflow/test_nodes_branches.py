"""Conditions and switches choose exactly one way, or say why they cannot."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.workflow.node import REGISTRY, Output, StepError
from tests.workflow.context import call, step


def branch(node_type: str, config: dict, trigger: object = None) -> str | None:
    outcome = call(node_type, config, step(trigger))
    assert isinstance(outcome, Output)
    return outcome.branch


@pytest.mark.parametrize("node_type", ["condition", "if"])
@pytest.mark.parametrize("key", ["expression", "condition", "condition_expression"])
@pytest.mark.parametrize(("amount", "expected"), [(5, "false"), (101, "true")])
def test_a_condition_takes_its_branch_under_every_name_of_its_expression(node_type, key, amount, expected):
    assert branch(node_type, {key: "trigger.amount > 100"}, {"amount": amount}) == expected


def test_its_output_is_what_the_old_system_gave():
    outcome = call("condition", {"condition": "trigger.ok"}, step({"ok": True}))
    assert outcome == Output({"condition_result": True, "branch": "true"}, branch="true")


def test_it_may_be_written_as_a_template_or_a_truth_value():
    assert branch("if", {"condition": "{{ trigger.n == 1 }}"}, {"n": 1}) == "true"
    assert branch("if", {"condition": False}) == "false"


@pytest.mark.parametrize("source", ["1", "'true'", "null", "[1]", "{'a': 1}", "trigger.text"])
def test_only_true_and_false_are_taken_for_a_truth(source):
    with pytest.raises(StepError, match="not true or false") as caught:
        call("condition", {"condition": source}, step({"text": "yes"}))
    assert caught.value.kind == "expression"
    assert not caught.value.retryable


def test_a_missing_key_fails_the_step_by_name_of_the_field():
    with pytest.raises(StepError, match="expression: ") as caught:
        call("condition", {"condition": "trigger.nobody == 1"}, step({}))
    assert caught.value.kind == "expression"


CASES = [
    {"value": "red", "branch": "stop"},
    {"value": 2},
    {"value": True, "branch": "yes"},
    {"value": None, "branch": "nothing"},
    {"value": [1, 2], "branch": "pair"},
    {"when": "trigger.value > 1000", "label": "large"},
]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("red", "stop"),
        (2, "2"),
        (True, "yes"),
        (None, "nothing"),
        ([1, 2], "pair"),
        (5000, "large"),
        (3, "default"),
        (1, "default"),
    ],
)
def test_a_switch_takes_the_first_case_that_matches(value, expected):
    assert branch("switch", {"switch_expression": "trigger.value", "cases": CASES[:5]}, {"value": value}) == (
        expected if value != 5000 else "default"
    )
    if isinstance(value, int) and not isinstance(value, bool):
        assert branch("switch", {"expression": "trigger.value", "cases": CASES}, {"value": value}) == expected


def test_one_is_not_true_and_two_is_not_its_text_but_text_matches_what_it_spells():
    assert branch("switch", {"expression": "1", "cases": [True, {"value": 1, "branch": "one"}]}) == "one"
    assert branch("switch", {"expression": "true", "cases": [{"value": 1, "branch": "one"}, True]}) == "true"
    assert branch("switch", {"expression": "2", "cases": ["2"]}) == "2"
    assert branch("switch", {"expression": "true", "cases": ["true"]}) == "true"
    assert branch("switch", {"expression": "'2'", "cases": [2]}) == "default"


def test_cases_may_be_written_shortly():
    assert branch("switch", {"expression": "trigger", "cases": ["a", "b"]}, "b") == "b"
    assert branch("switch", {"expression": "trigger", "cases": {"a": "first"}}, "a") == "first"


def test_conditions_of_their_own_need_no_value():
    config = {"cases": [{"when": "trigger.n < 10", "branch": "low"}, {"when": "trigger.n < 100", "branch": "mid"}]}
    assert branch("switch", config, {"n": 5}) == "low"
    assert branch("switch", config, {"n": 50}) == "mid"
    assert branch("switch", {**config, "default": "high"}, {"n": 500}) == "high"


def test_without_cases_it_is_the_two_way_test_of_the_old_system():
    assert branch("switch", {"condition": "trigger > 1"}, 2) == "true"
    assert branch("switch", {"condition": "trigger > 1"}, 1) == "false"


@pytest.mark.parametrize(
    "config",
    [
        {"expression": "1", "cases": []},
        {"cases": [1]},
        {"expression": "1", "cases": [{"branch": "nothing to compare"}]},
        {"expression": "1", "cases": [{"value": 1, "when": "true", "branch": "both"}]},
        {"cases": [{"when": "true"}]},
        {"expression": "1", "cases": [{"value": {"a": 1}}]},
        {"expression": "1", "cases": "a"},
        {"expression": "1", "cases": [1] * 101},
        {"expression": "1", "cases": [1], "language": "javascript"},
        {"expression": "1", "cases": [1], "condition_type": "python"},
    ],
)
def test_a_switch_that_could_not_choose_is_refused(config):
    with pytest.raises(ValidationError):
        REGISTRY["switch"].config.model_validate(config)


def test_the_branches_it_names_are_all_that_it_takes():
    kind = REGISTRY["switch"]
    config = kind.config.model_validate({"expression": "1", "cases": CASES})
    assert kind.branches(config) == ("stop", "2", "yes", "nothing", "pair", "large", "default")
