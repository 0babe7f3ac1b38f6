"""What a schedule does at a tick: which instants it fires, which it passes over and why, and when it is due next.

Pure: the tick gives the row and the time, and hands the plan to one SQL function, which decides once more under the
row's lock. An instant is the one that cron names; ``next_run_at`` is one. With jitter the run starts later than its
instant, by the schedule's own offset, which the database derives from its id.

An instant is missed when nobody attended for :data:`GRACE` after it was due. ``missed_policy`` says what becomes of
missed ones: ``skip`` fires none of them, ``latest`` the last one, ``all`` every one, the latest ``missed_cap`` of them.
"""

from __future__ import annotations

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
    offset: timedelta = timedelta(0)


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


def plan(schedule: Schedule, now: datetime) -> Plan:
    """What to do with a schedule that is due, or has no ``next_run_at`` yet. What the row says never makes it raise."""
    until = now - schedule.offset
    since = schedule.next_run_at
    try:
        following = next_fire(schedule.cron_expression, schedule.timezone, until)
        if since is None:
            return Plan(schedule.id, None, following)
        wanted = schedule.missed_cap if schedule.missed_policy == "all" else 1
        instants, earlier = _last_instants(schedule, since, until, wanted + RECORDED)
    except CronError as error:
        return unreadable(schedule, now, error.detail)

    fires = set(instants[-wanted:])
    if schedule.missed_policy == "skip":
        fires = {instant for instant in fires if instant >= until - GRACE}
    occurrences = [
        Occurrence(instant, "started")
        if instant in fires
        else Occurrence(instant, "skipped", f"missed: nobody attended, and the policy is {schedule.missed_policy}")
        for instant in instants
    ]
    if earlier:
        oldest = occurrences[0]
        occurrences[0] = Occurrence(
            oldest.fire_at, "skipped", f"{oldest.reason}; as were all since {since.isoformat()}"
        )
    return Plan(schedule.id, since, following, occurrences)


def unreadable(schedule: Schedule, now: datetime, reason: str) -> Plan:
    """What becomes of a schedule that cannot be planned: it says so, and stands in no other's way."""
    said = Occurrence(schedule.next_run_at or now, "failed", f"{reason} Looked at again in an hour.")
    return Plan(schedule.id, schedule.next_run_at, now + LOOK_AGAIN, [said])


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
