"""A storage trigger names a bucket of ours and what of it starts the workflow."""

from __future__ import annotations

from typing import Any

import pytest

import shared.settings
from tests.cluster import TestDatabase
from tests.functions.gateway import GRAPH, Gateway

WORKFLOWS = "/api/v1/workflows"


def test_a_storage_trigger_is_made_changed_and_deleted(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}/storage-triggers"
    made = api.post(here, {"bucket": "user-uploads", "prefix": "invoices/", "suffix": ".pdf"})
    assert made.status == 201
    own = made.headers["location"]
    assert own == f"{WORKFLOWS}/storage-triggers/{made.json['id']}"
    assert api.get(own).json == made.json
    assert api.get(here).json["items"] == [made.json]
    changed = api.patch(own, {"suffix": "", "is_active": False}).json
    assert (changed["prefix"], changed["suffix"], changed["is_active"]) == ("invoices/", "", False)
    assert api.delete(own).status == 204
    assert api.get(own).status == 404
    assert api.get(here).json["items"] == []


def test_a_bucket_that_is_not_ours_is_refused(api: Gateway, workflow: dict[str, Any]) -> None:
    refused = api.post(f"{WORKFLOWS}/{workflow['id']}/storage-triggers", {"bucket": "anyones"})
    assert refused.paths == ["bucket"]


def test_a_filter_and_the_events_wanted_are_kept_and_changed(api: Gateway, workflow: dict[str, Any]) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}/storage-triggers"
    plain = api.post(here, {"bucket": "rag-files"}).json
    assert (plain["events"], plain["filter_expression"], plain["last_error"]) == ("created", None, None)
    wish = {"bucket": "rag-files", "events": "both", "filter_expression": "trigger.payload.size > 10"}
    made = api.post(here, wish).json
    assert {name: made[name] for name in wish} == wish
    own = f"{WORKFLOWS}/storage-triggers/{made['id']}"
    changed = api.patch(own, {"events": "removed", "filter_expression": None}).json
    assert (changed["events"], changed["filter_expression"]) == ("removed", None)
    assert api.patch(own, {"is_active": True}).json == changed, "what is not sent stays"


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ({"filter_expression": "trigger.payload.size >"}, "filter_expression"),
        ({"filter_expression": "nodes.x.output"}, "filter_expression"),
        ({"filter_expression": "x" * 5000}, "filter_expression"),
        ({"filter_expression": ""}, "filter_expression"),
        ({"events": "all"}, "events"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused_when_it_is_saved(
    api: Gateway, workflow: dict[str, Any], wish: dict[str, Any], path: str
) -> None:
    here = f"{WORKFLOWS}/{workflow['id']}/storage-triggers"
    assert api.post(here, {"bucket": "rag-files"} | wish).paths == [path]
    made = api.post(here, {"bucket": "rag-files"}).json
    assert api.patch(f"{WORKFLOWS}/storage-triggers/{made['id']}", wish).paths == [path]


def test_what_a_filter_last_failed_at_is_shown_until_there_is_another(
    api: Gateway, db: TestDatabase, workflow: dict[str, Any]
) -> None:
    made = api.post(
        f"{WORKFLOWS}/{workflow['id']}/storage-triggers",
        {"bucket": "rag-files", "filter_expression": "trigger.payload.pages > 1"},
    ).json
    own = f"{WORKFLOWS}/storage-triggers/{made['id']}"
    db.owner.execute("update storagetrigger set last_error = 'no such key: pages', last_error_at = now()")
    assert api.get(own).json["last_error"] == "no such key: pages"
    assert api.patch(own, {"prefix": "x"}).json["last_error_at"] is not None
    changed = api.patch(own, {"filter_expression": "true"}).json
    assert (changed["last_error"], changed["last_error_at"]) == (None, None)


def test_a_bucket_has_a_bounded_number_of_triggers(
    api: Gateway, other: Gateway, workflow: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE_TRIGGERS", "2")
    shared.settings.forget()
    here = f"{WORKFLOWS}/{workflow['id']}/storage-triggers"
    assert [api.post(here, {"bucket": "rag-files"}).status for _ in range(3)] == [201, 201, 409]
    assert api.post(here, {"bucket": "user-uploads"}).status == 201
    theirs = other.post(WORKFLOWS, {"name": "x", "graph_config": GRAPH}).json
    assert other.post(f"{WORKFLOWS}/{theirs['id']}/storage-triggers", {"bucket": "rag-files"}).status == 201
