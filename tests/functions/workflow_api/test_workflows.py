"""A workflow's graph is versioned: every change is kept, none is lost, none happens behind another's back."""

from __future__ import annotations

import threading
from typing import Any

from tests.cluster import TestDatabase
from tests.functions.gateway import GRAPH, Gateway

WORKFLOWS = "/api/v1/workflows"
OTHER_GRAPH: dict[str, Any] = {**GRAPH, "nodes": [GRAPH["nodes"][0]], "edges": []}


def test_a_new_workflow_is_at_version_one_and_says_where_it_is(api: Gateway) -> None:
    made = api.post(WORKFLOWS, {"name": "Mill", "graph_config": GRAPH, "description": "grinds"})
    assert made.status == 201
    assert made.headers["etag"] == '"1"'
    assert made.headers["location"] == f"{WORKFLOWS}/{made.json['id']}"
    read = api.get(made.headers["location"])
    assert read.status == 200
    assert read.json == made.json
    assert read.json["graph_config"] == GRAPH
    assert read.json["created_at"].endswith("Z")


def test_another_graph_is_another_version_and_the_old_one_stays(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}"
    changed = api.patch(here, {"graph_config": OTHER_GRAPH})
    assert (changed.status, changed.json["version"], changed.headers["etag"]) == (200, 2, '"2"')
    assert api.get(f"{here}/versions/1").json["graph_config"] == GRAPH
    assert api.get(f"{here}/versions/2").json["graph_config"] == OTHER_GRAPH
    assert [one["version"] for one in api.get(f"{here}/versions").json["items"]] == [2, 1]
    assert api.get(f"{here}/versions/3").problem["status"] == 404


def test_what_is_not_the_graph_changes_without_a_new_version(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}"
    changed = api.patch(here, {"name": "Sawmill", "description": "saws", "is_active": False}).json
    assert (changed["name"], changed["description"], changed["is_active"], changed["version"]) == (
        "Sawmill", "saws", False, 1,
    )  # fmt: skip
    assert api.patch(here, {"description": None}).json["description"] is None


def test_a_change_that_changes_nothing_leaves_no_trace(api: Gateway, workflow: dict[str, Any]) -> None:
    same = {key: workflow[key] for key in ("name", "description", "is_active", "graph_config", "trigger_config")}
    assert api.patch(f"{WORKFLOWS}/{workflow['id']}", same).json == workflow


def test_restoring_a_version_makes_a_new_one_of_it(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}"
    api.patch(here, {"graph_config": OTHER_GRAPH})
    restored = api.post(f"{here}/versions/1/restore")
    assert (restored.status, restored.json["version"], restored.json["graph_config"]) == (200, 3, GRAPH)
    assert api.post(f"{here}/versions/9/restore").status == 404


def test_a_change_based_on_an_old_version_is_refused(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}"
    api.patch(here, {"graph_config": OTHER_GRAPH})
    late = api.patch(here, {"graph_config": GRAPH}, headers={"If-Match": '"1"'})
    assert late.problem["status"] == 412
    assert "version 2" in late.problem["detail"]
    assert api.patch(here, {"graph_config": GRAPH, "version": 1}).status == 412
    assert api.post(f"{here}/versions/1/restore", headers={"If-Match": '"1"'}).status == 412
    assert api.patch(here, {"graph_config": GRAPH}, headers={"If-Match": '"2"'}).json["version"] == 3
    assert api.patch(here, {"name": "any"}, headers={"If-Match": "*"}).status == 200
    assert api.patch(here, {"name": "any"}, headers={"If-Match": "three"}).problem["status"] == 400


def test_of_two_changes_based_on_one_version_one_wins(db: TestDatabase, api: Gateway, workflow: dict[str, Any]) -> None:
    """The second waits for the first at the row's lock, and then sees its version."""
    first = db.connect("postgres")
    first.execute("begin")
    first.execute("select from workflow where id = %s for no key update", [workflow["id"]])
    answers = []

    def change() -> None:
        answers.append(api.patch(f"{WORKFLOWS}/{workflow['id']}", {"graph_config": OTHER_GRAPH, "version": 1}))

    second = threading.Thread(target=change)
    second.start()
    wait_for_a_blocked_statement(db)
    first.execute("update workflow set version = 2 where id = %s", [workflow["id"]])
    first.execute("commit")
    second.join()
    assert [answer.status for answer in answers] == [412]


