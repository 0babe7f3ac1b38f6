"""A document that is stored where documents are read makes one job, and only where somebody would do it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

import shared.database
import shared.settings
from functions.storage_intake import jobs, worker
from functions.storage_intake.change import Change
from shared.payloads import locate
from shared.storage import BUCKETS
from tests.functions.storage_intake.shelf import Shelf
from tests.intake import Context, make_workflow


def documents(shelf: Shelf, *keys: str, **changes: Any) -> str:
    """S3's message about these objects in ``ocr-documents``."""
    message = json.loads(shelf.message(*keys, **changes))
    for record in message["Records"]:
        record["s3"]["bucket"]["name"] = "millrace-prod-123456789012-ocr-documents"
    return json.dumps(message)


def made(shelf: Shelf) -> list[dict[str, Any]]:
    return shelf.db.owner.execute("select * from millrace.job order by id").fetchall()


def test_a_document_makes_one_job_in_the_statement_that_starts_its_workflows(shelf: Shelf) -> None:
    shelf.trigger(bucket="ocr-documents")
    shelf.jobs = {"ocr-documents": "ocr"}
    message = documents(shelf, shelf.mine("a.pdf"), sequencer="0A")
    assert shelf.start(message, message) == []
    assert shelf.start(message) == []
    [job], [run] = made(shelf), shelf.runs()
    key = shelf.mine("a.pdf")
    assert (job["owner_id"], job["kind"], job["status"]) == (shelf.user.id, "ocr", "queued")
    assert job["input"] == {"document": {"bucket": "ocr-documents", "key": key}}
    assert job["idempotency_key"] == f"object/ocr-documents/{key}/0A"
    assert shelf.bell.rung == [("workflow-run", str(run["id"]), 0), ("ocr", str(job["id"]), 0)]
    assert shelf.start(documents(shelf, key, sequencer="0B")) == []
    assert len(made(shelf)) == 2, "written anew, read anew"


def test_a_filter_is_the_trigger_s_and_not_the_job_s(shelf: Shelf) -> None:
    shelf.trigger(bucket="ocr-documents", filter_expression="false")
    shelf.jobs = {"ocr-documents": "ocr"}
    assert shelf.start(documents(shelf, shelf.mine("a.pdf"))) == []
    assert shelf.runs() == []
    assert len(made(shelf)) == 1


def test_a_long_key_is_hashed(shelf: Shelf) -> None:
    shelf.jobs = {"ocr-documents": "ocr"}
    names = ["x" * 900, "x" * 899 + "y"]
    assert shelf.start(documents(shelf, *(shelf.mine(name) for name in names))) == []
    keys = {job["idempotency_key"] for job in made(shelf)}
    assert len(keys) == 2
    assert all(len(key) == len("object/") + 64 for key in keys)


@pytest.mark.parametrize("folder", ["loose.pdf", "nobody/a.pdf", f"{uuid.UUID(int=7)}/a.pdf"])
def test_a_document_in_nobody_s_folder_makes_no_job_and_no_trouble(shelf: Shelf, folder: str) -> None:
    shelf.jobs = {"ocr-documents": "ocr"}
    assert shelf.start(documents(shelf, folder, shelf.mine("a.pdf"))) == []
    assert [job["owner_id"] for job in made(shelf)] == [shelf.user.id]


def test_other_buckets_make_no_job(shelf: Shelf) -> None:
    shelf.jobs = {"ocr-documents": "ocr"}
    assert shelf.start(shelf.message(shelf.mine("a.pdf"))) == []
    assert made(shelf) == []


@pytest.mark.parametrize(("capabilities", "count"), [("", 0), ("code_exec", 0), ("code_exec,ocr", 1)])
def test_only_what_is_deployed_is_asked_to_do_it(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capabilities: str, count: int
) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", shelf.db.url("millrace_engine"))
    monkeypatch.setenv("MILLRACE_CAPABILITIES", capabilities)
    shared.settings.forget()
    shared.database.database.cache_clear()
    monkeypatch.setattr(worker, "doorbell", lambda: shelf.bell)
    event = {"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": documents(shelf, shelf.mine("a.pdf"))}]}
    assert worker.handler(event, Context()) == {"batchItemFailures": []}
    assert len(made(shelf)) == count
    shared.database.database().close()
    shared.database.database.cache_clear()
    shared.settings.forget()


def test_the_table_names_buckets_of_ours() -> None:
    assert set(jobs.KINDS) <= set(BUCKETS)


def test_what_is_the_system_s_own_is_the_same_here_and_in_sql(shelf: Shelf) -> None:
    run, owner = uuid.uuid4(), shelf.user.id
    payloads, value = locate(owner, "0" * 64)
    cases = {
        (payloads, value): True,
        (payloads, f"{value}0"): False,
        ("rag-files", value): False,
        ("user-uploads", f"incoming/{owner}/{run}"): True,
        ("user-uploads", f"{owner}/incoming/a.txt"): False,
        ("code-executions", f"{owner}/{run}/chart.png"): True,
        ("code-executions", f"{owner}/notes/chart.png"): False,
        ("ocr-documents", f"{owner}/{run}/a.pdf"): False,
    }
    for (bucket, key), expected in cases.items():
        change = Change(bucket, key, "1", False, 1, None, None, "ObjectCreated:Put", "2026-03-11T17:02:42.114Z")
        assert change.is_own is expected, (bucket, key)
        row = shelf.db.owner.execute("select millrace.is_own_object(%s, %s) as own", [bucket, key]).fetchone()
        assert row == {"own": expected}, (bucket, key)


def test_what_the_system_keeps_for_itself_starts_nothing(shelf: Shelf) -> None:
    for bucket in BUCKETS:
        shelf.trigger(bucket=bucket, events="both")
    own = [("user-uploads", f"incoming/{shelf.user.id}/x"), ("code-executions", shelf.mine(f"{uuid.uuid4()}/a.csv"))]
    for bucket, key in own:
        message = json.loads(shelf.message(key))
        message["Records"][0]["s3"]["bucket"]["name"] = bucket
        assert shelf.start(json.dumps(message)) == []
    assert shelf.runs() == []
    other = make_workflow(shelf.db, shelf.user)
    shelf.trigger(workflow_id=other, prefix="incoming/")
    assert shelf.start(shelf.message(shelf.mine("incoming/a.txt"))) == []
    assert other in {run["workflow_id"] for run in shelf.runs()}, "the owner's own folder of that name is the owner's"
