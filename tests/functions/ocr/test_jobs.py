"""A job of kind ``ocr``: what it leaves behind, whoever made it, and what becomes of it when things go wrong."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from functions.ocr import reader
from functions.ocr.reading import Stopped
from shared import jobs, payloads
from shared.errors import Unavailable
from tests.cluster import User
from tests.functions.ocr.conftest import Desk
from tests.functions.ocr.paper import book, pdf


class Dead(BaseException):
    """The worker is gone, in the middle."""


def test_a_read_document_is_in_every_row_and_in_the_jobs_result(desk: Desk) -> None:
    place = desk.store(pdf("Invoice number: 4711\nA page with quite enough letters"))
    row = desk.read(place)
    id_ = str(row["id"])
    assert row["status"] == "completed"
    assert "Invoice number: 4711" in row["result"]["text"]
    assert row["result"]["job_id"] == id_
    assert row["result"]["pages"][0]["source"] == "text_layer"
    assert "structured" not in row["result"]
    ocr = desk.ocr_row(id_)
    assert (ocr["status"], ocr["engine"], ocr["document_url"]) == (
        "completed", "text_layer", f"ocr-documents/{place['key']}",
    )  # fmt: skip
    assert ocr["result"]["pages"] == 1
    assert ocr["result"]["routing"]["engine"] == "auto"
    assert ocr["completed_at"] is not None
    kept = desk.result(id_)
    assert "Invoice number: 4711" in kept["extracted_text"]
    assert kept["confidence_score"] == 1
    document = payloads.resolve(desk.storage, desk.user.id, kept["structured_data"])
    assert document["pages"][0]["blocks"]
    used = desk.db.owner.execute("select * from public.toolusagelog").fetchall()
    assert [(line["tool_type"], line["tool_id"], line["status"]) for line in used] == [
        ("ocr", "text_layer", "completed")
    ]
    assert desk.count("millrace.ocr_page") == 0


def test_a_job_has_its_row_as_soon_as_it_is_made(desk: Desk) -> None:
    id_ = desk.make({"url": "https://example.com/a.pdf"}, asked={"engine": "tesseract"})
    row = desk.ocr_row(id_)
    assert (row["status"], row["engine"], row["document_url"], row["owner_id"]) == (
        "queued", "tesseract", "https://example.com/a.pdf", desk.user.id,
    )  # fmt: skip


def test_a_stored_files_job_may_name_it_without_more(desk: Desk) -> None:
    place = desk.store(book(1))
    id_ = desk.db.owner.execute(
        "select millrace.enqueue_job(%s, 'ocr', %s, 'k')::text as id", [desk.user.id, place]
    ).fetchone()
    assert id_ is not None
    desk.work(id_["id"])
    assert desk.ocr_row(id_["id"])["status"] == "completed"


def test_a_long_document_is_read_by_parts_in_order(desk: Desk) -> None:
    id_ = desk.make(desk.store(book(10)))
    desk.work(id_, ocr_part_pages=3)
    row = desk.row(id_)
    assert (row["status"], row["parts"]) == ("completed", 4)
    assert [f"page number {n} of" in text for n, text in enumerate(row["result"]["text"].split("\f"), 1)] == [True] * 10
    assert desk.count("public.ocrjob") == 1
    assert desk.count("public.toolusagelog") == 1
    assert desk.count("millrace.ocr_page") == 0


def test_a_killed_workers_successor_begins_at_the_page_where_the_kill_struck(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a part and in a short document alike: no page is read twice."""
    seen: list[int] = []
    real = reader.read

    def read(*given: Any, progress: Any, **named: Any) -> Any:
        def told(page: Any, number: int, of: int) -> None:
            seen.append(page.number)
            progress(page, number, of)
            if len(seen) in (3, 7, 8):
                raise Dead

        return real(*given, progress=told, **named)

    monkeypatch.setattr(reader, "read", read)
    id_ = desk.make(desk.store(book(10)))
    rung = {id_}
    for _ in range(20):
        try:
            desk.work(*sorted(rung), ocr_part_pages=5)
        except Dead:
            desk.pass_time()
        rung = {str(row["id"]) for row in desk.database.call("select id from millrace.due_jobs(100, 0)")}
    assert desk.row(id_)["status"] == "completed"
    assert sorted(seen) == list(range(1, 11))


