"""What ``millrace files`` sends and fetches, on lines that break."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.cli.exits import Failure
from infra.cli.transfer import fetch, send, sha256
from shared.storage.supabase import TUS_BYTES, SupabaseStorage
from tests.supabase_storage import SupabaseStorageServer


class Line:
    """A store that answers as the test says, one status after the other, and keeps what it was sent."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.content = b""
        line = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                line.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(line.statuses.pop(0))
                self.send_header("etag", f'"{len(line.bodies)}"')
                self.send_header("content-length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(line.content) + line.statuses.pop(0)))
                self.end_headers()
                self.wfile.write(line.content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(700_000))
    return path


def ticket(file: Path, **more: Any) -> dict[str, Any]:
    return {"method": "PUT", "size": file.stat().st_size, "headers": {}, "parts": [], "metadata": {}, **more}


def test_a_part_that_failed_is_sent_again_and_the_bar_goes_back(line: Line, file: Path) -> None:
    line.statuses = [200, 503, 500, 200]
    seen: list[int] = []
    parts = [{"url": line.url, "size": 500_000}, {"url": line.url, "size": 200_000}]
    assert send(ticket(file, parts=parts), file, seen.append) == ['"1"', '"4"']
    assert b"".join([line.bodies[0], line.bodies[3]]) == file.read_bytes()
    assert sum(seen) == 700_000
    assert min(seen) == -200_000


@pytest.mark.parametrize(("statuses", "sent"), [([403], 1), ([500, 502, 503], 3)])
def test_what_is_refused_is_said(line: Line, file: Path, statuses: list[int], sent: int) -> None:
    line.statuses = list(statuses)
    with pytest.raises(Failure, match=f"refuses the file \\({statuses[-1]}\\)"):
        send(ticket(file, url=line.url), file, lambda _: None)
    assert len(line.bodies) == sent


def test_an_attempt_whose_answer_was_lost_was_one(line: Line, file: Path) -> None:
    line.statuses = [500, 412]
    assert send(ticket(file, url=line.url), file, lambda _: None) == []


def test_a_large_file_goes_to_supabase_by_tus(tmp_path: Path) -> None:
    server = SupabaseStorageServer(("user-uploads",))
    store = SupabaseStorage(server.url, server.key)
    path = tmp_path / "file"
    path.write_bytes(os.urandom(TUS_BYTES + 5))
    way = store.way_in("user-uploads", "in/1", size=TUS_BYTES + 5, media_type="application/zip", part_bytes=TUS_BYTES)
    seen: list[int] = []
    given = ticket(
        path,
        method="TUS",
        url=way.urls[0],
        headers=way.headers,
        metadata=way.metadata,
        part_size=way.part_bytes,
    )
    assert send(given, path, seen.append) == []
    assert seen == [TUS_BYTES, 5]
    assert store.get("user-uploads", "in/1") == path.read_bytes()
    with pytest.raises(Failure, match="refuses"):
        send(given | {"headers": {"x-signature": "forged"}}, path, seen.append)
    store.close()
    server.close()


def test_a_download_is_there_whole_or_not_at_all_and_replaces_nothing(line: Line, tmp_path: Path) -> None:
    line.content = b"content"
    target = tmp_path / "target"
    line.statuses = [5, 0]  # bytes that are promised and do not come
    with pytest.raises(Failure, match="was not written"):
        fetch(line.url, target, lambda _: None)
    assert list(tmp_path.iterdir()) == []
    assert fetch(line.url, target, lambda _: None) == 7
    with pytest.raises(Failure, match="there already"):
        fetch(line.url, target, lambda _: None)
    assert target.read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_hash_is_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert sha256(tmp_path / "empty").startswith("e3b0c44298fc1c14")
