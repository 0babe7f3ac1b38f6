"""Refusals are written down, so that people see why nothing ran; a flood of them is only counted.

Each subscription may write a bounded number per minute. Beyond that the sender is answered 429, and this process counts
by itself, telling the database about once a second: what a flood costs is a signature check, not a round trip.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared import statements
from shared.database import Database

TELL_SECONDS = 1.0
_KEPT = 4096


@dataclass(slots=True)
class _Flood:
    minute: int
    told_at: float
    unrecorded: int = 0


class Refusals:
    """The subscriptions whose refusals are over the bound in this minute, as far as this process knows."""

    def __init__(self, database: Database, bound: int, clock: Callable[[], float] = time.time) -> None:
        self.bound = bound
        self._database = database
        self._clock = clock
        self._floods: dict[UUID, _Flood] = {}
        self._limits: dict[UUID, float] = {}
        self._unknown = 0
        self._unknown_told_at = 0.0
        statement = statements.load("webhook_intake")
        self._refuse, self._count_unknown = statement["refuse"], statement["unknown"]

    def record(self, ledger_id: UUID, subscription: UUID, verdict: str, row: Mapping[str, Any]) -> bool:
        """Write the refusal down, or count it; False when the subscription is over its bound."""
        now = self._clock()
        minute = int(now // 60)
        flood = self._floods.get(subscription) if verdict != "filtered" else None
        if flood is not None and flood.minute == minute and now - flood.told_at < TELL_SECONDS:
            flood.unrecorded += 1
            return False
        [answer] = self._database.call(
            self._refuse,
            {
                "id": ledger_id,
                "subscription": subscription,
                "verdict": verdict,
                "bound": self.bound,
                "unrecorded": flood.unrecorded if flood is not None and flood.minute == minute else 0,
                **row,
            },
        )
        if answer["recorded"]:
            self._floods.pop(subscription, None)
            return True
        if len(self._floods) >= _KEPT:
            self._floods.clear()
        self._floods[subscription] = _Flood(minute, now)
        return False

    def unknown(self) -> None:
        """Count a request to a path that nobody has."""
        self._unknown += 1
        now = self._clock()
        if now - self._unknown_told_at >= TELL_SECONDS:
            told, self._unknown, self._unknown_told_at = self._unknown, 0, now
            self._database.call(self._count_unknown, {"requests": told}, repeat=False)

    def limit(self, subscription: UUID, seconds: int) -> None:
        """Remember that the subscription is over its rate for so many seconds."""
        if len(self._limits) >= _KEPT:
            self._limits.clear()
        self._limits[subscription] = self._clock() + seconds

    def limited(self, subscription: UUID) -> int:
        """Seconds until the subscription may deliver again; 0 when it may."""
        until = self._limits.get(subscription)
        if until is None:
            return 0
        left = until - self._clock()
        if left <= 0:
            del self._limits[subscription]
            return 0
        return max(1, round(left))

    def seconds_left(self) -> int:
        """Seconds until the next minute, when counts begin anew."""
        return 60 - int(self._clock() % 60)
