"""What became of each thing that provisioning looks after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Outcome(StrEnum):
    """What was done; or, of a check, what is to be done."""

    CREATED = "created"
    REPAIRED = "repaired"  #: it was there, and not as declared
    UNCHANGED = "unchanged"
    FAILED = "failed"
    NOT_REACHED = "not reached"  #: what came before it failed
    TO_CREATE = "to create"
    TO_REPAIR = "to repair"


class Reason(StrEnum):
    """Why something failed."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"  #: the credentials, or what they may do
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Result:
    """One thing: what was done about it, what differed before, what went wrong and what helps."""

    kind: str  #: bucket, trigger or role
    name: str
    outcome: Outcome
    changes: tuple[str, ...] = ()  #: such as ``public: yes → no``
    error: str | None = None
    remedy: str | None = None
    reason: Reason | None = None


_TO_DO = {Outcome.CREATED: Outcome.TO_CREATE, Outcome.REPAIRED: Outcome.TO_REPAIR}


def to_do(result: Result) -> Result:
    """The result of a check, which did nothing."""
    return replace(result, outcome=_TO_DO.get(result.outcome, result.outcome))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not done."""

    error: str
    remedy: str
    reason: Reason = Reason.OTHER

    def result(self, kind: str, name: str, changes: tuple[str, ...] = ()) -> Result:
        return Result(kind, name, Outcome.FAILED, changes, self.error, self.remedy, self.reason)
