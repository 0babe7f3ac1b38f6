"""Stored objects over HTTP on this machine: uploads whole and in parts, ranges, and little memory for large ones."""

from __future__ import annotations

import hashlib
import os
import socket
import time
import tracemalloc
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.local.http import SPOOL_BYTES
from infra.local.objects import MAX_OBJECT_BYTES, Objects
from shared.storage import DirectoryStorage
from shared.storage.port import LEAST_PART_BYTES
from tests.infra.local.conftest import Workbench, until

BUCKET, KEY = "user-uploads", "someone/a folder/é?&=+.txt"
MEGABYTE = 1024 * 1024


class Served:
    """A directory store, and the address it is served at."""

    def __init__(self, bench: Workbench, root: Path) -> None:
        self.root = root
        root.mkdir()
        store = DirectoryStorage(root, b"s" * 32)
        objects = bench.do(lambda: Objects(store))
        gateway = bench.gateway({}, objects=objects)
        self.port = gateway.server.port
        self.gateway = gateway
        self.stop = objects.stop
        self.store = DirectoryStorage(root, b"s" * 32, url=f"http://127.0.0.1:{self.port}")

    def left(self) -> list[Path]:
        """Files that are no object: what was begun and not finished."""
        return [path for path in self.root.rglob("*") if path.is_file() and path.parent.parent.name != BUCKET]


@pytest.fixture
def served(bench: Workbench, tmp_path: Path) -> Iterator[Served]:
    served = Served(bench, tmp_path / "objects")
    yield served
    served.stop()


def request(url: str, size: int) -> bytes:
    """The head of a request that sends so many bytes."""
    parts = urllib.parse.urlsplit(url)
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: {size}"
    return f"{head}\r\n\r\n".encode()


@pytest.mark.parametrize("size", [0, 1, SPOOL_BYTES - 1, SPOOL_BYTES, SPOOL_BYTES + 1, 3 * MEGABYTE + 7])
def test_what_is_sent_is_what_is_got(served: Served, size: int) -> None:
    data = os.urandom(size)
    way = served.store.way_in(BUCKET, KEY, size=size, media_type="text/plain", sha256=hashlib.sha256(data).hexdigest())
    sent = httpx.put(way.urls[0], content=data, headers=dict(way.headers))
    assert sent.status_code == 200, sent.text
    answer = httpx.get(served.store.signed_url(BUCKET, KEY, filename="é.txt"))
    assert answer.content == data
    assert answer.headers["etag"] == sent.headers["etag"]
    assert answer.headers["content-disposition"].startswith('attachment; filename="e.txt"')
    assert "sandbox" in answer.headers["content-security-policy"]
    assert httpx.put(way.urls[0], content=data, headers=dict(way.headers)).status_code == 412
    head = httpx.head(served.store.signed_url(BUCKET, KEY))
    assert (head.headers["content-length"], head.content) == (str(size), b"")
    assert served.left() == []


def test_what_was_not_announced_is_refused_with_the_reason(served: Served) -> None:
    way = served.store.way_in(BUCKET, KEY, size=4, media_type="text/plain", sha256=hashlib.sha256(b"four").hexdigest())
    typed = dict(way.headers)
    for data, headers, status, said in [
        (b"fives", typed, 413, "at most 4"),
        (b"two", typed, 422, "exactly 4"),
        (b"fore", typed, 422, "SHA-256"),
        (b"four", {"content-type": "text/html"}, 422, "text/plain only"),
    ]:
        answer = httpx.put(way.urls[0], content=data, headers=headers)
        assert answer.status_code == status
        assert said in answer.json()["detail"]
    assert served.store.list(BUCKET) == []
    with socket.create_connection(("127.0.0.1", served.port)) as large:
        large.sendall(request(way.urls[0], MAX_OBJECT_BYTES + 1))
        assert large.recv(100).startswith(b"HTTP/1.1 413")
    for url in (way.urls[0].replace("four", "x") + "0", f"http://127.0.0.1:{served.port}/objects/{BUCKET}/k"):
        assert httpx.put(url, content=b"four").status_code == 403


