"""What a schedule does at a tick: which instants it fires, which it passes over and why, and when it is due next.

Pure: the tick gives the row and the time, and hands the plan to one SQL function, which decides once more under the
row's lock. An instant is the one that cron names. With jitter the run starts up to ``jitter_seconds`` later, by an
offset that is always the same for one schedule, so that a thousand hourly schedules do not start in the same second;
``next_run_at`` includes the offset, the occurrence's ``fire_at`` does not.

An instant is missed when nobody attended for :data:`GRACE` after it was due. ``missed_policy`` says what becomes of
missed ones: ``skip`` fires none of them, ``latest`` the last one, ``all`` every one, the latest ``missed_cap`` of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from shared.cron import CronError, next_fire

#: A tick comes each minute; twice that and some, and nobody was there.
GRACE = timedelta(seconds=150)
#: A schedule that cannot be read is looked at again after this: it may be this machine that lacks the time zone.
LOOK_AGAIN = timedelta(hours=1)
#: Missed instants written down one by one; those before are told by the oldest of them.
RECORDED = 100

Missed = Literal["skip", "latest", "all"]
Status = Literal["started", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A row of ``workflowschedule``, as far as its timing goes. Times are aware UTC."""

    id: UUID
    cron_expression: str
    timezone: str = "UTC"
    next_run_at: datetime | None = None
    missed_policy: Missed = "latest"
    missed_cap: int = 10
    jitter_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What becomes of one instant. A ``started`` one may still be skipped when its workflow is disabled or overlaps."""

    fire_at: datetime
    status: Status
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one tick does with one schedule. ``seen`` is the ``next_run_at`` it was made from."""

    schedule: UUID
    seen: datetime | None
    next_run_at: datetime
    occurrences: list[Occurrence] = field(default_factory=list)


def offset(schedule: UUID, jitter_seconds: int) -> timedelta:
    """The schedule's own share of its jitter: whole seconds in ``[0, jitter_seconds]``, from a hash of its id."""
    if jitter_seconds <= 0:
        return timedelta(0)
    return timedelta(seconds=int.from_bytes(hashlib.sha256(schedule.bytes).digest()[:8], "big") % (jitter_seconds + 1))


def first_run(schedule: Schedule, now: datetime) -> datetime:
    """``next_run_at`` of a schedule made or changed at ``now``. Raises :class:`shared.cron.CronError`."""
    late = offset(schedule.id, schedule.jitter_seconds)
    return next_fire(schedule.cron_expression, schedule.timezone, now - late) + late


def plan(schedule: Schedule, now: datetime) -> Plan:
    """What to do with a schedule that is due, or has no ``next_run_at`` yet. What the row says never makes it raise."""
    try:
        if schedule.next_run_at is None:
            return Plan(schedule.id, None, first_run(schedule, now))
        late = offset(schedule.id, schedule.jitter_seconds)
        since = schedule.next_run_at - late
        wanted = schedule.missed_cap if schedule.missed_policy == "all" else 1
        instants, earlier = _last_instants(schedule, since, now - late, wanted + RECORDED)
        following = next_fire(schedule.cron_expression, schedule.timezone, now - late) + late
    except CronError as error:
        seen = schedule.next_run_at
        said = [Occurrence(seen or now, "failed", f"{error.detail} Looked at again in an hour.")]
        return Plan(schedule.id, seen, now + LOOK_AGAIN, said)

    fires = set(instants[-wanted:])
    if schedule.missed_policy == "skip":
        fires = {instant for instant in fires if instant + late >= now - GRACE}
    occurrences = [
        Occurrence(instant, "started")
        if instant in fires
        else Occurrence(instant, "skipped", f"missed: nobody attended, and the policy is {schedule.missed_policy}")
        for instant in instants
    ]
    if earlier and occurrences[0].status == "skipped":
        occurrences[0] = Occurrence(
            occurrences[0].fire_at, "skipped", f"{occurrences[0].reason}; as were all since {since.isoformat()}"
        )
    return Plan(schedule.id, schedule.next_run_at, following, occurrences)


def _last_instants(schedule: Schedule, since: datetime, until: datetime, count: int) -> tuple[list[datetime], bool]:
    """The last ``count`` instants in ``[since, until]``, and whether there were others before them.

    A schedule by the minute that slept for a year has half a million, so they are looked for from the end, in windows
    that grow until they hold enough.
    """
    window = timedelta(hours=1)
    while True:
        start = max(since, until - window)
        instants = []
        instant = next_fire(schedule.cron_expression, schedule.timezone, start - timedelta(microseconds=1))
        while instant <= until:
            instants.append(instant)
            instant = next_fire(schedule.cron_expression, schedule.timezone, instant)
        if start == since:
            return instants[-count:], len(instants) > count
        if len(instants) > count:
            return instants[-count:], True
        window *= 2
