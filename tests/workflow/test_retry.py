"""When a failed step is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.workflow.node import StepError
from shared.workflow.retry import DEFAULT, LONGEST_BACKOFF_SECONDS, Jitter, RetryPolicy, decide

passing = StepError("may pass", kind="network", retryable=True)
lasting = StepError("will not pass", kind="http_4xx")


def always(value: float):
    return lambda: value


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    backoff = draw(st.floats(0, 3600))
    return RetryPolicy(
        max_attempts=draw(st.integers(1, 100)),
        backoff_seconds=backoff,
        multiplier=draw(st.floats(1, 10)),
        max_backoff_seconds=draw(st.floats(backoff, LONGEST_BACKOFF_SECONDS)),
        jitter=draw(st.sampled_from(Jitter)),
        retry_on=draw(st.none() | st.sampled_from([("network",), ("*",), ("http_4xx", "timeout")])),
    )


@st.composite
def errors(draw: st.DrawFn) -> StepError:
    return StepError(
        "failed",
        kind=draw(st.sampled_from(["network", "http_4xx", "blocked", "timeout", "error"])),
        retryable=draw(st.booleans()),
        retry_after=draw(st.none() | st.floats(0, 1e9)),
    )


@pytest.mark.parametrize(
    ("policy", "error", "attempt", "expected"),
    [
        ({"jitter": "none"}, passing, 1, 1.0),
        ({"jitter": "none"}, passing, 2, 2.0),
        ({"jitter": "none"}, passing, 3, None),
        ({"jitter": "none"}, lasting, 1, None),
        ({"jitter": "none", "retry_on": ["http_4xx"]}, lasting, 1, 1.0),
        ({"jitter": "none", "retry_on": ["http_4xx"]}, passing, 1, None),
        ({"jitter": "none", "retry_on": ["*"]}, lasting, 1, 1.0),
        ({"max_attempts": 1}, passing, 1, None),
        ({"jitter": "none", "max_attempts": 9, "backoff_seconds": 10, "multiplier": 3}, passing, 4, 270.0),
        ({"jitter": "none", "max_attempts": 99, "max_backoff_seconds": 60}, passing, 50, 60.0),
        ({"jitter": "none", "backoff_seconds": 0}, passing, 1, 0.0),
        ({"jitter": "full"}, passing, 1, 0.25),
    ],
)
def test_the_decision_follows_the_policy(policy, error, attempt, expected):
    assert decide(RetryPolicy.model_validate(policy), error, attempt, always(0.25)) == expected


def test_a_policy_that_says_nothing_retries_what_may_pass_and_only_that():
    assert decide(DEFAULT, passing, 1, always(0.5)) == 0.5
    assert decide(DEFAULT, lasting, 1, always(0.5)) is None


@given(policy=policies(), error=errors(), attempt=st.integers(1, 200), random=st.floats(0, 1, exclude_max=True))
def test_a_wait_is_within_its_bounds_whatever_the_numbers(policy, error, attempt, random):
    delay = decide(policy, error, attempt, always(random))
    if attempt >= policy.max_attempts or not policy.retries(error):
        assert delay is None
    else:
        assert delay is not None
        assert 0 <= delay <= LONGEST_BACKOFF_SECONDS
        assert delay <= max(policy.max_backoff_seconds, error.retry_after or 0)


@given(policy=policies(), attempt=st.integers(1, 98))
def test_without_jitter_waits_never_become_shorter(policy, attempt):
    assert policy.backoff(attempt) <= policy.backoff(attempt + 1) <= policy.max_backoff_seconds


@given(policy=policies(), error=errors())
def test_the_last_attempt_is_never_followed_by_another(policy, error):
    assert decide(policy, error, policy.max_attempts, always(0)) is None


@given(policy=policies(), asked=st.floats(0, LONGEST_BACKOFF_SECONDS), random=st.floats(0, 1, exclude_max=True))
def test_retry_after_is_a_lower_bound(policy, asked, random):
    error = StepError("busy", kind="network", retryable=True, retry_after=asked)
    delay = decide(policy, error, 1, always(random))
    if delay is not None:
        assert delay >= asked


@given(policy=policies(), attempt=st.integers(1, 99))
def test_a_blocked_address_or_a_fail_node_is_never_tried_again(policy, attempt):
    for kind in ("blocked", "failed"):
        assert decide(policy, StepError("no use", kind=kind, retryable=True), attempt, always(0)) is None


@pytest.mark.parametrize(
    "policy",
    [
        {"max_attempts": 0},
        {"max_attempts": 101},
        {"backoff_seconds": -1},
        {"backoff_seconds": float("nan")},
        {"multiplier": 0.5},
        {"multiplier": float("inf")},
        {"max_backoff_seconds": 86_401},
        {"backoff_seconds": 10, "max_backoff_seconds": 5},
        {"jitter": "some"},
        {"retry_on": []},
        {"retry_on": ["Not A Kind"]},
        {"retry_on": ["blocked"]},
        {"attempts": 3},
    ],
)
def test_a_policy_out_of_bounds_is_refused(policy):
    with pytest.raises(ValidationError):
        RetryPolicy.model_validate(policy)
