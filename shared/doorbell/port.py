"""The doorbell's port: telling a queue that a row wants attention."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

#: The longest delay a queue takes, in seconds (SQS: 15 minutes). Longer waits are the tick's.
MAX_DELAY_SECONDS = 900.0

RUNS = "workflow-run"  #: the queue that brings runs to workers


class Doorbell(Protocol):
    """Rings ``queue`` once for each id, ``delay`` seconds from now (at most :data:`MAX_DELAY_SECONDS`).

    Never fails its caller for a bell that cannot be delivered: that is counted, by its reason, in ``missed``.
    """

    def ring(self, queue: str, ids: Iterable[str], delay: float = 0) -> None: ...


class RecordingDoorbell:
    """Keeps what was rung, as ``(queue, id, delay)``, for tests and for driving runs by hand."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str, float]] = []

    def ring(self, queue: str, ids: Iterable[str], delay: float = 0) -> None:
        self.rung.extend((queue, id_, min(delay, MAX_DELAY_SECONDS)) for id_ in ids)


class SilentDoorbell:
    """Rings nothing: the tick finds everything, later."""

    def ring(self, queue: str, ids: Iterable[str], delay: float = 0) -> None:
        """Leave it to the tick."""
