"""EventBridge on this machine: a function called at a fixed rate with a scheduled event.

A minute is the finest that EventBridge has, and is what the tick is deployed with; the stack runs that rate each
second, so that nobody waits a minute for what a lost bell left behind. A call that is still running when the next is
due is not joined by another.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from infra.local.logs import Logs
from infra.local.runtime import Function, Outcome, OverloadedError


def scheduled_event(function: str, region: str, now: float) -> dict[str, Any]:
    """What EventBridge sends to the target of a schedule rule. Source: EventBridge User Guide, "Scheduled rules"."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "region": region,
        "resources": [f"arn:aws:events:{region}:000000000000:rule/{function}"],
        "detail": {},
    }


class Ticker:
    """Calls one function every ``seconds``, beginning at once."""

    def __init__(
        self, function: Function, seconds: float, logs: Logs, region: str, payload: Mapping[str, Any] | None = None
    ) -> None:
        """``payload`` is sent instead of the scheduled event, if given."""
        self.function = function
        self.seconds = seconds
        self.logs = logs
        self.region = region
        self.payload = payload
        self.running = False
        self.skipped = 0  #: calls left out because the one before was still running
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._timer = self._loop.call_soon(self._tick)

    def stop(self) -> None:
        """Call no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        # From the last due time, not from now, so that ticks keep their rate; after a suspended lid, from now.
        now = self._loop.time()
        self._due = self._due + self.seconds if now - self._due < self.seconds else now + self.seconds
        self._timer = self._loop.call_at(self._due, self._tick)
        if self.running:
            self.skipped += 1
            return
        event = scheduled_event(self.function.name, self.region, time.time()) if self.payload is None else self.payload
        try:
            self.function.invoke(json.dumps(event).encode(), self._done)
        except OverloadedError:
            self.skipped += 1
        else:
            self.running = True

    def _done(self, outcome: Outcome) -> None:
        self.running = False
        error = outcome.error
        if error is not None and error.type != "Stack.Stopping":
            note = f"{error.type}: {error.message}"
            self.logs.request("schedule", "failed", outcome.seconds, self.function.name, note)
