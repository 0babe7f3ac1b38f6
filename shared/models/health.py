"""How an installation is."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from shared.models.api import Output


class Condition(StrEnum):
    """How a part is."""

    OK = "ok"
    FAILING = "failing"


class LivenessOutput(Output):
    """That this function answers."""

    status: Condition


class PartOutput(Output):
    """How one part is."""

    name: str = Field(description="`database`, `bells`, `storage`, `tick` or `work`.")
    status: Condition
    detail: str = Field(description="What was found.")
    milliseconds: float = Field(description="How long it took to look.")


class HealthOutput(Output):
    """How the installation is: `failing` when any of its parts is."""

    status: Condition
    checked_at: AwareDatetime
    tick_lag_seconds: float | None = Field(
        description="How long ago the last tick ended; null when it never ran or the database does not answer."
    )
    parts: list[PartOutput]
