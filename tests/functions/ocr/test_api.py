"""The HTTP face of document reading: what it takes, what it refuses, and how it tells of what was read."""

from __future__ import annotations

import subprocess
import sys
import uuid
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
from tests.functions.gateway import Gateway
from tests.functions.ocr.paper import book, pdf

O = "/api/v1/ocr"  # noqa: E741
INVOICE = pdf("Invoice number: 4711\nDate: 2026-11-22\nTotal: 99.50\nThank you for your order of millstones.")


@pytest.fixture
def read(db: TestDatabase, gateway: Gateway) -> Callable[[], int]:
    """A worker: does whatever is due, parts too; how many jobs it claimed."""

    def work() -> int:
        reading, claimed = Reading(db.engine, storage, Settings()), 0
        while due := [str(row["id"]) for row in db.engine.call("select id from millrace.due_jobs(100, 0)")]:
            claimed += jobs.work(db.engine, RecordingDoorbell(), "ocr", due, reading.perform, lease_seconds=60)
        return claimed

    return work


@pytest.fixture
def place(gateway: Gateway, user: User) -> dict[str, str]:
    """A stored invoice of the tenant's."""
    key = f"{user.id}/0123/invoice.pdf"
    storage().put("ocr-documents", key, INVOICE, "application/pdf")
    return {"bucket": "ocr-documents", "key": key}


def test_a_stored_file_is_read_and_told_in_every_format(
    api: Gateway, place: dict[str, str], read: Callable[[], int]
) -> None:
    made = api.post(f"{O}/extract", place)
    assert made.status == 202, made
    id_ = made.json["id"]
    assert (made.json["status"], made.json["document"]) == ("queued", f"ocr-documents/{place['key']}")
    assert api.get(f"{O}/result/{id_}").problem["detail"].startswith("The job is queued")
    assert read() == 1
    status = api.get(f"{O}/status/{id_}").json
    assert (status["status"], status["progress"]) == ("completed", {"pages": 1, "pages_done": 1})
    result = api.get(f"{O}/result/{id_}").json
    assert result["document"]["pages"][0]["blocks"][0]["lines"][0]["text"] == "Invoice number: 4711"
    assert (result["confidence"], result["engine"], result["document_url"]) == (1, "text_layer", None)
    text = api.get(f"{O}/result/{id_}", format="text")
    assert text.headers["content-type"].startswith("text/plain")
    assert "Total: 99.50" in text.text
    assert api.get(f"{O}/result/{id_}", format="markdown").headers["content-type"].startswith("text/markdown")
    assert api.get(f"{O}/result/{id_}", format="tables").json["job_id"] == id_
    fields = {field["key"]: field for field in api.get(f"{O}/result/{id_}", format="fields").json["fields"]}
    assert (fields["invoice_number"]["value"], fields["total"]["normalised"]) == ("4711", "99.50")
    assert len(fields["total"]["box"]) == 4
    assert api.get(f"{O}/result/{id_}", format="csv", table=7).status == 404
    assert api.get(f"{O}/result/{id_}", format="pdf").status == 422


def test_the_same_key_makes_one_job(api: Gateway, place: dict[str, str]) -> None:
    headers = {"Idempotency-Key": "mine"}
    first = api.post(f"{O}/extract", place, headers=headers).json["id"]
    assert api.post(f"{O}/extract", place, headers=headers).json["id"] == first
    assert api.post(f"{O}/extract", {**place, "engine": "tesseract"}, headers=headers).status == 422
    assert len(api.get(f"{O}/jobs").json["items"]) == 1


def test_a_batch_is_taken_in_whole_or_not_at_all(api: Gateway, place: dict[str, str], other_user: User) -> None:
    made = api.post(f"{O}/batch", {"documents": [place, "https://example.com/a.pdf", {"url": "https://example.com/b"}]})
    assert (made.status, len(made.json["jobs"])) == (202, 3)
    theirs = {"bucket": "ocr-documents", "key": f"{other_user.id}/x.pdf"}
    assert api.post(f"{O}/batch", {"documents": [place, theirs]}).status == 404
    assert api.post(f"{O}/batch", {"documents": [place, "http://127.0.0.1/"]}).status == 422
    assert api.post(f"{O}/batch", {"documents": []}).status == 422
    assert api.post(f"{O}/batch", {"documents": [place] * 101}).status == 422
    assert len(api.get(f"{O}/jobs").json["items"]) == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"key": "x", "url": "https://example.com"},
        {"bucket": "elsewhere", "key": "x"},
        {"url": "http://169.254.169.254/latest/meta-data"},
        {"url": "file:///etc/passwd"},
        {"url": "https://example.com/a.pdf", "engine": "google_vision"},
        {"url": "https://example.com/a.pdf", "engine": "abacus"},
        {"url": "https://example.com/a.pdf", "options": {"text_layer": "perhaps"}},
        {"url": "https://example.com/a.pdf", "options": {"speed": "high"}},
    ],
)
def test_what_is_no_wish_is_refused(api: Gateway, body: dict[str, Any]) -> None:
    assert api.post(f"{O}/extract", body).problem["status"] == 422
    assert api.get(f"{O}/jobs").json["items"] == []


