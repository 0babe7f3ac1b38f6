"""When a failed step is tried again: a policy as data, and one pure decision.

``decide`` says how long to wait or not to try again; acting on it is the engine's business. A policy is part of a
node's definition and is checked when the workflow is saved, so the numbers here are within bounds by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from shared.workflow.node import StepError

#: No wait between attempts is longer, whatever a policy or a Retry-After header says.
LONGEST_BACKOFF_SECONDS = 86_400.0

#: Error kinds that another attempt cannot change (a refused address, a fail node), so no policy may name them.
NEVER_RETRIED = frozenset({"blocked", "failed"})

ErrorKind = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_]{0,63})$")]


class Jitter(StrEnum):
    """How a backoff is spread."""

    FULL = "full"  #: evenly between nothing and the backoff, so that what failed together does not return together
    NONE = "none"  #: exactly the backoff


class RetryPolicy(BaseModel):
    """How often and how soon a node's failed step is tried again.

    ``retry_on`` names the error kinds to retry (``*`` for every kind); without it the node's own view decides
    (``StepError.retryable``): what may pass, such as a dropped connection, is retried, and what cannot is not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int = Field(default=3, ge=1, le=100, description="attempts in all, the first included")
    backoff_seconds: float = Field(default=1.0, ge=0, le=3600, description="wait before the second attempt")
    multiplier: float = Field(default=2.0, ge=1, le=10, description="what each further wait is multiplied by")
    max_backoff_seconds: float = Field(default=3600.0, ge=0, le=LONGEST_BACKOFF_SECONDS, description="longest wait")
    jitter: Jitter = Field(default=Jitter.FULL, description="`full` or `none`")
    retry_on: tuple[ErrorKind, ...] | None = Field(
        default=None, min_length=1, max_length=20, description="error kinds to retry; `*` is every kind"
    )

    @field_validator("retry_on")
    @classmethod
    def _retriable_kinds(cls, kinds: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if hopeless := NEVER_RETRIED.intersection(kinds or ()):
            raise ValueError(f"errors of kind {', '.join(sorted(hopeless))} are never retried")
        return kinds

    @model_validator(mode="after")
    def _bounds_in_order(self) -> RetryPolicy:
        if "max_backoff_seconds" in self.model_fields_set and self.max_backoff_seconds < self.backoff_seconds:
            raise ValueError("max_backoff_seconds is less than backoff_seconds")
        return self

    def retries(self, error: StepError) -> bool:
        """Whether an error of this kind is worth another attempt at all."""
        if error.kind in NEVER_RETRIED:
            return False
        if self.retry_on is None:
            return error.retryable
        return error.kind in self.retry_on or "*" in self.retry_on

    def backoff(self, attempt: int) -> float:
        """Seconds after failed attempt ``attempt`` (1 for the first), before jitter."""
        # Powers are capped first: 10.0 ** 400 overflows, and the bound is reached long before.
        grown = self.backoff_seconds * self.multiplier ** min(attempt - 1, 64)
        return min(grown, self.max_backoff_seconds)


DEFAULT = RetryPolicy()


def decide(policy: RetryPolicy, error: StepError, attempt: int, random: Callable[[], float]) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    ``attempt`` is the number of the attempt that failed, 1 for the first; ``random`` gives a float in [0, 1). A wait
    that the other side asked for (``StepError.retry_after``, from Retry-After) is a lower bound.
    """
    if attempt >= policy.max_attempts or not policy.retries(error):
        return None
    delay = policy.backoff(attempt)
    if policy.jitter is Jitter.FULL:
        delay *= random()
    if error.retry_after is not None:
        delay = max(delay, error.retry_after)
    return min(delay, LONGEST_BACKOFF_SECONDS)
