"""A storage trigger names a bucket of ours and what of it starts the workflow."""

from __future__ import annotations

from typing import Any

from tests.functions.gateway import Gateway

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
