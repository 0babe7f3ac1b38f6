"""``?wait=``: hold the sender's request until its run has an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from shared import statements
from shared.database import Database

#: A short run answers within the first pauses; a long one is asked about twice a second.
FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.5
GROWTH = 1.5

_ENDED = frozenset({"completed", "failed", "cancelled", "timed_out"})


def wait_for(
    database: Database,
    run: UUID,
    delivery: UUID,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any] | None:
    """The run's row once it responded or ended, else None after ``seconds``; one indexed read each time.

    A respond node answers at once, though the run goes on. The last read gives the caller's place back; a caller that
    breaks off loses it when its time is up.
    """
    statement = statements.load("webhook_intake")["answer"]
    until = clock() + seconds
    pause = FIRST_PAUSE
    while True:
        left = until - clock()
        last = left <= 0
        rows = database.call(statement, {"execution": run, "delivery": delivery, "last": last})
        if not rows:
            return None
        if rows[0]["response"] is not None or rows[0]["status"] in _ENDED:
            return rows[0]
        if last:
            return None
        sleep(min(pause, max(left, 0.0)))
        pause = min(pause * GROWTH, LONGEST_PAUSE)
