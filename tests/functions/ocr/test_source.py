"""A document at an address: downloaded once through the guarded client, bounded, and read like any other."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

import shared.settings
from shared import payloads
from tests.functions.ocr.conftest import Desk
from tests.functions.ocr.paper import book


class Site(http.server.ThreadingHTTPServer):
    """Serves one document, counts who asks, and answers as it is told."""

    document = b""
    status = 200
    asked = 0
    daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/book.pdf"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("content-type", "application/pdf; charset=binary")
        self.send_header("content-length", str(len(self.server.document)))
        self.end_headers()
        self.wfile.write(self.server.document)

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with Site(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("MILLRACE_OUTBOUND_ALLOW", f"127.0.0.1:{server.server_port}")
        shared.settings.forget()
        yield server
        server.shutdown()
        thread.join()
    shared.settings.forget()


def test_a_long_document_is_downloaded_once_for_all_its_parts(desk: Desk, site: Site) -> None:
    site.document = book(9)
    id_ = desk.make({"url": site.url})
    desk.work(id_, ocr_part_pages=2)
    row = desk.row(id_)
    assert (row["status"], row["parts"], site.asked) == ("completed", 5, 1)
    assert desk.ocr_row(id_)["document_url"] == site.url
    [first, *_] = desk.db.owner.execute("select input from millrace.job where parent_id is not null").fetchall()
    assert payloads.is_reference(first["input"]["document"])


@pytest.mark.parametrize(("status", "kind", "again"), [(404, "download", False), (503, "download", True)])
def test_a_server_that_refuses_is_told_and_one_that_may_not_next_time_is_asked_again(
    desk: Desk, site: Site, status: int, kind: str, again: bool
) -> None:
    site.status = status
    row = desk.read({"url": site.url})
    assert (row["status"], row["error"]["kind"]) == ("queued" if again else "failed", kind)
    assert str(status) in row["error"]["message"]
    if again:
        site.status, site.document = 200, book(1)
        desk.pass_time()
        desk.work(str(row["id"]))
        assert desk.row(str(row["id"]))["status"] == "completed"


def test_a_document_that_is_too_large_is_not_downloaded_whole(desk: Desk, site: Site) -> None:
    site.document = b"%PDF-1.7" + b"\0" * 100_000
    id_ = desk.make({"url": site.url})
    desk.work(id_, ocr_document_bytes=20_000)
    assert (desk.row(id_)["status"], desk.row(id_)["error"]["kind"]) == ("failed", "too_large")
    stored = desk.make(desk.store(site.document))
    desk.work(stored, ocr_document_bytes=20_000)
    assert (desk.row(stored)["status"], desk.row(stored)["error"]["kind"]) == ("failed", "too_large")


def test_a_server_that_is_not_there_is_asked_again(desk: Desk, site: Site) -> None:
    url = site.url
    site.shutdown()
    site.server_close()
    row = desk.read({"url": url})
    assert (row["status"], row["error"]["kind"]) == ("queued", "download")
