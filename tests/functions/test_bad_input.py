"""Hostile and mistaken requests: each is answered with a problem that says what to do, and changes nothing."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.cluster import TestDatabase
from tests.functions.gateway import GRAPH, Context, Gateway, event

WORKFLOWS = "/api/v1/workflows"
ITEMS = "/api/v1/items"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("", 422),
        ("nonsense", 400),
        ('{"title": NaN}', 400),
        ('{"title": Infinity}', 400),
        ('{"title": ' + "9" * 5000 + "}", 400),
        ('{"title": "a\\u0000b"}', 422),
        ('{"title": "\\ud800"}', 422),
        ('{"\\u0000": 1}', 422),
        ('{"title": 1e999}', 422),
        ("[" * 100_000, 422),
        ("[" * 100 + "]" * 100, 422),
        ('{"a":' * 100_000, 422),
        ('"text"', 422),
        ("[]", 422),
        ("null", 422),
        ("5", 422),
        ('{"title": 5}', 422),
        ('{"title": "x", "owner_id": "me"}', 422),
        ('{"title": "' + "x" * 256 + '"}', 422),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_body_that_is_not_what_it_should_be_is_refused(
    db: TestDatabase, api: Gateway, body: str, status: int
) -> None:
    refused = api.post(ITEMS, body)
    assert refused.problem["status"] == status
    assert db.owner.execute("select count(*) as n from item").fetchone() == {"n": 0}


def test_what_the_database_cannot_hold_is_named_by_its_path(api: Gateway) -> None:
    graph = {**GRAPH, "nodes": [{"node_id": "start", "node_type": "trigger", "config": {"cron": "a\u0000"}}]}
    refused = api.post(WORKFLOWS, {"name": "Mill", "graph_config": graph})
    assert refused.problem["status"] == 422
    assert refused.paths == ["graph_config.nodes.0.config.cron"]
    assert "u0000" in refused.problem["errors"][0]["message"]


def test_every_wrong_field_is_named_and_no_value_is_repeated(api: Gateway) -> None:
    refused = api.post(ITEMS, {"title": ["canary"], "description": {"canary": 1}, "colour": "canary"})
    assert sorted(refused.paths) == ["colour", "description", "title"]
    assert "canary" not in refused.text


def test_a_body_over_the_limit_is_too_large_and_names_the_road_for_large_things(api: Gateway) -> None:
    refused = api.post(ITEMS, {"title": "x" * 1_100_000})
    assert refused.problem["status"] == 413
    assert "/storage/upload" in refused.problem["remedy"]


def test_a_body_in_base64_is_read_and_a_broken_one_refused(api: Gateway) -> None:
    made = event("POST", ITEMS, "", {"authorization": f"Bearer {api.token}", "content-type": "application/json"}, None)
    made |= {"isBase64Encoded": True, "body": base64.b64encode(b'{"title": "packed"}').decode()}
    assert api.invoke(ITEMS, made).json["title"] == "packed"
    made["body"] = "not base64, nor of its length"
    assert api.invoke(ITEMS, made).problem["status"] == 400
    made["body"] = base64.b64encode(b'{"title": "\xff"}').decode()
    assert api.invoke(ITEMS, made).problem["status"] == 400


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_that_is_not_said_to_be_json_is_refused(api: Gateway, kind: str) -> None:
    refused = api.post(ITEMS, '{"title": "x"}', headers={"Content-Type": kind})
    assert refused.problem["status"] == 400
    assert "application/json" in refused.problem["remedy"]


@pytest.mark.parametrize(
    "path",
    [
        f"{WORKFLOWS}/no-uuid",
        f"{WORKFLOWS}/executions/no-uuid/status",
        f"{WORKFLOWS}/executions/%27%3B%20drop%20table%20workflow",
        f"{WORKFLOWS}/01a2035d-89e5-76d4-9900-e43e1ad6618f/versions/0",
        f"{WORKFLOWS}/01a2035d-89e5-76d4-9900-e43e1ad6618f/versions/99999999999999999999",
        f"{ITEMS}/..%2f..%2fetc",
    ],
)
def test_an_address_with_something_else_for_an_id_is_refused(api: Gateway, path: str) -> None:
    assert api.get(path).problem["status"] in (404, 422)


def test_the_character_nul_in_an_address_is_refused(api: Gateway) -> None:
    assert api.get(f"{ITEMS}/a%00b").problem["status"] == 400
    made = event("GET", WORKFLOWS, "name=a%00b", {"authorization": f"Bearer {api.token}"}, None)
    assert api.invoke(WORKFLOWS, made).problem["status"] == 400


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 201},
        {"limit": "many"},
        {"cursor": "made up"},
        {"cursor": base64.urlsafe_b64encode(b'["2026", "x"]').decode()},
        {"cursor": base64.urlsafe_b64encode(b"[" * 200).decode()},
        {"cursor": "x" * 501},
        {"started_after": "yesterday"},
        {"started_after": "2026-01-01T00:00:00"},
        {"workflow_id": "1"},
    ],
    ids=str,
)
def test_a_question_that_makes_no_sense_is_refused_with_its_field(api: Gateway, query: dict[str, Any]) -> None:
    refused = api.get(f"{WORKFLOWS}/executions", **query)
    assert refused.problem["status"] == 422
    assert refused.paths[0].startswith("query.")


def test_there_are_words_for_what_is_not_there(api: Gateway) -> None:
    assert api.get("/api/v1/items/x/y/z").problem["status"] == 404
    wrong = api.send("PUT", ITEMS, {})
    assert wrong.problem["status"] == 405
    assert "GET" in wrong.headers["allow"]


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        [],
        None,
        "event",
        {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
        {"version": "2.0"},
        {"version": "2.0", "requestContext": {}},
        {"version": "2.0", "requestContext": {"http": {"method": "GET", "path": "/", "sourceIp": "x"}}, "headers": 5},
    ],
    ids=str,
)
def test_an_event_of_another_shape_is_answered_all_the_same(gateway: Gateway, foreign: Any) -> None:
    answer = gateway.handler(ITEMS)(foreign, Context())
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["detail"]


def test_headers_that_make_no_sense_are_no_failure_of_ours(api: Gateway) -> None:
    for headers in ({"Host": "[::1]:8080"}, {"X-Forwarded-Port": "many"}, {"Host": ""}):
        assert api.get(ITEMS, headers=headers).status in (200, 400)
    for value in ("Basic eDp5", "Bearer", "Bearer ", "bearer\tx", "x" * 5000):
        answer = api.as_(None).get(ITEMS, headers={"Authorization": value})
        assert answer.problem["status"] == 401


def test_answers_are_never_stored_by_caches_nor_guessed_at_by_browsers(api: Gateway) -> None:
    for answer in (api.get(ITEMS), api.get(f"{ITEMS}/none"), api.as_(None).get(ITEMS)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