def test_parts_are_sent_in_any_order_and_again(served: Served) -> None:
    data = os.urandom(2 * LEAST_PART_BYTES + 3)
    way = served.store.way_in(BUCKET, KEY, size=len(data), media_type="text/plain", part_bytes=LEAST_PART_BYTES)
    assert way.parts_id is not None
    tags: dict[int, str] = {}
    for number in (2, 0, 1, 0):
        part = data[number * LEAST_PART_BYTES : (number + 1) * LEAST_PART_BYTES]
        tags[number] = httpx.put(way.urls[number], content=part).headers["etag"]
    served.store.finish(BUCKET, KEY, way.parts_id, [tags[number] for number in range(3)])
    assert httpx.get(served.store.signed_url(BUCKET, KEY)).content == data
    assert served.left() == []


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-3", 206, 0, 4),
        ("bytes=5-", 206, 5, 10),
        ("bytes=-3", 206, 7, 10),
        ("bytes=-99", 206, 0, 10),
        ("bytes=8-99", 206, 8, 10),
        ("bytes=10-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-2", 416, 0, 0),
        ("bytes=0-1,4-5", 200, 0, 10),
        ("lines=0-1", 200, 0, 10),
    ],
)
def test_a_range_is_sent(served: Served, asked: str, status: int, start: int, end: int) -> None:
    served.store.put(BUCKET, KEY, b"0123456789")
    answer = httpx.get(served.store.signed_url(BUCKET, KEY), headers={"range": asked})
    assert (answer.status_code, answer.content) == (status, b"0123456789"[start:end])
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/10"


def test_a_large_body_is_never_in_memory(served: Served) -> None:
    size = 48 * MEGABYTE
    way = served.store.way_in(BUCKET, KEY, size=size, media_type="text/plain")
    url = served.store.signed_url(BUCKET, KEY)
    piece = os.urandom(MEGABYTE)
    tracemalloc.start()
    try:
        sent = httpx.put(
            way.urls[0],
            content=(piece for _ in range(size // MEGABYTE)),
            headers=dict(way.headers) | {"content-length": str(size)},
        )
        assert sent.status_code == 200
        got = 0
        with httpx.stream("GET", url) as answer:
            for chunk in answer.iter_raw(MEGABYTE):
                got += len(chunk)
        assert got == size
        assert tracemalloc.get_traced_memory()[1] < 30 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_reader_that_is_slow_holds_up_nobody_and_one_that_leaves_is_forgotten(served: Served) -> None:
    served.store.put(BUCKET, KEY, bytes(30 * MEGABYTE))
    url = urllib.parse.urlsplit(served.store.signed_url(BUCKET, KEY))
    with socket.create_connection(("127.0.0.1", served.port)) as slow:
        slow.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        assert httpx.get(served.store.signed_url(BUCKET, KEY), headers={"range": "bytes=0-0"}).content == b"\0"
        assert time.monotonic() - started < 5
        assert len(served.gateway.server.connections) >= 1
    until(lambda: not served.gateway.server.connections)


def test_a_sender_that_leaves_in_the_middle_leaves_nothing(served: Served) -> None:
    way = served.store.way_in(BUCKET, KEY, size=4 * MEGABYTE, media_type="text/plain")
    with socket.create_connection(("127.0.0.1", served.port)) as leaving:
        leaving.sendall(request(way.urls[0], 4 * MEGABYTE) + bytes(2 * MEGABYTE))
    until(lambda: not served.gateway.server.connections)
    assert served.store.list(BUCKET) == []
    assert served.left() == []


def test_requests_that_follow_a_file_on_one_connection_are_answered_in_order(served: Served) -> None:
    served.store.put(BUCKET, "large", b"l" * (2 * MEGABYTE))
    served.store.put(BUCKET, "small", b"s")
    with httpx.Client() as client:
        for _ in range(3):
            assert client.get(served.store.signed_url(BUCKET, "large")).content == b"l" * (2 * MEGABYTE)
            assert client.get(served.store.signed_url(BUCKET, "small")).content == b"s"
    urls = [urllib.parse.urlsplit(served.store.signed_url(BUCKET, key)) for key in ("large", "small")]
    with socket.create_connection(("127.0.0.1", served.port)) as pipelined:
        asked = [f"GET {url.path}?{url.query} HTTP/1.1\r\nhost: x\r\n\r\n".encode() for url in urls]
        pipelined.sendall(b"".join(asked))
        pipelined.settimeout(10)
        said = b""
        while not said.endswith(b"\r\n\r\ns"):
            said += pipelined.recv(65536)
    assert said.count(b"HTTP/1.1 200") == 2
    assert said.count(b"l" * (2 * MEGABYTE)) == 1