def test_what_was_read_before_is_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch, other_user: User) -> None:
    data = book(2)
    first = desk.read(desk.store(data))
    monkeypatch.setattr(reader, "read", None)
    second = desk.read(desk.store(data, "the-same.pdf"))
    assert second["result"]["reused_from"] == str(first["id"])
    assert second["result"]["job_id"] == str(second["id"])
    assert second["result"]["text"] == first["result"]["text"]
    assert desk.result(str(second["id"]))["extracted_text"] == desk.result(str(first["id"]))["extracted_text"]
    third = desk.read(desk.store(data), options={"tables": False})  # another way: would be read
    assert third["status"] == "queued"
    theirs = Desk(desk.db, other_user, desk.storage)
    assert theirs.read(theirs.store(data))["status"] == "queued"  # another owner: would be read


def test_two_jobs_for_one_file_at_once_read_it_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a stored file has a job of its own and starts a workflow that reads it."""
    place = desk.store(book(2))
    first, second = desk.make(place), desk.make(place)
    seen = []
    real = reader.read

    def read(*given: Any, **named: Any) -> Any:
        seen.append(given)
        desk.work(second)
        assert (desk.row(second)["status"], desk.row(second)["attempts"]) == ("queued", 0)
        return real(*given, **named)

    monkeypatch.setattr(reader, "read", read)
    desk.work(first)
    desk.pass_time()
    desk.work(second)
    assert desk.row(second)["result"]["reused_from"] == first
    assert len(seen) == 1


def test_a_large_file_has_fewer_parts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.ocr.reading.FETCHED_BYTES", 0)
    id_ = desk.make(desk.store(book(20)))
    desk.work(id_, ocr_part_pages=1)
    assert (desk.row(id_)["status"], desk.row(id_)["parts"]) == ("completed", 7)  # of three pages, at most eight


def test_what_gets_further_each_time_is_not_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a function's time is over before its pages are."""
    real = reader.read

    def read(*given: Any, progress: Any, **named: Any) -> Any:
        def told(*page: Any) -> None:
            progress(*page)
            raise Dead

        return real(*given, progress=told, **named)

    id_ = desk.make(desk.store(book(8)))
    with monkeypatch.context() as patch:
        patch.setattr(reader, "read", read)
        for _ in range(8):
            with pytest.raises(Dead):
                desk.work(id_, ocr_part_pages=50)
            desk.pass_time()
    desk.work(id_, ocr_part_pages=50)
    assert desk.row(id_)["status"] == "completed"


@pytest.mark.parametrize(
    ("document", "kind", "said"),
    [
        (b"", "empty", "empty"),
        (b"plain text is no document", "unsupported", ""),
        (book(1)[:200], "damaged", ""),
    ],
)
def test_what_cannot_be_read_fails_with_a_reason(desk: Desk, document: bytes, kind: str, said: str) -> None:
    row = desk.read(desk.store(document))
    assert (row["status"], row["error"]["kind"]) == ("failed", kind)
    assert said in row["error"]["message"].lower()
    ocr = desk.ocr_row(str(row["id"]))
    assert (ocr["status"], ocr["error_message"]) == ("failed", row["error"]["message"])
    assert desk.count("public.ocrresult") == 0
    [line] = desk.db.owner.execute("select status, error_message from public.toolusagelog").fetchall()
    assert line == {"status": "failed", "error_message": row["error"]["message"]}


def test_a_file_that_vanished_or_is_anothers_is_not_there(desk: Desk, other_user: User) -> None:
    gone = {"bucket": "ocr-documents", "key": f"{desk.user.id}/gone.pdf"}
    theirs = desk.store(book(1), user=other_user)
    landed = {"bucket": "user-uploads", "key": f"{desk.user.id}/incoming/{uuid.uuid4()}"}
    for place in (gone, theirs, landed, {"bucket": "no-bucket", "key": gone["key"]}, {}):
        row = desk.read(place)
        assert (row["status"], row["error"]["kind"]) == ("failed", "not_found")


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.pdf", "http://169.254.169.254/latest", "file:///etc/passwd"])
def test_an_address_that_may_not_be_called_is_not(desk: Desk, url: str) -> None:
    row = desk.read({"url": url})
    assert (row["status"], row["error"]["kind"]) == ("failed", "blocked_address")