def test_anothers_file_and_anothers_landing_are_not_there(api: Gateway, user: User, other_user: User) -> None:
    for bucket, key in (
        ("ocr-documents", f"{other_user.id}/x.pdf"),
        ("ocr-documents", "x.pdf"),
        ("user-uploads", f"{user.id}/incoming/{uuid.uuid4()}"),
    ):
        assert api.post(f"{O}/extract", {"bucket": bucket, "key": key}).problem["status"] == 404


def test_the_old_words_choose_an_engine_and_the_reason_is_told(api: Gateway) -> None:
    body = {"document_url": "https://example.com/a.pdf", "metadata": {"layout": "table", "pages": 3}}
    routing = api.post(f"{O}/extract", body).json["routing"]
    assert (routing["asked"], routing["engine"]) == ("doctr", "auto")
    assert "doctr is not here" in routing["reason"]


def test_jobs_are_listed_by_pages_and_status(api: Gateway, place: dict[str, str], read: Callable[[], int]) -> None:
    ids = [api.post(f"{O}/extract", place).json["id"] for _ in range(3)]
    read()
    ids.append(api.post(f"{O}/extract", place).json["id"])
    first = api.get(f"{O}/jobs", limit=2).json
    rest = api.get(f"{O}/jobs", limit=5, cursor=first["next"]).json
    assert [job["id"] for job in first["items"] + rest["items"]] == ids[::-1]
    assert [job["id"] for job in api.get(f"{O}/jobs", status="queued").json["items"]] == ids[3:]
    assert api.get(f"{O}/jobs", status="completed").json["items"][0]["result"]["pages"] == 1


def test_a_job_is_cancelled(api: Gateway, place: dict[str, str], read: Callable[[], int]) -> None:
    id_ = api.post(f"{O}/extract", place).json["id"]
    assert api.post(f"{O}/cancel/{id_}").json["status"] == "cancelled"
    assert api.post(f"{O}/cancel/{id_}").status == 200
    assert read() == 0
    assert api.get(f"{O}/result/{id_}").problem["detail"] == "The job was cancelled."
    done = api.post(f"{O}/extract", place).json["id"]
    read()
    assert api.post(f"{O}/cancel/{done}").status == 409


def test_a_document_is_read_again_in_another_way(api: Gateway, place: dict[str, str], read: Callable[[], int]) -> None:
    first = api.post(f"{O}/extract", {**place, "options": {"tables": False}}).json["id"]
    read()
    again = api.post(f"{O}/process/{first}", {"engine": "text_layer"}).json
    assert (again["reprocesses"], again["routing"]["engine"]) == (first, "text_layer")
    read()
    [newest, _] = api.get(f"{O}/jobs").json["items"]
    assert (newest["id"], newest["status"]) == (again["id"], "completed")
    assert "reused_from" not in newest["result"]
    assert api.post(f"{O}/process/{first}", {"engine": "google_vision"}).status == 422


def test_what_cannot_be_read_says_why(api: Gateway, user: User, read: Callable[[], int]) -> None:
    key = f"{user.id}/broken.pdf"
    storage().put("ocr-documents", key, INVOICE[:100], "application/pdf")
    id_ = api.post(f"{O}/extract", {"key": key}).json["id"]
    read()
    status = api.get(f"{O}/status/{id_}").json
    assert (status["status"], status["error"]["kind"]) == ("failed", "damaged")
    assert status["error"]["message"] in api.get(f"{O}/result/{id_}").problem["detail"]


def test_a_document_too_large_for_one_answer_has_an_address(
    api: Gateway, user: User, read: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.ocr.results.ANSWER_BYTES", 2000)
    monkeypatch.setenv("MILLRACE_PAYLOAD_INLINE_BYTES", "1024")
    shared.settings.forget()
    key = f"{user.id}/book.pdf"
    storage().put("ocr-documents", key, book(3), "application/pdf")
    id_ = api.post(f"{O}/extract", {"key": key}).json["id"]
    read()
    told = api.get(f"{O}/result/{id_}").json
    assert told["document"] is None
    assert told["document_url"].startswith("http")
    assert api.get(f"{O}/result/{id_}", format="text").status == 200


def test_without_a_worker_nothing_is_taken_in(
    api: Gateway, place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_CAPABILITIES", "")
    shared.settings.forget()
    refusal = api.post(f"{O}/extract", place).problem
    assert refusal["status"] == 503
    assert "make install-ocr" in refusal["remedy"]


def test_a_tenant_has_a_bounded_number_of_jobs_under_way(
    api: Gateway, place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_JOBS_OPEN", "2")
    shared.settings.forget()
    assert [api.post(f"{O}/extract", place).status for _ in range(3)] == [202, 202, 429]


def test_the_face_needs_none_of_the_heavy_parts() -> None:
    """They are not installed where it runs: importing one would stop its cold start."""
    heavy = {"numpy", "cv2", "onnxruntime", "pypdfium2", "PIL", "rapidocr", "tesserocr"}
    script = f"import sys, functions.ocr.api; print(sorted({heavy!r} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
