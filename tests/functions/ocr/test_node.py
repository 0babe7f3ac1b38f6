"""A run whose step reads a document: the job is handed out, done, and its result is the step's output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shared.settings
from functions.ocr.reading import Reading, Settings
from shared import jobs
from shared.doorbell import RecordingDoorbell
from shared.storage import storage
from tests.cluster import TestDatabase, User
from tests.functions.conftest import Bells
from tests.functions.gateway import Gateway
from tests.functions.ocr.paper import pdf

W = "/api/v1/workflows"
PAPER = "Invoice number: 4711\nDate: 2026-11-22\nTotal: 99.50\nThank you for your order of millstones."


@pytest.fixture
def read(db: TestDatabase, gateway: Gateway, tmp_path: Path) -> Callable[..., None]:
    """A worker for documents; afterwards every run that waits is rung for."""

    def work(bells: Bells, **settings: Any) -> None:
        reading = Reading(db.engine, storage, Settings(**settings))
        due = [str(row["id"]) for row in db.engine.call("select id from millrace.due_jobs(100, 0)")]
        bell = RecordingDoorbell()
        jobs.work(db.engine, bell, "ocr", due, reading.perform, lease_seconds=60)
        shared.doorbell.doorbell().ring("workflow-run", [id_ for queue, id_, _ in bell.rung if queue == "workflow-run"])

    return work


def start(api: Gateway, config: dict[str, Any]) -> str:
    graph = {
        "nodes": [
            {"node_id": "read", "node_type": "ocr_switch", "config": config},
            {"node_id": "size", "node_type": "set_variable",
             "config": {"variable_name": "letters", "variable_value": "{{ size(nodes.read.output.text) }}"}},
        ],
        "edges": [{"from": "read", "to": "size"}],
    }  # fmt: skip
    made = api.post(W, {"name": "read", "graph_config": graph})
    assert made.status == 201, made
    run: str = api.post(f"{W}/{made.json['id']}/run").json["id"]
    return run


@pytest.mark.parametrize("inline", [64 * 1024, 1024], ids=["in the row", "by reference"])
def test_what_was_read_is_the_steps_output(
    api: Gateway, user: User, work: Callable[[], None], read: Callable[..., None], bells: Bells, inline: int
) -> None:
    key = f"{user.id}/invoice.pdf"
    storage().put("ocr-documents", key, pdf(PAPER), "application/pdf")
    run = start(api, {"key": key})
    work()
    read(bells, payload_inline_bytes=inline)
    work()
    status = api.get(f"{W}/executions/{run}").json
    assert status["status"] == "completed", status
    steps = api.get(f"{W}/executions/{run}/steps").json["items"]
    [output] = [step["output"] for step in steps if step["node_id"] == "read"]
    assert "Total: 99.50" in output["text"]
    assert output["page_count"] == 1
    assert (output["values"]["invoice_number"], output["values"]["total"]) == ("4711", "99.50")
    [listed] = api.get("/api/v1/ocr/jobs").json["items"]
    assert listed["id"] == output["job_id"]
    assert api.get(f"/api/v1/ocr/status/{output['job_id']}").json["execution_id"] == run


def test_a_document_that_cannot_be_read_fails_the_step_with_its_reason(
    api: Gateway, user: User, work: Callable[[], None], read: Callable[..., None], bells: Bells
) -> None:
    run = start(api, {"key": f"{user.id}/gone.pdf"})
    work()
    read(bells)
    work()
    status = api.get(f"{W}/executions/{run}").json
    assert (status["status"], "is not there" in status["error_message"]) == ("failed", True)


def test_cancelling_the_run_cancels_the_job(api: Gateway, work: Callable[[], None]) -> None:
    run = start(api, {"url": "https://example.com/a.pdf"})
    work()
    assert api.post(f"{W}/executions/{run}/cancel").status in (200, 202)
    [job] = api.get("/api/v1/ocr/jobs").json["items"]
    assert job["status"] == "cancelled"


def test_cancelling_the_job_fails_the_step(api: Gateway, work: Callable[[], None], bells: Bells) -> None:
    run = start(api, {"url": "https://example.com/a.pdf"})
    work()
    [job] = api.get("/api/v1/ocr/jobs").json["items"]
    api.post(f"/api/v1/ocr/cancel/{job['id']}")
    work()
    assert api.get(f"{W}/executions/{run}").json["status"] == "failed"