def test_a_store_that_does_not_answer_is_asked_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(desk.storage, "get", away)
        id_ = desk.make(desk.store(book(1)))
        desk.work(id_)
    assert desk.row(id_)["status"] == "queued"
    desk.pass_time()
    desk.work(id_)
    assert desk.row(id_)["status"] == "completed"


def test_a_cancelled_job_stops_at_the_next_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = desk.db.as_user(desk.user)
    id_ = desk.make(desk.store(book(4)))
    seen: list[int] = []
    stopped = threading.Event()
    real = reader.read

    def read(*given: Any, progress: Any, **named: Any) -> Any:
        def told(page: Any, number: int, of: int) -> None:
            seen.append(page.number)
            if len(seen) == 2:
                jobs.cancel(caller, desk.bell, uuid.UUID(id_))
            try:
                progress(page, number, of)
            except Stopped:
                stopped.set()
                raise

        return real(*given, progress=told, **named)

    monkeypatch.setattr(reader, "read", read)
    desk.work(id_)
    assert seen == [1, 2]
    assert stopped.is_set()
    assert (desk.row(id_)["status"], desk.ocr_row(id_)["status"]) == ("cancelled", "cancelled")
    assert desk.count("millrace.ocr_page") == 0


def test_progress_is_seen_while_it_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = desk.db.as_user(desk.user)
    id_ = desk.make(desk.store(book(6)))
    seen = []
    real = reader.read

    def read(*given: Any, progress: Any, **named: Any) -> Any:
        def told(*page: Any) -> None:
            progress(*page)
            seen.append(jobs.read(caller, "ocr", uuid.UUID(id_)).progress)

        return real(*given, progress=told, **named)

    monkeypatch.setattr(reader, "read", read)
    desk.work(id_, ocr_part_pages=2)
    assert seen == [{"pages": 6, "pages_done": done} for done in range(1, 7)]


def test_a_file_replaced_while_it_is_read_is_noticed(desk: Desk) -> None:
    place = desk.store(book(6))
    id_ = desk.make(place)
    jobs.work(desk.database, desk.bell, "ocr", [id_], desk.reading(ocr_part_pages=2).perform, lease_seconds=60)
    desk.store(book(7))
    rung = [id_ for _, id_, _ in desk.bell.rung]
    desk.bell.rung.clear()
    desk.work(*rung)
    assert (desk.row(id_)["status"], desk.row(id_)["error"]["kind"]) == ("failed", "changed")
    assert desk.row(id_)["error"]["message"].startswith("Pages 1 to 2")


def test_large_documents_leave_small_rows(desk: Desk) -> None:
    lines = "\n".join(f"line {n} with some words that make it longer" for n in range(45))
    id_ = desk.make(desk.store(pdf(*[lines] * 12)))
    desk.work(id_, ocr_page_bytes=1024, ocr_output_bytes=16 * 1024, payload_inline_bytes=1024)
    row = desk.row(id_)
    assert payloads.is_reference(row["result"])
    assert payloads.is_reference(desk.result(id_)["structured_data"])
    output = payloads.resolve(desk.storage, desk.user.id, row["result"])
    assert output["left_out"] == ["markdown", "text"]
    assert len(output["pages"]) == 12


def test_an_engine_that_is_not_here_fails_the_job_and_says_so(desk: Desk) -> None:
    row = desk.read(desk.store(book(1)), asked={"engine": "google_vision"})
    assert (row["status"], row["error"]["kind"]) == ("failed", "no_engine")
    assert "google_vision" in row["error"]["message"]
    hinted = desk.read(desk.store(book(1)), asked={"metadata": {"heavy_pdf_or_image": True}})
    assert hinted["status"] == "completed"
    assert "google_vision is not here" in hinted["result"]["routing"]["reason"]
