"""A good delivery becomes one durable run, and its sender hears which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.functions.webhook_intake.hook import Hook, github
from tests.intake import event, make_workflow


def test_a_real_github_push_becomes_a_run(hook: Hook) -> None:
    push = event("github_push")
    subscription = hook.subscribe(push["secret"], scheme="github")
    reply = hook.send(event("api_gateway_github_push"))

    assert reply.status == 202
    [run] = hook.runs()
    assert reply.json == {
        "id": str(run["id"]),
        "status": "accepted",
        "duplicate": False,
        "location": f"/api/v1/workflows/executions/{run['id']}",
    }
    assert reply.headers["location"] == reply.json["location"]
    assert (run["status"], run["trigger_type"], run["owner_id"]) == ("running", "webhook", hook.user.id)
    trigger = run["trigger_data"]
    assert trigger["payload"] == json.loads(push["body"])
    assert trigger["delivery_id"] == push["headers"]["x-github-delivery"]
    assert trigger["headers"]["x-github-event"] == "push"
    assert (trigger["trigger_type"], trigger["method"], trigger["path"]) == ("webhook", "POST", hook.path)
    assert trigger["query"] == {}
    assert trigger["timestamp"] == "2026-03-11T17:02:42+00:00"

    [row] = hook.ledger()
    assert (row["verdict"], row["subscription_id"], row["execution_id"]) == ("accepted", subscription, run["id"])
    assert (row["bytes"], row["source_ip"], row["content_type"]) == (8150, "140.82.115.247", "application/json")
    assert hook.bell.rung == [("workflow-run", str(run["id"]), 0)]


def test_github_s_ping_is_a_delivery_like_any_other(hook: Hook) -> None:
    hook.subscribe("s3cret", scheme="github")
    body = b'{"zen":"Keep it logically awesome.","hook_id":1}'
    reply = hook.post(body.decode(), github("s3cret", body, x_github_event="ping"))
    assert reply.status == 202


def test_the_old_address_leads_to_the_same_place(hook: Hook) -> None:
    hook.subscribe()
    assert hook.post({"a": 1}, prefix="/api/v1/workflows/webhooks").status == 202


def test_a_stage_s_name_before_the_path_does_not_matter(hook: Hook) -> None:
    hook.subscribe()
    assert hook.post({"a": 1}, prefix="/prod/hooks").status == 202


@pytest.mark.parametrize("query", ["a=1&a=2&b=", "b=&wait=0&a=1&a=2"])
def test_the_query_reaches_the_run_without_wait(hook: Hook, query: str) -> None:
    hook.subscribe()
    assert hook.post({}, query=query).status == 202
    assert hook.runs()[0]["trigger_data"]["query"] == {"a": ["1", "2"], "b": ""}


def test_credentials_never_reach_the_run(hook: Hook) -> None:
    hook.subscribe("s3cret", scheme="github", required_headers={"x-tenant": "acme-key", "x-kind": None})
    body = b"{}"
    private = {
        "Cookie": "session=1",
        "Authorization": "Bearer x",
        "Proxy-Authorization": "Basic x",
        "X-Api-Key": "k",
        "X-Gitlab-Token": "t",
        "X-Shopify-Hmac-Sha256": "h",
        "X-Tenant": "acme-key",
    }
    reply = hook.post(body.decode(), github("s3cret", body) | private | {"X-Kind": "a", "User-Agent": "GitHub"})
    assert reply.status == 202
    headers = hook.runs()[0]["trigger_data"]["headers"]
    assert headers == {
        "host": "localhost:8787",
        "x-forwarded-proto": "http",
        "content-type": "application/json",
        "x-github-event": "push",
        "x-kind": "a",
        "user-agent": "GitHub",
    }


def test_an_accepted_delivery_is_one_round_trip(hook: Hook, tmp_path: Path) -> None:
    """Counted as Syncs in libpq's trace; only the first delivery also looks its subscription up."""
    hook.subscribe()
    hook.db.engine.call("select 1")
    path = tmp_path / "trace"
    syncs = []
    for _ in range(3):
        with path.open("w") as file:
            hook.db.engine.trace(file.fileno())
            assert hook.post({"a": 1}).status == 202
            hook.db.engine.trace(None)
        syncs.append(path.read_text().count("\tSync"))
    assert syncs == [2, 1, 1]


def test_two_workflows_at_two_paths_do_not_meet(hook: Hook) -> None:
    other = make_workflow(hook.db, hook.user)
    hook.subscribe()
    hook.subscribe(path="/other", workflow_id=other)
    hook.post({"to": 1})
    hook.post({"to": 2}, path="/other")
    assert {run["workflow_id"]: run["trigger_data"]["payload"]["to"] for run in hook.runs()} == {
        hook.workflow: 1,
        other: 2,
    }
