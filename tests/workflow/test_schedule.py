"""What a schedule does at a tick: which instants fire, which are passed over, and when it is due next."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cron import next_fire
from shared.workflow.schedule import GRACE, LOOK_AGAIN, RECORDED, Plan, Schedule, plan

NOON = datetime(2026, 3, 11, 12, 0, tzinfo=UTC)


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 11, hour, minute, tzinfo=UTC)


def hourly(**columns: Any) -> Schedule:
    return Schedule(uuid.uuid4(), "0 * * * *", **columns)


def started(made: Plan) -> list[datetime]:
    return [occurrence.fire_at for occurrence in made.occurrences if occurrence.status == "started"]


def skipped(made: Plan) -> list[datetime]:
    return [occurrence.fire_at for occurrence in made.occurrences if occurrence.status == "skipped"]


@pytest.mark.parametrize("policy", ["skip", "latest", "all"])
@pytest.mark.parametrize("late", [0, 1, 59, 150])
def test_an_instant_that_is_due_fires_under_every_policy(policy: Any, late: int) -> None:
    made = plan(hourly(next_run_at=NOON, missed_policy=policy), NOON + timedelta(seconds=late))
    assert (made.seen, started(made), skipped(made), made.next_run_at) == (NOON, [NOON], [], at(13))


@pytest.mark.parametrize(
    ("policy", "cap", "fired"),
    [
        ("skip", 10, []),
        ("latest", 10, [12]),
        ("all", 10, [9, 10, 11, 12]),
        ("all", 2, [11, 12]),
    ],
)
def test_missed_instants_are_what_the_policy_says(policy: Any, cap: int, fired: list[int]) -> None:
    schedule = hourly(next_run_at=at(9), missed_policy=policy, missed_cap=cap)
    made = plan(schedule, at(12, 30))
    assert started(made) == [at(hour) for hour in fired]
    assert skipped(made) == [at(hour) for hour in (9, 10, 11, 12) if hour not in fired]
    assert made.next_run_at == at(13)
    assert all("missed" in (one.reason or "") for one in made.occurrences if one.status == "skipped")


def test_skip_still_fires_the_one_that_is_on_time() -> None:
    made = plan(hourly(next_run_at=at(9), missed_policy="skip"), NOON + GRACE)
    assert (started(made), skipped(made)) == ([NOON], [at(9), at(10), at(11)])


def test_a_schedule_without_a_next_instant_only_gets_one() -> None:
    made = plan(hourly(), at(12, 30))
    assert (made.seen, made.occurrences, made.next_run_at) == (None, [], at(13))


def test_the_offset_delays_the_run_and_not_the_instant() -> None:
    schedule = hourly(next_run_at=NOON, offset=timedelta(minutes=40))
    made = plan(schedule, at(12, 40))
    assert (started(made), made.next_run_at) == ([NOON], at(13))


def test_an_offset_longer_than_the_period_loses_nothing() -> None:
    schedule = Schedule(uuid.uuid4(), "* * * * *", next_run_at=NOON, offset=timedelta(minutes=10), missed_policy="all")
    made = plan(schedule, at(12, 11))
    assert (started(made), made.next_run_at) == ([NOON, at(12, 1)], at(12, 2))


def test_the_hour_that_comes_twice_fires_once_and_the_one_that_is_skipped_after_it() -> None:
    """Berlin: 02:30 does not exist on 29 March 2026 and comes twice on 25 October 2026."""
    daily = Schedule(uuid.uuid4(), "30 2 * * *", "Europe/Berlin", datetime(2026, 3, 28, 1, 30, tzinfo=UTC), "all", 1000)
    made = plan(daily, datetime(2026, 3, 30, 12, tzinfo=UTC))
    assert [f"{instant:%d %H:%M}" for instant in started(made)] == ["28 01:30", "29 01:00", "30 00:30"]
    daily = Schedule(
        uuid.uuid4(), "30 2 * * *", "Europe/Berlin", datetime(2026, 10, 24, 0, 30, tzinfo=UTC), "all", 1000
    )
    made = plan(daily, datetime(2026, 10, 26, 12, tzinfo=UTC))
    assert [f"{instant:%d %H:%M}" for instant in started(made)] == ["24 00:30", "25 00:30", "26 01:30"]


@pytest.mark.parametrize(
    ("cron", "zone"), [("61 * * * *", "UTC"), ("nonsense", "UTC"), ("0 * * * *", "Mars/Olympus"), ("0 0 30 2 *", "UTC")]
)
@pytest.mark.parametrize("next_run_at", [None, NOON])
def test_what_cannot_be_read_says_so_and_is_looked_at_again(cron: str, zone: str, next_run_at: datetime | None) -> None:
    made = plan(Schedule(uuid.uuid4(), cron, zone, next_run_at), at(13))
    [occurrence] = made.occurrences
    assert (occurrence.status, made.seen, made.next_run_at) == ("failed", next_run_at, at(13) + LOOK_AGAIN)
    assert occurrence.reason


def test_a_year_of_missed_minutes_is_soon_planned_and_bounded() -> None:
    schedule = Schedule(uuid.uuid4(), "* * * * *", next_run_at=NOON - timedelta(days=365), missed_policy="latest")
    began = time.process_time()
    made = plan(schedule, NOON)
    assert time.process_time() - began < 10
    assert started(made) == [NOON]
    assert len(made.occurrences) == RECORDED + 1
    assert "as were all since 2025-03-11T12:00:00+00:00" in (made.occurrences[0].reason or "")


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0 0 1 * *", "0 12 * * 1"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe"]),
    st.sampled_from(["skip", "latest", "all"]),
    st.integers(1, 200),
    st.integers(0, 3600),
    st.integers(0, 40 * 24 * 3600),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - hypothesis wants them naive
)
def test_every_instant_is_decided_exactly_once_and_none_early(
    cron: str, zone: str, policy: Any, cap: int, offset: int, slept: int, start: datetime
) -> None:
    """Two ticks in a row, with any pause between: what they decide are cron's instants, in order, without overlap."""
    begin = start.replace(tzinfo=UTC)
    schedule = Schedule(uuid.uuid4(), cron, zone, next_fire(cron, zone, begin), policy, cap, timedelta(seconds=offset))
    assert schedule.next_run_at is not None
    now = schedule.next_run_at + schedule.offset + timedelta(seconds=slept)
    first = plan(schedule, now)
    second_at = first.next_run_at + schedule.offset
    second = plan(Schedule(schedule.id, cron, zone, first.next_run_at, policy, cap, schedule.offset), second_at)
    for made, moment in ((first, now), (second, second_at)):
        instants = [occurrence.fire_at for occurrence in made.occurrences]
        assert instants == sorted(set(instants))
        assert all(instant + schedule.offset <= moment for instant in instants)
        assert made.next_run_at + schedule.offset > moment
        assert len(started(made)) <= (cap if policy == "all" else 1)
        for left, right in zip(instants, [*instants[1:], made.next_run_at], strict=True):
            assert next_fire(cron, zone, left) == right
    assert second.occurrences[0].fire_at == first.next_run_at
