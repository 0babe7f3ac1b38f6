"""A delay ends when it should, never earlier, and holds nothing meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import shared.settings
from shared.workflow.node import REGISTRY, Output, StepError, Wait
from tests.workflow.context import NOW, call, step


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("node_type", ["delay", "wait"])
@pytest.mark.parametrize(
    "config",
    [
        {"seconds": 90},
        {"delay_seconds": 90},
        {"delay_type": "seconds", "delay_seconds": "90"},
        {"seconds": "{{ trigger.wait }}"},
        {"until": "2026-03-01T12:01:30Z"},
        {"delay_type": "until_time", "target_time": "2026-03-01T13:01:30+01:00"},
        {"until": "2026-03-01T12:01:30"},
        {"until": "{{ trigger.at }}"},
    ],
)
def test_a_while_or_a_moment(node_type, config):
    trigger = {"wait": 90, "at": "2026-03-01T12:01:30Z"}
    first = call(node_type, config, step(trigger))
    assert first == Wait(until=after(90), state={"until": after(90).isoformat()})
    early = call(node_type, config, step(trigger, state=first.state, now=after(89.999)))
    assert early == first
    done = call(node_type, config, step(trigger, state=first.state, now=after(90)))
    assert done == Output({"until": after(90).isoformat()})


def test_the_end_is_computed_once():
    first = call("delay", {"seconds": "{{ trigger.wait }}"}, step({"wait": 10}))
    again = call("delay", {"seconds": "{{ trigger.wait }}"}, step({"wait": 9999}, state=first.state, now=after(5)))
    assert again == first


@pytest.mark.parametrize("config", [{"seconds": 0}, {"until": "2020-01-01T00:00:00Z"}])
def test_what_is_due_already_is_not_waited_for(config):
    assert isinstance(call("delay", config), Output)


@given(st.floats(0, 31_622_400), st.floats(0, 2))
def test_it_is_never_early(seconds, part):
    first = call("delay", {"seconds": seconds})
    if isinstance(first, Output):
        return
    now = NOW + (first.until - NOW) * part
    outcome = call("delay", {"seconds": seconds}, step(state=first.state, now=now))
    assert isinstance(outcome, Output) == (now >= first.until)


class TestCondition:
    """Waiting until something holds."""

    config = {"delay_type": "until_condition", "condition": "variables.ready", "poll_seconds": 20}

    def test_it_is_asked_again_and_again(self):
        first = call("delay", self.config, step(variables={"ready": False}))
        assert first.until == after(20)
        second = call("delay", self.config, step(variables={"ready": False}, state=first.state, now=after(20)))
        assert second.until == after(40)
        done = call("delay", self.config, step(variables={"ready": True}, state=second.state, now=after(40)))
        assert done == Output({"condition_result": True})

    def test_it_gives_up_at_the_timeout_and_not_before(self):
        config = {**self.config, "timeout_seconds": 30}
        state = call("delay", config, step(variables={"ready": False})).state
        last = call("delay", config, step(variables={"ready": False}, state=state, now=after(20)))
        assert last.until == after(30)
        with pytest.raises(StepError, match="within 30 s") as caught:
            call("delay", config, step(variables={"ready": False}, state=last.state, now=after(30)))
        assert caught.value.kind == "timeout"
        assert not caught.value.retryable

    def test_what_holds_at_the_last_moment_holds(self):
        config = {**self.config, "timeout_seconds": 30}
        state = call("delay", config, step(variables={"ready": False})).state
        assert isinstance(call("delay", config, step(variables={"ready": True}, state=state, now=after(30))), Output)


class TestSignal:
    """Waiting for a signal."""

    def test_its_data_is_the_output(self):
        first = call("delay", {"signal": "approved"})
        assert first == Wait(signal="approved", state={"since": NOW.isoformat()})
        state = {**first.state, "signal": {"by": "ada"}}
        assert call("delay", {"signal": "approved"}, step(state=state, now=after(5))) == Output({"by": "ada"})

    def test_a_signal_without_data_ends_the_wait_too(self):
        assert call("delay", {"signal": "go"}, step(state={"signal": None})) == Output(None)

    def test_it_gives_up_at_the_timeout_counted_from_the_beginning(self):
        config = {"delay_type": "signal", "signal": "approved", "timeout_seconds": 60}
        first = call("delay", config)
        assert first.until == after(60)
        assert call("delay", config, step(state=first.state, now=after(59))).until == after(60)
        with pytest.raises(StepError, match="signal 'approved' did not come") as caught:
            call("delay", config, step(state=first.state, now=after(60)))
        assert caught.value.kind == "timeout"

    def test_a_signal_that_came_wins_over_the_timeout(self):
        config = {"signal": "approved", "timeout_seconds": 60}
        state = {"since": NOW.isoformat(), "signal": 1}
        assert call("delay", config, step(state=state, now=after(61))) == Output(1)


@pytest.mark.parametrize(
    ("config", "trigger"),
    [
        ({"seconds": "{{ trigger }}"}, -1),
        ({"seconds": "{{ trigger }}"}, None),
        ({"seconds": "{{ trigger }}"}, "soon"),
        ({"seconds": "{{ trigger }}"}, "nan"),
        ({"seconds": "{{ trigger }}"}, 1e12),
        ({"until": "{{ trigger }}"}, "tomorrow"),
        ({"until": "{{ trigger }}"}, 5),
        ({"until": "{{ trigger }}"}, "2999-01-01T00:00:00Z"),
        ({"until": "{{ trigger }}"}, "0001-01-01T00:00:00+23:59"),
    ],
)
def test_a_computed_end_that_makes_no_sense_fails_the_step(config, trigger):
    with pytest.raises(StepError) as caught:
        call("delay", config, step(trigger))
    assert caught.value.kind == "input"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"seconds": 1, "signal": "x"},
        {"seconds": -1},
        {"seconds": "soon"},
        {"seconds": True},
        {"seconds": 1e12},
        {"until": "tomorrow"},
        {"delay_type": "until_time", "seconds": 1},
        {"delay_type": "for_ever"},
        {"seconds": 1, "timeout_seconds": 5},
        {"until_condition": "true", "poll_seconds": 0},
        {"signal": ""},
        {"signal": "x", "timeout_seconds": 0},
    ],
)
def test_a_delay_that_says_too_little_or_too_much_is_refused(config):
    with pytest.raises(ValidationError):
        REGISTRY["delay"].config.model_validate(config)


def test_the_longest_wait_is_a_setting(monkeypatch):
    monkeypatch.setenv("MILLRACE_WAIT_DAYS", "1")
    shared.settings.forget()
    with pytest.raises(ValidationError, match="86400"):
        REGISTRY["delay"].config.model_validate({"seconds": 86_401})
    with pytest.raises(StepError, match="too far away"):
        call("delay", {"until": "2026-03-03T00:00:00Z"}, step(now=datetime(2026, 3, 1, tzinfo=UTC)))
