"""A batch of queue messages about stored objects: one statement starts what waits for them.

Where a trigger that would fire has a filter, its object comes back from that statement with nothing written, and a
second one starts it with the verdicts. Whoever dies in between has done nothing, and the message comes again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from functions.storage_intake import event_table, filters, notification
from functions.storage_intake.change import Change
from shared import statements
from shared.database import Database
from shared.doorbell import RUNS, Doorbell
from shared.errors import Invalid
from shared.telemetry import count, logger

#: Statements for one batch. The second may find filters that changed since they were judged; that they change again and
#: again is not waited for.
ROUNDS = 4


@dataclass(slots=True)
class Batch:
    """What one batch tells, and what became of it."""

    failed: list[str] = field(default_factory=list)  #: messages that shall come again
    told: list[tuple[str | None, Change]] = field(default_factory=list)  #: with their message, when S3's
    runs: int = 0
    jobs: int = 0

    def fail(self, number: int, why: str) -> None:
        """The object could not be handled: its message comes again, or the event's row when it is time."""
        message, change = self.told[number]
        if message is None:
            logger.error("stored object, event %s: %s", change.row, why)
        else:
            logger.error("message %s: %s", message, why)
            self.failed.append(message)


def start(database: Database, bell: Doorbell, messages: Mapping[str, Any], jobs: Mapping[str, str]) -> list[str]:
    """Start what waits for the objects in ``messages`` (bodies by message id); ``jobs`` by bucket make themselves.

    Returns the ids of the messages that failed and shall come again: those that nobody would send, and those whose
    objects could not be handled. The others are done, also when they start nothing.
    """
    batch = _read(database, messages)
    waiting = {number: change.told(number) for number, (_, change) in enumerate(batch.told)}
    for _ in range(ROUNDS):
        if not waiting:
            break
        rows = database.call(
            statements.load("storage_intake")["start"], {"objects": list(waiting.values()), "jobs": dict(jobs)}
        )
        _ring(bell, rows, batch)
        waiting = _judged(rows, waiting)
    for number in waiting:
        batch.fail(number, "its filters change faster than they are judged")
    count("StoredFileEvents", len(batch.told))
    count("StoredFileRuns", batch.runs)
    count("StoredFileJobs", batch.jobs)
    return list(dict.fromkeys(batch.failed))


def _read(database: Database, messages: Mapping[str, Any]) -> Batch:
    batch = Batch()
    events: list[int] = []
    for message, body in messages.items():
        try:
            found = notification.read(body)
        except Invalid as error:
            logger.error("message %s: %s", message, error.detail)
            batch.failed.append(message)
            continue
        if isinstance(found, int):
            events.append(found)
        else:
            batch.told += [(message, change) for change in found if not change.is_own]
    if events:
        batch.told += [(None, change) for change in event_table.take(database, events)]
    return batch


def _ring(bell: Doorbell, rows: list[dict[str, Any]], batch: Batch) -> None:
    """Ring for what was started; note what failed."""
    bells: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        match row["outcome"]:
            case "run":
                bells[RUNS].append(str(row["id"]))
                batch.runs += 1
            case "job":
                bells[row["detail"]].append(str(row["id"]))
                batch.jobs += 1
            case "failed":
                batch.fail(row["number"], row["detail"])
    for queue, ids in bells.items():
        bell.ring(queue, ids)


def _judged(rows: list[dict[str, Any]], asked: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The objects that came back for verdicts, with those."""
    expressions: dict[int, dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row["outcome"] == "judge":
            expressions[row["number"]][str(row["id"])] = row["detail"]
    return {
        number: asked[number]
        | {"verdicts": asked[number].get("verdicts", {}) | filters.judge(asked[number]["trigger"], sources)}
        for number, sources in expressions.items()
    }
