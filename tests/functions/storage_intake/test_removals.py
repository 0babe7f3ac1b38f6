"""A workflow that asks for removals hears when an object goes, and not of versions that end."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.cluster import TestDatabase
from tests.functions.storage_intake.shelf import Shelf, changes
from tests.intake import event, make_workflow


@pytest.fixture
def shelf(db: TestDatabase, make_user: Any) -> Shelf:
    """Of the tenant whom AWS's messages are about."""
    user = make_user(id=uuid.UUID("7b5e6c1a-4a0e-4a6f-9f53-2f1d8c0b7e11"))
    return Shelf(db, user, make_workflow(db, user))


def body(name: str) -> str:
    return str(event(name)["Records"][0]["body"])


REMOVALS = ("sqs_s3_delete_marker_created", "sqs_s3_lifecycle_delete_marker", "sqs_s3_object_removed")


@pytest.mark.parametrize("name", REMOVALS)
def test_an_object_that_goes_starts_who_asked_for_it(shelf: Shelf, name: str) -> None:
    trigger = shelf.trigger(events="removed", suffix=".pdf")
    shelf.trigger(events="created")
    told = json.loads(body(name))["Records"][0]
    assert shelf.start(body(name)) == []
    [run] = shelf.runs()
    assert run["trigger_data"] == {
        "trigger_type": "storage",
        "storage_trigger_id": str(trigger),
        "event": told["eventName"],
        "timestamp": told["eventTime"],
        "payload": {
            "bucket": "user-uploads",
            "key": shelf.mine("in/Rechnung März 2026 (100%).pdf"),
            "size": None,
            "etag": None,
            "version_id": told["s3"]["object"].get("versionId"),
        },
    }


def test_a_version_that_is_deleted_is_no_object_that_goes(shelf: Shelf) -> None:
    """S3 tells it when a noncurrent version ends, and the object is still there."""
    shelf.trigger(events="both")
    assert shelf.start(body("sqs_s3_version_deleted")) == []
    assert shelf.runs() == []


def test_both_are_heard_by_who_asked_for_both_and_each_once(shelf: Shelf) -> None:
    shelf.trigger(events="both")
    created, removed = body("sqs_s3_object_created"), body("sqs_s3_delete_marker_created")
    assert shelf.start(removed, created, created, removed) == []
    assert shelf.start(removed, created) == []
    assert sorted(run["trigger_data"]["event"] for run in shelf.runs()) == [
        "ObjectCreated:Put",
        "ObjectRemoved:DeleteMarkerCreated",
    ]


def test_creations_alone_are_what_a_trigger_hears_of_unless_it_says(shelf: Shelf) -> None:
    shelf.trigger()
    assert shelf.start(*(body(name) for name in REMOVALS)) == []
    assert shelf.runs() == []


def test_removals_without_a_sequencer_are_told_apart_by_marker_or_time(shelf: Shelf) -> None:
    seen = set()
    for name in REMOVALS:
        message = json.loads(body(name))
        del message["Records"][0]["s3"]["object"]["sequencer"]
        [change] = changes(json.dumps(message))
        seen.add(change.sequencer)
    assert len(seen) == 3


def test_a_removal_makes_no_job(shelf: Shelf) -> None:
    shelf.jobs = {"user-uploads": "ocr"}
    assert shelf.start(body("sqs_s3_delete_marker_created")) == []
    assert shelf.db.owner.execute("select from millrace.job").fetchall() == []
