"""The storage face over each kind of store, and a client that brings files as the tickets say."""

from __future__ import annotations

import base64
import hashlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer

import shared.settings
import shared.storage
from shared import aws
from shared.storage import BUCKETS, DirectoryStorage, Storage
from shared.storage.supabase import SupabaseStorage
from tests.aws import ENVIRONMENT, REGION, conditional_copies
from tests.functions.gateway import SECRET, Answer, Gateway
from tests.supabase_storage import SupabaseStorageServer

S = "/api/v1/storage"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(200))
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n" + bytes(range(256))


class Files:
    """One tenant's client of the storage routes."""

    def __init__(self, api: Gateway) -> None:
        self.api = api

    def begin(self, data: bytes, filename: str = "one.png", bucket: str = "user-uploads", **more: Any) -> Any:
        answer = self.api.post(f"{S}/upload", {"bucket": bucket, "filename": filename, "size": len(data), **more})
        assert answer.status == 201, answer
        return answer.json

    def bring(self, ticket: Any, data: bytes) -> list[str]:
        """Send the bytes where the ticket says; the tags of the parts."""
        if ticket["method"] == "TUS":
            tus(ticket, data)
            return []
        if not ticket["parts"]:
            assert put(ticket["url"], data, ticket["headers"]).status_code == 200
            return []
        at, tags = 0, []
        for part in ticket["parts"]:
            answer = put(part["url"], data[at : at + part["size"]], ticket["headers"])
            assert answer.status_code == 200, answer.text
            tags.append(answer.headers["etag"])
            at += part["size"]
        return tags

    def complete(self, ticket: Any, etags: list[str] | None = None) -> Answer:
        return self.api.post(f"{S}/uploads/{ticket['id']}/complete", {"etags": etags or []})

    def upload(self, data: bytes, filename: str = "one.png", bucket: str = "user-uploads", **more: Any) -> Answer:
        ticket = self.begin(data, filename, bucket, **more)
        return self.complete(ticket, self.bring(ticket, data))

    def read(self, ticket: Any) -> Any:
        return self.api.get(f"{S}/uploads/{ticket['id']}").json


def put(url: str, data: bytes, headers: dict[str, str]) -> httpx.Response:
    """Send bytes to a signed address: over HTTP, or to the directory as the local stack does."""
    parts = urllib.parse.urlsplit(url)
    if not parts.path.startswith("/objects/"):
        return httpx.put(url, content=data, headers=headers)
    store = shared.storage.storage()
    assert isinstance(store, DirectoryStorage)
    _, _, bucket, key = urllib.parse.unquote(parts.path).split("/", 3)
    grant = store.verify(bucket, key, dict(urllib.parse.parse_qsl(parts.query)))
    return httpx.Response(
        200, headers={"etag": store.accept(grant, data, headers.get("content-type", "application/octet-stream"))}
    )


def got(url: str) -> bytes:
    """What lies at a signed address."""
    parts = urllib.parse.urlsplit(url)
    if not parts.path.startswith("/objects/"):
        answer = httpx.get(url)
        assert answer.status_code == 200
        return answer.content
    store = shared.storage.storage()
    assert isinstance(store, DirectoryStorage)
    _, _, bucket, key = urllib.parse.unquote(parts.path).split("/", 3)
    assert store.verify(bucket, key, dict(urllib.parse.parse_qsl(parts.query))).filename
    return store.get(bucket, key)


def tus(ticket: Any, data: bytes) -> None:
    said = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in ticket["metadata"].items())
    headers = {"tus-resumable": "1.0.0", **ticket["headers"]}
    begun = httpx.post(ticket["url"], headers=headers | {"upload-length": str(len(data)), "upload-metadata": said})
    assert begun.status_code == 201, begun.text
    for start in range(0, len(data), ticket["part_size"]):
        piece = {"content-type": "application/offset+octet-stream", "upload-offset": str(start)}
        sent = httpx.patch(
            begun.headers["location"], content=data[start : start + ticket["part_size"]], headers=headers | piece
        )
        assert sent.status_code == 204


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def files(api: Gateway) -> Files:
    """The first tenant's client."""
    return Files(api)


@pytest.fixture
def others(other: Gateway) -> Files:
    """Another tenant's."""
    return Files(other)


@pytest.fixture
def store(api: Gateway) -> Storage:
    """What the face keeps files in."""
    return shared.storage.storage()


@pytest.fixture
def s3(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """S3 behind a real socket in place of the directory, with versions kept as in production."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    aws.forget()
    httpx.post(f"http://{host}:{port}/moto-api/reset")
    for bucket in BUCKETS:
        name = f"millrace-test-{bucket}"
        aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        aws.client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    monkeypatch.setenv("MILLRACE_STORAGE", "s3:millrace-test")
    _anew()
    with conditional_copies():
        yield
    aws.forget()
    server.stop()


@pytest.fixture
def supabase(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[SupabaseStorageServer]:
    """Supabase Storage in place of the directory."""
    server = SupabaseStorageServer(BUCKETS)
    monkeypatch.setenv("MILLRACE_STORAGE", f"supabase:{server.url}")
    monkeypatch.setenv("MILLRACE_SUPABASE_KEY", server.key)
    _anew()
    yield server
    found = shared.storage.storage()
    assert isinstance(found, SupabaseStorage)
    found.close()
    server.close()


@pytest.fixture(params=["directory", "s3", "supabase"])
def anywhere(request: pytest.FixtureRequest, gateway: Gateway) -> str:
    """Each kind of store."""
    kind: str = request.param
    if kind != "directory":
        request.getfixturevalue(kind)
    return kind


@pytest.fixture
def objects(tmp_path: Path) -> DirectoryStorage:
    """The directory, looked at from outside."""
    return DirectoryStorage(tmp_path / "objects", SECRET.encode())


def _anew() -> None:
    shared.settings.forget()
    shared.storage.storage.cache_clear()
