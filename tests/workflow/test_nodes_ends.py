"""A run begins with what started it, answers who waits, and can end itself as failed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.workflow.node import REGISTRY, End, Output, StepError
from tests.workflow.context import call, output, step


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"trigger_type": "webhook", "webhook_method": "POST"},
        {"trigger_type": "schedule", "cron_expression": "*/5 * * * *"},
    ],
)
def test_a_trigger_passes_on_what_started_the_run(config):
    event = {"body": {"n": 1}, "headers": {}}
    assert output("trigger", config, step(event)) == event


@pytest.mark.parametrize(
    "config", [{"trigger_type": "moon"}, {"cron": "every day"}, {"cron_expression": "61 * * * *"}, {"crom": "@daily"}]
)
def test_a_trigger_that_never_fires_is_refused(config):
    with pytest.raises(ValidationError):
        REGISTRY["trigger"].config.model_validate(config)


def test_respond_shapes_the_answer_and_lets_the_run_go_on():
    config = {
        "status": 201,
        "headers": {"Location": "/orders/{{ trigger.id }}", "X-Count": "{{ size(trigger.rows) }}"},
        "body": {"id": "{{ trigger.id }}", "rows": "{{ trigger.rows }}"},
    }
    answer = {
        "status": 201,
        "headers": {"Location": "/orders/7", "X-Count": "2"},
        "body": {"id": 7, "rows": [1, 2]},
    }
    assert call("respond", config, step({"id": 7, "rows": [1, 2]})) == Output(answer, respond=answer)


def test_respond_needs_no_config():
    assert output("respond", {}) == {"status": 200, "headers": {}, "body": None}
    assert output("respond", {"status_code": 204})["status"] == 204


@pytest.mark.parametrize(
    "config",
    [
        {"status": 99},
        {"status": 600},
        {"headers": []},
        {"headers": {"Set-Cookie": "a=b"}},
        {"headers": {"Content-Length": "1"}},
        {"headers": {"a b": "c"}},
        {"body": "{{ trigger."},
    ],
)
def test_an_answer_that_is_not_the_workflows_to_give_is_refused(config):
    with pytest.raises(ValidationError):
        REGISTRY["respond"].config.model_validate(config)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x=y", "a\nb", "\x07", "€"])
def test_a_computed_header_cannot_begin_another(value):
    with pytest.raises(StepError, match="one line"):
        call("respond", {"headers": {"X-Said": "{{ trigger }}"}}, step(value))


@pytest.mark.parametrize("key", ["message", "error", "error_message"])
def test_fail_ends_the_run_with_a_message(key):
    assert call("fail", {key: "no {{ trigger.what }}"}, step({"what": "stock"})) == End(None, error="no stock")


def test_fail_may_carry_an_output_and_always_has_a_message():
    outcome = call("fail", {"message": "{{ trigger }}", "output": {"a": "{{ trigger }}"}}, step([1]))
    assert outcome == End({"a": [1]}, error="[1]")
    for config in ({}, {"message": "{{ trigger }}"}):
        outcome = call("fail", config, step(""))
        assert isinstance(outcome, End)
        assert outcome.error
