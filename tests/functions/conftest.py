"""The API faces over the test's own database."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import shared.database
import shared.doorbell
import shared.settings
import shared.storage
import shared.tenant
from infra.buckets import declared, spoken
from shared.doorbell import RecordingDoorbell
from shared.payloads import Payloads
from shared.storage import DirectoryStorage
from shared.workflow.drive import Driver
from shared.workflow.run import Bounds
from tests.cluster import TestDatabase, User
from tests.functions.gateway import GRAPH, SECRET, Gateway, sign


class Bells:
    """The run workers' end of the doorbell."""

    def __init__(self, directory: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(directory / "workflow-run.sock"))
        self.socket.setblocking(False)

    def rung(self) -> list[str]:
        """The ids rung since the last look."""
        ids = []
        while True:
            try:
                ids.append(json.loads(self.socket.recv(4096))["id"])
            except BlockingIOError:
                return ids


@pytest.fixture
def bells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bells]:
    made = Bells(tmp_path_factory.mktemp("b"))
    yield made
    made.socket.close()


@pytest.fixture
def gateway(db: TestDatabase, bells: Bells, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Gateway]:
    """The faces, without credentials."""
    from functions.account import api as account
    from functions.code_exec import api as code
    from functions.health import api as health
    from functions.item import api as item
    from functions.ocr import api as ocr
    from functions.storage import api as files
    from functions.workflow_api import api as workflow

    directory = Path(bells.socket.getsockname()).parent
    monkeypatch.setenv("MILLRACE_DATABASE_URL", db.url("millrace_api"))
    monkeypatch.setenv("MILLRACE_JWT_SECRET", SECRET)
    monkeypatch.setenv("MILLRACE_DOORBELL", f"socket:{directory}")
    monkeypatch.setenv("MILLRACE_SECRET_KEY_FILE", str(tmp_path / "keys.json"))
    monkeypatch.setenv("MILLRACE_STORAGE", f"directory:{tmp_path / 'objects'}")
    monkeypatch.setenv("MILLRACE_STORAGE_SECRET", SECRET)
    monkeypatch.setenv("MILLRACE_BUCKETS", spoken(declared({})))
    monkeypatch.setenv("MILLRACE_TOKEN_CACHE_SECONDS", "0")
    monkeypatch.setenv("MILLRACE_CAPABILITIES", "ocr,code_exec")
    shared.settings.forget()
    for cache in (shared.database.database, shared.tenant.gate, shared.doorbell.doorbell, shared.storage.storage):
        cache.cache_clear()
    yield Gateway(
        {
            "/api/v1/workflows": workflow.handler,
            "/api/v1/users": account.handler,
            "/api/v1/items": item.handler,
            "/api/v1/storage": files.handler,
            "/api/v1/code": code.handler,
            "/api/v1/ocr": ocr.handler,
            "/health": health.handler,
        }
    )
    shared.database.database().close()
    if isinstance(bell := shared.doorbell.doorbell(), shared.doorbell.SocketDoorbell):
        bell._socket.close()
    for cache in (shared.tenant.gate, shared.doorbell.doorbell, shared.storage.storage):
        cache.cache_clear()


@pytest.fixture
def work(db: TestDatabase, bells: Bells, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A run worker: drives whatever was rung for until nobody rings any more."""
    executor = ThreadPoolExecutor(2)
    storage = DirectoryStorage(tmp_path / "objects")
    payloads = Payloads(lambda: storage, inline_bytes=64 * 1024, largest_bytes=1024 * 1024)
    driver = Driver(db.engine, RecordingDoorbell(), executor, Bounds(), payloads)

    def drive() -> None:
        while ids := bells.rung():
            driver.drive(set(ids), datetime.now(UTC) + timedelta(seconds=20))

    yield drive
    executor.shutdown()


@pytest.fixture
def api(gateway: Gateway, user: User) -> Gateway:
    """The faces, as a signed-in tenant."""
    return gateway.as_(sign(user))


@pytest.fixture
def other(gateway: Gateway, other_user: User) -> Gateway:
    """The faces, as another tenant."""
    return gateway.as_(sign(other_user))


@pytest.fixture
def workflow(api: Gateway) -> dict[str, Any]:
    """A workflow of the tenant's."""
    made = api.post("/api/v1/workflows", {"name": "Mill", "graph_config": GRAPH})
    assert made.status == 201, made
    body: dict[str, Any] = made.json
    return body
