"""One tick: one statement finds what is due, one more fires the schedules among it, and the last says that it ended.

Any number of ticks may run at the same time. A schedule that one of them fires is passed over by the others, and the
key of its occurrence is the last word; a bell that is rung twice wakes one worker.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared import statements
from shared.database import Database
from shared.doorbell import RUNS, Doorbell
from shared.storage.port import EVENTS
from shared.telemetry import Attribute, duration, logger
from shared.workflow.schedule import Plan, Schedule, plan, unreadable

SWEEP_SECONDS = 3600.0
#: Rows of one kind that one tick deletes; while there are more, the next tick goes on.
SWEEP_ROWS = 2000


@dataclass(slots=True)
class Done:
    """What one tick did."""

    runs: int = 0  #: rung
    jobs: int = 0  #: rung
    started: int = 0
    skipped: int = 0
    failed: int = 0
    stored: int = 0  #: events of objects in Supabase Storage, rung


class Tick:
    """Everything one process needs to tick.

    ``horizon`` is how many seconds ahead waits without a bell are rung for, at least the time between two ticks;
    ``grace`` how long a bell may be under way before it is rung again. Deliveries and ended runs are kept for
    ``delivery_days`` and ``run_days``, these for ever when that is 0.
    """

    def __init__(
        self,
        database: Database,
        bell: Doorbell,
        *,
        horizon: float,
        grace: float,
        limit: int,
        delivery_days: int = 30,
        run_days: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._bell = bell
        self._looking = {"limit": limit, "grace": grace, "horizon": horizon}
        self._limit = limit
        self._keeping = {"delivery_days": delivery_days, "run_days": run_days, "limit": SWEEP_ROWS}
        self._clock = clock
        self._swept_at: float | None = None
        self._statements = statements.load("schedule_tick")

    def run(self, seconds: float) -> Done:
        """Look, ring and fire; look again for more, while ``seconds`` last, when there were too many."""
        until = self._clock() + seconds
        done = Done()
        found = self._look()
        self._ring(found, done)
        while True:
            schedules, stored = (
                [row["row"] for row in found if row["what"] == what] for what in ("schedule", "stored")
            )
            if schedules:
                self._fire(schedules, done)
            if stored:
                self._bell.ring(EVENTS, [str(event) for event in stored])
                done.stored += len(stored)
            if max(len(schedules), len(stored)) < self._limit or self._clock() >= until:
                break
            found = self._look()
        if self._swept_at is None or self._clock() - self._swept_at >= SWEEP_SECONDS:
            [swept] = self._database.call(self._statements["sweep"], self._keeping)
            if max(swept["deliveries"], swept["runs"], swept["uploads"]) < SWEEP_ROWS:
                self._swept_at = self._clock()
        self._ended()
        return done

    def _look(self) -> list[dict[str, Any]]:
        return self._database.call(self._statements["due"], self._looking)

    def _ring(self, found: list[dict[str, Any]], done: Done) -> None:
        bells: dict[tuple[str, float], list[str]] = defaultdict(list)
        for row in found:
            if row["what"] == "run":
                bells[RUNS, row["delay"]].append(str(row["id"]))
                done.runs += 1
            elif row["what"] == "job":
                bells[row["kind"], 0.0].append(str(row["id"]))
                done.jobs += 1
        for (queue, delay), ids in bells.items():
            self._bell.ring(queue, ids, delay)

    def _ended(self) -> None:
        """The last word of every tick that went well: by its absence the alarm and the doctor know."""
        [row] = self._database.call(self._statements["ticked"])
        if row["seconds"] is not None:
            duration("TickInterval", row["seconds"] * 1000)

    def _fire(self, rows: list[dict[str, Any]], done: Done) -> None:
        plans = [asdict(_plan(row)) for row in rows]
        fired = self._database.call(self._statements["fire"], {"plans": plans})
        started = [str(row["execution_id"]) for row in fired if row["execution_id"] is not None]
        if started:
            self._bell.ring(RUNS, started)
        done.started += len(started)
        for row in fired:
            if row["status"] == "skipped":
                done.skipped += 1
            elif row["status"] == "failed":
                done.failed += 1
                about: dict[str, Any] = {Attribute.SCHEDULE: str(row["schedule_id"])}
                logger.warning("a schedule could not fire: %s", row["reason"], extra=about)


def _plan(row: dict[str, Any]) -> Plan:
    """The plan for one row of ``due_schedules``; whatever is wrong with the row is its own misfortune."""
    now = datetime.fromisoformat(row["now"]).astimezone(UTC)
    next_run_at = row["next_run_at"]
    schedule = Schedule(
        id=UUID(row["id"]),
        cron_expression=row["cron_expression"],
        timezone=row["timezone"],
        next_run_at=None if next_run_at is None else datetime.fromisoformat(next_run_at).astimezone(UTC),
        missed_policy=row["missed_policy"],
        missed_cap=row["missed_cap"],
        offset=timedelta(seconds=row["offset_seconds"]),
    )
    try:
        return plan(schedule, now)
    except Exception as error:
        logger.exception("a schedule could not be planned", extra={Attribute.SCHEDULE: row["id"]})
        return unreadable(schedule, now, f"The schedule cannot be planned: {error}.")
