"""Wait: a while, until a moment, until something holds, or for a signal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator, model_validator

from shared.settings import NodeSettings
from shared.workflow.node import Json, NodeConfig, Outcome, Output, StepContext, StepError, Wait, node
from shared.workflow.nodes.operands import MaybeExpression, MaybeText, Template, declared, kind, old, render, truth


class Until(StrEnum):
    """What ends the wait."""

    SECONDS = "seconds"
    TIME = "until_time"
    CONDITION = "until_condition"
    SIGNAL = "signal"


class DelayConfig(NodeConfig):
    """What ends the wait: exactly one of seconds, until, until_condition and signal."""

    delay_type: Until | None = Field(
        default=None,
        description="`seconds`, `until_time`, `until_condition` or `signal`; need not be said",
    )
    seconds: Template = Field(
        default=None, validation_alias=old("seconds", "delay_seconds"), description="a number, or a template of one"
    )
    until: MaybeText = Field(
        default=None,
        validation_alias=old("until", "target_time"),
        description="a moment as ISO 8601 with its offset, or a template of one; without an offset it is UTC",
    )
    until_condition: MaybeExpression = Field(
        default=None,
        validation_alias=old("until_condition", "condition"),
        description="asked again and again until it is true",
    )
    poll_seconds: float = Field(default=60, ge=1, le=86_400, description="between two looks at the condition")
    signal: str | None = Field(
        default=None, min_length=1, max_length=100, description="type of the signal, whose data becomes the output"
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=3_660 * 86_400,
        description="of waiting for a condition or signal; then the step fails with kind `timeout`",
    )

    @field_validator("seconds")
    @classmethod
    def _amount(cls, seconds: Any) -> Any:
        if isinstance(seconds, str) and "{{" in seconds:
            return seconds
        _seconds(seconds, ValueError)
        return seconds

    @field_validator("until")
    @classmethod
    def _moment(cls, until: str | None) -> str | None:
        if until is not None and "{{" not in until:
            _moment(until, ValueError)
        return until

    @model_validator(mode="after")
    def _one_end(self) -> DelayConfig:
        given = [
            until
            for until, value in (
                (Until.SECONDS, self.seconds),
                (Until.TIME, self.until),
                (Until.CONDITION, self.until_condition),
                (Until.SIGNAL, self.signal),
            )
            if value is not None
        ]
        if len(given) != 1:
            raise ValueError("needs exactly one of `seconds`, `until`, `until_condition` and `signal`")
        if self.delay_type not in (None, given[0]):
            raise ValueError(f"delay_type {self.delay_type} does not go with what is given ({given[0]})")
        if self.timeout_seconds is not None and given[0] in (Until.SECONDS, Until.TIME):
            raise ValueError("`timeout_seconds` goes with `until_condition` or `signal`")
        return self


def _seconds(value: Json, error: type[Exception]) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise error(f"seconds: {value!r} is not a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise error(f"seconds: {kind(value)} is not a number")
    longest = NodeSettings.load().wait_days * 86_400
    if not 0 <= value <= longest:
        raise error(f"seconds: {value} is not between 0 and {longest}")
    return float(value)


def _moment(value: Json, error: type[Exception]) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):  # the first and last days of the calendar have no UTC everywhere
        raise error(f"until: {value!r} is not a moment as ISO 8601: 2026-01-31T09:00:00+01:00") from None


class _UnusableError(StepError):
    """A rendered value that is not one to wait for."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="input")


def _end(config: DelayConfig, context: StepContext) -> datetime:
    if config.seconds is not None:
        return context.now + timedelta(seconds=_seconds(render(context, config.seconds, "seconds"), _UnusableError))
    moment = _moment(render(context, config.until, "until"), _UnusableError)
    if moment > context.now + timedelta(days=NodeSettings.load().wait_days):
        raise _UnusableError(f"until: {moment.isoformat()} is too far away")
    return moment


@node("delay", "wait", config=DelayConfig, expressions=declared)
def delay(config: DelayConfig, context: StepContext) -> Outcome:
    """Let the run rest, holding nothing, until it is time to go on."""
    state = context.state or {}
    if config.seconds is not None or config.until is not None:
        end = datetime.fromisoformat(state["until"]) if "until" in state else _end(config, context)
        if context.now >= end:
            return Output({"until": end.isoformat()})
        return Wait(until=end, state={"until": end.isoformat()})

    if config.signal is not None and "signal" in state:
        return Output(state["signal"])
    if config.until_condition is not None and truth(context, config.until_condition, "until_condition"):
        return Output({"condition_result": True})
    since = state.get("since", context.now.isoformat())
    limit = None
    if config.timeout_seconds is not None:
        limit = datetime.fromisoformat(since) + timedelta(seconds=config.timeout_seconds)
        if context.now >= limit:
            what = f"signal {config.signal!r}" if config.signal is not None else "the condition"
            raise StepError(f"{what} did not come within {config.timeout_seconds:g} s", kind="timeout")
    if config.signal is not None:
        return Wait(until=limit, signal=config.signal, state={"since": since})
    look = context.now + timedelta(seconds=config.poll_seconds)
    return Wait(until=look if limit is None else min(look, limit), state={"since": since})
