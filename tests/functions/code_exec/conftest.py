"""A worker that hears the bells of code, with a sandbox that tests can play."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from functions.code_exec.runs import Runner
from shared import jobs
from shared.doorbell import RecordingDoorbell
from shared.models.code import CodeError, CodeFile, CodeOutcome, CodeRequest, CodeUsage, Limit, RunStatus
from shared.settings import CodeSettings
from shared.storage import DirectoryStorage
from tests.cluster import TestDatabase
from tests.functions.conftest import Bells


class PretendedSandbox:
    """Runs Python of these tests' own, and no other, right here; and what else a test wants to see happen.

    Beside Python it understands ``limit:<name>``, ``file:<path>`` and ``raise`` as whole programs.
    """

    def __init__(self) -> None:
        self.requests: list[CodeRequest] = []
        self.before: Callable[[CodeRequest], None] = lambda request: None
        self.lock = threading.Lock()

    def invoke(self, function: str, payload: Any, timeout: float) -> Any:
        assert function == "code-sandbox"
        request = CodeRequest.model_validate(json.loads(json.dumps(payload)))
        self.requests.append(request)
        self.before(request)
        with self.lock:
            return json.loads(self.run(request).model_dump_json())

    def run(self, request: CodeRequest) -> CodeOutcome:
        usage = CodeUsage(wall_ms=12.3, cpu_ms=1500.0, memory_bytes=12 * 1024 * 1024, output_bytes=3)
        kind, _, rest = request.code.partition(":")
        if kind == "limit":
            return CodeOutcome(status=RunStatus.LIMIT, limit=Limit(rest), stdout="so far", usage=usage)
        if kind == "file":
            file = CodeFile(path=rest, content=b"content of " + rest.encode())
            return CodeOutcome(status=RunStatus.COMPLETED, artifacts=(file,), usage=usage)
        names: dict[str, Any] = {"input_data": request.input_data, "variables": request.variables, "result": None}
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                exec(request.code, names)
        except Exception as error:
            told = CodeError(type=type(error).__name__, message=str(error), line=1)
            return CodeOutcome(status=RunStatus.FAILED, error=told, stdout=printed.getvalue(), usage=usage)
        return CodeOutcome(
            status=RunStatus.COMPLETED,
            result=names["result"],
            stdout=printed.getvalue(),
            usage=usage,
            runtime="pretended",
        )


class CodeWorker:
    """What the queue and the worker's face are on AWS: bells in, jobs done."""

    def __init__(self, db: TestDatabase, bells: Path, storage: DirectoryStorage, sandbox: Any) -> None:
        self.db = db
        self.sandbox = sandbox
        self.storage = storage
        self.doorbell = RecordingDoorbell()
        self.settings = CodeSettings()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(bells / "code.sock"))
        self.socket.settimeout(0.05)
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None

    def runner(self) -> Runner:
        return Runner(self.database(), self.sandbox, self.storage, self.settings)

    def database(self) -> Any:
        return self.db.database("millrace_engine")

    def start(self) -> None:
        self.thread = threading.Thread(target=self.hear, daemon=True)
        self.thread.start()

    def hear(self) -> None:
        runner = self.runner()
        while not self.stopping.is_set():
            if id_ := self.rung():
                jobs.work(runner.database, self.doorbell, "code", [id_], runner.perform, lease_seconds=60)
        runner.database.close()

    def rung(self) -> str | None:
        """The next id rung for, if there is one soon."""
        try:
            id_: str = json.loads(self.socket.recv(4096))["id"]
        except TimeoutError:
            return None
        return id_

    def work(self, *ids: str, lease: float = 60) -> int:
        """Do these jobs now, in this thread."""
        runner = self.runner()
        return jobs.work(runner.database, self.doorbell, "code", ids, runner.perform, lease_seconds=lease)

    def stop(self) -> None:
        self.stopping.set()
        if self.thread is not None:
            self.thread.join()
        self.socket.close()

    def row(self, id_: str) -> dict[str, Any]:
        """What people see of the run."""
        row = self.db.owner.execute("select * from public.codeexecution where id = %s", [id_]).fetchone()
        assert row is not None
        return row

    def pass_time(self) -> None:
        """Let every lease and every backoff run out."""
        self.db.owner.execute(
            "update millrace.job set lease_until = lease_until - interval '1 day', due_at = due_at - interval '1 day'"
        )


@pytest.fixture
def sandbox() -> PretendedSandbox:
    return PretendedSandbox()


@pytest.fixture
def still(db: TestDatabase, bells: Bells, tmp_path: Path, sandbox: PretendedSandbox) -> Iterator[CodeWorker]:
    """A worker that works when it is told to."""
    store = DirectoryStorage(tmp_path / "objects")
    made = CodeWorker(db, Path(bells.socket.getsockname()).parent, store, sandbox)
    yield made
    made.stop()


@pytest.fixture
def worker(still: CodeWorker) -> CodeWorker:
    """A worker that hears its bells."""
    still.start()
    return still


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for something that must become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