def test_a_graph_with_mistakes_is_refused_with_every_one_of_them(api: Gateway) -> None:
    graph = {
        "nodes": [
            {"node_id": "start", "node_type": "trigger", "config": {}},
            {"node_id": "odd", "node_type": "teleport", "config": {}},
            {"node_id": "deep", "node_type": "browser", "config": {}},
        ],
        "edges": [{"from": "start", "to": "nowhere"}],
    }
    refused = api.post(WORKFLOWS, {"name": "Mill", "graph_config": graph})
    assert refused.problem["status"] == 422
    assert {"graph_config.nodes.1.node_type", "graph_config.nodes.2.node_type"} <= set(refused.paths)
    assert any(path.startswith("graph_config.edges.0") for path in refused.paths)
    looked = api.post(f"{WORKFLOWS}/validate", {"graph_config": graph})
    assert looked.problem["errors"] == refused.problem["errors"]
    assert api.get(WORKFLOWS).json["items"] == []


def test_a_graph_can_be_looked_over_without_saving_it(api: Gateway) -> None:
    looked = api.post(f"{WORKFLOWS}/validate", {"graph_config": GRAPH})
    assert (looked.status, looked.json) == (200, {"entry": "start", "nodes": 2, "edges": 1})
    assert api.get(WORKFLOWS).json["items"] == []


def test_node_types_are_listed_with_the_schema_of_their_config(api: Gateway) -> None:
    kinds = {kind["name"]: kind for kind in api.get(f"{WORKFLOWS}/node-types").json}
    assert {"trigger", "http_request", "set_variable", "respond", "fail"} <= kinds.keys()
    assert kinds["http_request"]["config"]["properties"]["url"]
    assert all(kind["summary"] for kind in kinds.values())


def test_lists_come_in_pages_that_miss_and_repeat_nothing(api: Gateway) -> None:
    made = [api.post(WORKFLOWS, {"name": f"w{n}", "graph_config": GRAPH}).json["id"] for n in range(5)]
    seen, cursor = [], None
    while True:
        page = api.get(WORKFLOWS, limit=2, **({"cursor": cursor} if cursor else {})).json
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        api.post(WORKFLOWS, {"name": "newer", "graph_config": GRAPH})  # newer ones come before, and disturb nothing
    assert seen == made[::-1]
    assert [one["name"] for one in api.get(WORKFLOWS, name="w3").json["items"]] == ["w3"]
    assert api.get(WORKFLOWS, is_active="false").json["items"] == []
    assert "graph_config" not in api.get(WORKFLOWS).json["items"][0]


def test_a_deleted_workflow_is_gone_with_all_that_hangs_on_it(
    db: TestDatabase, api: Gateway, workflow: dict[str, Any]
) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}"
    made = api.post(f"{WORKFLOWS}/webhooks/subscriptions", {"workflow_id": workflow["id"]})
    assert made.status == 201
    assert api.delete(here).status == 204
    assert api.get(here).status == 404
    for table in ("workflowversion", "workflowwebhooksubscription", "secret"):
        assert db.owner.execute(f"select count(*) as n from {table}").fetchone() == {"n": 0}, table


def test_a_workflow_with_a_live_run_is_deleted_only_by_force(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}"
    api.post(f"{here}/run")
    refused = api.delete(here)
    assert refused.problem["status"] == 409
    assert "force" in refused.problem["remedy"]
    assert api.delete(here, force="true").status == 204
    assert api.get(f"{WORKFLOWS}/executions").json["items"] == []


def test_a_schedule_in_trigger_config_is_kept_for_the_tenant(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}"
    trigger = {"type": "schedule", "cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}
    assert api.patch(here, {"trigger_config": trigger}).json["version"] == 2
    [schedule] = api.get(f"{here}/schedules").json["items"]
    assert (schedule["name"], schedule["cron_expression"], schedule["timezone"]) == (
        "@trigger", "0 9 * * 1-5", "Europe/Berlin",
    )  # fmt: skip
    assert schedule["next_run_at"]
    api.patch(here, {"trigger_config": {**trigger, "cron": "@daily"}})
    [changed] = api.get(f"{here}/schedules").json["items"]
    assert (changed["id"], changed["cron_expression"]) == (schedule["id"], "@daily")
    api.patch(here, {"trigger_config": {"type": "manual"}})
    assert api.get(f"{here}/schedules").json["items"] == []
    api.post(f"{here}/versions/2/restore")
    assert len(api.get(f"{here}/schedules").json["items"]) == 1
    wrong = api.patch(here, {"trigger_config": {"type": "schedule", "cron": "every day"}})
    assert wrong.problem["status"] == 422
    assert wrong.paths == ["trigger_config"]


def wait_for_a_blocked_statement(db: TestDatabase) -> None:
    """Return once some statement of this database waits for another's lock."""
    import time

    until = time.monotonic() + 10
    while time.monotonic() < until:
        row = db.owner.execute(
            "select count(*) as n from pg_stat_activity"
            " where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0"
        ).fetchone()
        if row and row["n"]:
            return
        time.sleep(0.005)
    raise AssertionError("no statement is blocked")
