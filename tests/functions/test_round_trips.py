"""A request is one round trip to Postgres; a database that is down or slow is a 503 that says when to come again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shared.database
import shared.settings
import shared.tenant
from tests.cluster import TestDatabase
from tests.functions.gateway import GRAPH, Answer, Gateway

WORKFLOWS = "/api/v1/workflows"


Syncs = Callable[[Callable[[], Any]], int]


@pytest.fixture
def syncs(gateway: Gateway, tmp_path: Path) -> Syncs:
    """How many Syncs a call sends: libpq's own trace."""

    def count(call: Callable[[], Any]) -> int:
        path = tmp_path / "trace"
        with path.open("w") as file:
            shared.database.database().trace(file.fileno())
            call()
            shared.database.database().trace(None)
        return len(re.findall(r"^\S+ \S+\tF\t\d+\tSync", path.read_text(), re.MULTILINE))

    return count


def test_every_kind_of_request_is_one_round_trip(api: Gateway, workflow: dict[str, Any], syncs: Syncs) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}"
    run = api.post(f"{here}/run").json["id"]
    for method, path, body in (
        ("GET", WORKFLOWS, None),
        ("GET", here, None),
        ("PATCH", here, {"name": "x"}),
        ("PATCH", here, {"graph_config": {**GRAPH, "timeout_seconds": 5}}),
        ("POST", WORKFLOWS, {"name": "y", "graph_config": GRAPH}),
        ("POST", f"{here}/run", {"payload": 1}),
        ("GET", f"{WORKFLOWS}/executions/{run}/timeline", None),
        ("GET", f"{WORKFLOWS}/executions/{run}/tail?wait=0", None),
        ("POST", f"{WORKFLOWS}/executions/{run}/signals", {"type": "x"}),
        ("POST", f"{WORKFLOWS}/executions/{run}/cancel", None),
        ("POST", f"{WORKFLOWS}/webhooks/subscriptions", {"workflow_id": workflow["id"]}),
        ("POST", f"{here}/schedules", {"cron_expression": "@daily"}),
        ("GET", "/api/v1/users/me", None),
        ("POST", "/api/v1/items", {"title": "x"}),
    ):
        bare, _, query = path.partition("?")
        answers: list[Answer] = []
        sent = syncs(lambda: answers.append(api.send(method, bare, body, query={"wait": 0} if query else None)))  # noqa: B023
        assert answers[0].status < 300, answers
        assert sent == 1, (method, path)


def test_a_platform_token_costs_one_more_and_then_none(
    gateway: Gateway, api: Gateway, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = api.post("/api/v1/users/me/tokens", {"name": "t", "scopes": ["*"]}).json["token"]
    monkeypatch.setenv("MILLRACE_TOKEN_CACHE_SECONDS", "5")
    shared.settings.forget()
    shared.tenant.gate.cache_clear()
    bearer = gateway.as_(token)
    assert syncs(lambda: bearer.get(WORKFLOWS)) == 2
    assert syncs(lambda: bearer.get(WORKFLOWS)) == 1


def test_a_lost_connection_is_made_good_without_the_caller_noticing(
    db: TestDatabase, api: Gateway, workflow: dict[str, Any]
) -> None:
    for method, path, body in (
        ("GET", WORKFLOWS, None),
        ("POST", f"{WORKFLOWS}/{workflow['id']}/run", {"payload": 1}),
        ("POST", "/api/v1/items", {"title": "x"}),
    ):
        db.connect("supabase_admin").execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and usename = 'millrace_api'"
        )
        assert api.send(method, path, body).status < 300, path
    assert len(api.get(f"{WORKFLOWS}/executions").json["items"]) == 1
    assert len(api.get("/api/v1/items").json["items"]) == 1


def test_a_database_that_is_down_is_a_503_that_says_when_to_come_again(
    gateway: Gateway, api: Gateway, db: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://millrace_api@127.0.0.1:1/none")
    shared.settings.forget()
    shared.database.database().close()
    shared.database.database.cache_clear()
    shared.tenant.gate.cache_clear()
    answer = api.get(WORKFLOWS)
    assert answer.problem["status"] == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in answer.text


def test_a_database_that_is_slow_is_a_503_too(
    api: Gateway, db: TestDatabase, workflow: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_DEADLINE_SECONDS", "0.3")
    shared.settings.forget()
    shared.database.database().close()
    shared.database.database.cache_clear()
    shared.tenant.gate.cache_clear()
    holder = db.connect("postgres")
    holder.execute("begin")
    holder.execute("lock table workflow in access exclusive mode")
    answer = api.get(WORKFLOWS)
    assert answer.problem["status"] == 503
    assert answer.headers["retry-after"]
    holder.execute("rollback")
    assert api.get(WORKFLOWS).status == 200
