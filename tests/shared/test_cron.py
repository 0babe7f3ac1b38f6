"""A schedule fires at the right instants: never early, never twice, through both changes of the clock."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.cron import ALIASES, CronError, check, next_fire

NEW_YORK = ZoneInfo("America/New_York")


def fires(expression: str, timezone: str, after: datetime, count: int) -> list[datetime]:
    found = []
    for _ in range(count):
        after = next_fire(expression, timezone, after)
        found.append(after)
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_answer_is_in_utc_and_strictly_after() -> None:
    fire = next_fire("30 9 * * *", "America/New_York", at("2026-01-15T14:30:00+00:00"))
    assert fire == at("2026-01-16T14:30:00+00:00")
    assert fire.tzinfo is UTC


def test_microseconds_before_the_instant_still_find_it() -> None:
    assert next_fire("0 0 * * *", "UTC", at("2026-01-01T23:59:59.999999+00:00")) == at("2026-01-02T00:00:00+00:00")


@pytest.mark.parametrize(
    ("alias", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        (" @Daily ", "0 0 * * *"),
    ],
)
def test_an_alias_is_short_for_its_fields(alias: str, fields: str) -> None:
    after = at("2026-03-03T03:03:03+00:00")
    assert fires(alias, "Europe/Berlin", after, 3) == fires(fields, "Europe/Berlin", after, 3)


def test_a_time_that_the_clock_skips_fires_once_right_after_the_gap() -> None:
    # 8 March 2026: 02:00 EST becomes 03:00 EDT
    assert fires("30 2 * * *", "America/New_York", at("2026-03-08T00:00:00-05:00"), 2) == [
        at("2026-03-08T03:00:00-04:00"),
        at("2026-03-09T02:30:00-04:00"),
    ]


def test_two_times_in_the_skipped_hour_fire_together_once() -> None:
    assert fires("15,45 2 * * *", "America/New_York", at("2026-03-08T00:00:00-05:00"), 2) == [
        at("2026-03-08T03:00:00-04:00"),
        at("2026-03-09T02:15:00-04:00"),
    ]


def test_a_time_that_comes_twice_fires_in_the_first_only() -> None:
    # 1 November 2026: 02:00 EDT becomes 01:00 EST
    assert fires("30 1 * * *", "America/New_York", at("2026-11-01T00:00:00-04:00"), 2) == [
        at("2026-11-01T01:30:00-04:00"),
        at("2026-11-02T01:30:00-05:00"),
    ]


def test_asked_within_the_second_of_the_two_hours_it_does_not_name_the_past() -> None:
    assert next_fire("50 1 * * *", "America/New_York", at("2026-11-01T01:45:00-05:00")) == at(
        "2026-11-02T01:50:00-05:00"
    )


def test_wildcards_follow_real_time_through_both_hours() -> None:
    assert fires("*/30 * * * *", "America/New_York", at("2026-11-01T00:30:00-04:00"), 5) == [
        at("2026-11-01T01:00:00-04:00"),
        at("2026-11-01T01:30:00-04:00"),
        at("2026-11-01T01:00:00-05:00"),
        at("2026-11-01T01:30:00-05:00"),
        at("2026-11-01T02:00:00-05:00"),
    ]
    assert fires("*/30 * * * *", "America/New_York", at("2026-03-08T01:30:00-05:00"), 2) == [
        at("2026-03-08T03:00:00-04:00"),
        at("2026-03-08T03:30:00-04:00"),
    ]


def test_where_summer_time_starts_at_midnight_a_wildcard_job_keeps_to_its_hour() -> None:
    # Beirut, 29 March 2026: 00:00 becomes 01:00, so there is no hour 0 that day
    assert next_fire("*/30 0 * * *", "Asia/Beirut", at("2026-03-28T00:30:00+02:00")) == at("2026-03-30T00:00:00+03:00")
    assert next_fire("0 0 * * *", "Asia/Beirut", at("2026-03-28T12:00:00+02:00")) == at("2026-03-29T01:00:00+03:00")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 12 L * *", "2026-02-28T12:00:00+00:00"),
        ("0 12 LW * *", "2026-02-27T12:00:00+00:00"),
        ("0 12 * * FRI#2", "2026-02-13T12:00:00+00:00"),
        ("0 12 * * 5L", "2026-02-27T12:00:00+00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00:00+00:00"),
        ("0 0 13 * FRI", "2026-02-06T00:00:00+00:00"),  # either day will do, as in cron
        ("0 0 * * 7", "2026-02-08T00:00:00+00:00"),
        ("5/20 8-10/2 * feb mon-wed", "2026-02-02T08:05:00+00:00"),
    ],
)
def test_the_forms_cron_users_know(expression: str, expected: str) -> None:
    assert next_fire(expression, "UTC", at("2026-02-01T00:00:00+00:00")) == at(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "this has 0"),
        ("* * * *", "this has 4"),
        ("0 * * * * *", "this has 6"),
        ("0 0 * * * * 2026", "this has 7"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day-of-month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day-of-week"),
        ("*/0 * * * *", "minute"),
        ("5-1 * * * *", "minute"),
        ("² * * * *", "minute"),
        ("0 0 30 2 *", "day-of-month"),
        ("0 0 31 4,6,9,11 *", "day-of-month"),
        ("@reboot", "@reboot"),
        ("@every 5m", "@every"),
        ("0" * 5000 + " * * * *", "256 characters"),
        ("nonsense", "this has 1"),
    ],
)
def test_what_is_not_a_schedule_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(CronError) as refused:
        check(expression, "UTC")
    assert reason in refused.value.detail


@pytest.mark.parametrize(
    "timezone", ["Mars/Olympus", "", "America", "../../etc/passwd", "/etc/localtime", "a\0b", "é" * 99]
)
def test_an_unknown_zone_is_refused(timezone: str) -> None:
    with pytest.raises(CronError, match="not an IANA time zone"):
        check("* * * * *", timezone)


def test_a_naive_datetime_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="aware"):
        next_fire("* * * * *", "UTC", datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_end_of_the_calendar_is_an_error_not_a_crash() -> None:
    with pytest.raises(CronError, match="never fires"):
        next_fire("0 0 1 1 *", "UTC", datetime(9999, 6, 1, tzinfo=UTC))


ZONES = st.sampled_from(
    ["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "Asia/Kolkata", "Pacific/Apia"]
)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.integers(1, high).map(lambda every: f"*/{every}")
    return st.one_of(
        st.just("*"),
        number.map(str),
        span,
        step,
        st.lists(number, min_size=1, max_size=3).map(lambda numbers: ",".join(map(str, numbers))),
    )


#: days up to 28 only, so that each schedule fires
SCHEDULES = st.one_of(
    st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)).map(" ".join),
    st.sampled_from(sorted(ALIASES)),
)
INSTANTS = st.datetimes(datetime(2011, 12, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(SCHEDULES, ZONES, INSTANTS)
@example("50 1 * * *", "America/New_York", datetime(2026, 11, 1, 6, 45, tzinfo=UTC))
def test_each_fire_is_strictly_after_the_last(expression: str, timezone: str, after: datetime) -> None:
    instants = [after, *fires(expression, timezone, after, 4)]
    assert all(earlier < later for earlier, later in pairwise(instants))
    assert all(fire.second == fire.microsecond == 0 for fire in instants[1:])


@given(SCHEDULES, ZONES, INSTANTS, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_a_later_question_never_has_an_earlier_answer(
    expression: str, timezone: str, after: datetime, later: timedelta
) -> None:
    first = next_fire(expression, timezone, after)
    second = next_fire(expression, timezone, after + later)
    assert first <= second
    if after + later < first:
        assert second == first  # nothing fires between the question and its answer


@given(st.text(max_size=40))
def test_any_text_is_a_schedule_or_a_cron_error(text: str) -> None:
    with suppress(CronError):
        check(text, "UTC")
