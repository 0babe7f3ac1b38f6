"""A schedule is checked before it is kept, and says when it fires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cluster import TestDatabase, User
from tests.functions.gateway import Gateway

WORKFLOWS = "/api/v1/workflows"
SCHEDULES = f"{WORKFLOWS}/schedules"


def test_a_schedule_says_when_it_fires_next(api: Gateway, workflow: dict[str, Any]) -> None:
    made = api.post(
        f"{WORKFLOWS}/{workflow['id']}/schedules",
        {"cron_expression": "0 9 * * *", "timezone": "Europe/Berlin", "name": "morning", "input": {"sacks": 3}},
    )
    assert made.status == 201
    assert made.headers["location"] == f"{SCHEDULES}/{made.json['id']}"
    fires = [datetime.fromisoformat(at) for at in made.json["next_fires"]]
    assert len(fires) == 5
    assert fires[0] > datetime.now(UTC)
    assert datetime.fromisoformat(made.json["next_run_at"]) == fires[0]
    assert api.get(made.headers["location"]).json == made.json
    assert [one["id"] for one in api.get(f"{WORKFLOWS}/{workflow['id']}/schedules").json["items"]] == [made.json["id"]]


def test_a_schedule_that_cannot_fire_is_refused_with_the_field(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}/schedules"
    for body, field in (
        ({"cron_expression": "0 9 * *"}, "cron_expression"),
        ({"cron_expression": "0 0 30 2 *"}, "cron_expression"),
        ({"cron_expression": "@daily", "timezone": "Mars/Olympus"}, "timezone"),
        ({"cron_expression": "@daily", "missed_policy": "some"}, "missed_policy"),
        ({"cron_expression": "@daily", "jitter_seconds": 3601}, "jitter_seconds"),
        ({"cron_expression": "@daily", "name": "@trigger"}, "name"),
        ({}, "cron_expression"),
    ):
        refused = api.post(here, body)
        assert refused.problem["status"] == 422, body
        assert refused.paths == [field]
    assert api.get(here).json["items"] == []


def test_an_input_that_every_run_would_have_to_carry_is_bounded(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}/schedules"
    large = {"text": "x" * 70_000}
    refused = api.post(here, {"cron_expression": "@daily", "input": large})
    assert (refused.problem["status"], refused.paths) == (422, ["input"])
    made = api.post(here, {"cron_expression": "@daily", "input": {"text": "x"}})
    assert api.patch(made.headers["location"], {"input": large}).paths == ["input"]
    assert api.get(made.headers["location"]).json["input"] == {"text": "x"}


def test_a_preview_shows_both_changes_of_the_clock_and_saves_nothing(api: Gateway) -> None:
    shown = api.post(f"{SCHEDULES}/preview", {"cron_expression": "30 2 * * *", "timezone": "Europe/Berlin", "count": 3})
    assert shown.status == 200
    assert len(shown.json["next_fires"]) == 3
    assert api.post(f"{SCHEDULES}/preview", {"cron_expression": "x"}).paths == ["cron_expression"]


def test_waking_a_schedule_does_not_make_it_catch_up_with_its_sleep(
    db: TestDatabase, api: Gateway, workflow: dict[str, Any]
) -> None:
    made = api.post(f"{WORKFLOWS}/{workflow['id']}/schedules", {"cron_expression": "@hourly"}).json
    here = f"{SCHEDULES}/{made['id']}"
    asleep = api.patch(here, {"is_active": False}).json
    assert asleep["next_fires"] == []
    db.owner.execute("update workflowschedule set next_run_at = timestamp '2020-01-01'")
    awake = api.patch(here, {"is_active": True}).json
    assert datetime.fromisoformat(awake["next_run_at"]) > datetime.now(UTC)
    moved = api.patch(here, {"cron_expression": "*/5 * * * *"}).json
    assert datetime.fromisoformat(moved["next_run_at"]) - datetime.now(UTC) < timedelta(minutes=5)
    kept = api.patch(here, {"missed_policy": "all", "missed_cap": 3, "overlap_policy": "skip", "input": None}).json
    assert (kept["missed_policy"], kept["missed_cap"], kept["overlap_policy"]) == ("all", 3, "skip")
    assert kept["cron_expression"] == "*/5 * * * *"
    assert api.patch(here, {"timezone": "Nowhere"}).paths == ["timezone"]
    assert api.delete(here).status == 204
    assert api.get(here).status == 404


def test_what_became_of_each_instant_is_read_newest_first(
    db: TestDatabase, user: User, api: Gateway, workflow: dict[str, Any]
) -> None:
    made = api.post(f"{WORKFLOWS}/{workflow['id']}/schedules", {"cron_expression": "@hourly"}).json
    for hour, status in ((1, "started"), (2, "skipped"), (3, "failed")):
        db.owner.execute(
            "insert into scheduleoccurrence (schedule_id, fire_at, owner_id, status)"
            " values (%s, timestamptz '2026-01-01Z' + %s * interval '1 hour', %s, %s)",
            [made["id"], hour, user.id, status],
        )
    here = f"{SCHEDULES}/{made['id']}/occurrences"
    first = api.get(here, limit=2).json
    rest = api.get(here, limit=2, cursor=first["next"]).json
    assert [one["status"] for one in first["items"] + rest["items"]] == ["failed", "skipped", "started"]
