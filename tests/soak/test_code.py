"""Code through a stack whose workers and sandboxes are killed and whose bells come twice: each run ends once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from functions.code_sandbox import runtimes
from infra.local.stack import Stack
from shared.storage import DirectoryStorage

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not runtimes.installed(), reason="the interpreters are not there: make install-code"),
]

RUNS = 60
CODE = "import time\ntime.sleep(0.2)\nresult = input_data * 2\nopen('out.txt', 'w').write(str(result))"


def test_each_run_ends_once_with_its_one_file(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    environment = {"MILLRACE_LEASE_SECONDS": "2"}
    with Stack(tmp_path / "home", durable=False, environment=environment) as stack:
        caller = {"authorization": f"Bearer {stack.token}"}
        bells = stack.variables(stack.url)["MILLRACE_DOORBELL"].removeprefix("socket:")
        with httpx.Client(base_url=stack.url, headers=caller, timeout=40) as api:
            ids = []
            for number in range(RUNS):
                body = {"code": CODE, "input_data": number, "wait": 0}
                ids.append(api.post("/api/v1/code/execute", json=body).json()["id"])
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:  # a second time
                for id_ in ids:
                    bell.sendto(json.dumps({"id": id_}).encode(), f"{bells}/code.sock")
            kills, until = 0, time.monotonic() + 100
            while open_ := unended(stack):
                assert time.monotonic() < until, f"{open_} of {RUNS} runs have not ended"
                if kills < 12:
                    for name in ("code-exec-worker", "code-sandbox"):
                        for worker in list(stack.functions[name].workers)[:1]:
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(worker.pid, signal.SIGKILL)
                                kills += 1
                time.sleep(0.7)
            found = [api.get(f"/api/v1/code/execute/{id_}").json() for id_ in ids]
        statuses = {(one["status"], one["error_message"]) for one in found}
        assert {status for status, _ in statuses} <= {"completed", "failed"}
        # A run whose sandbox was killed twice is told so; nothing else may fail.
        broken = [one for one in found if one["status"] == "failed"]
        assert all(one["error"]["kind"] in ("sandbox", "worker_lost") for one in broken), statuses
        completed = [(number, one) for number, one in enumerate(found) if one["status"] == "completed"]
        assert all(one["output_data"] == number * 2 for number, one in completed)
        files = DirectoryStorage(tmp_path / "home" / "objects").list("code-executions")
        assert {one["artifacts"][0]["key"] for _, one in completed} <= {file.key for file in files}
        assert len(files) <= RUNS
        with psycopg.connect(stack.database_url()) as database:
            row = database.execute("select count(*), count(distinct id) from toolusagelog").fetchone()
        assert row == (RUNS, RUNS)
        assert len(completed) > RUNS / 2
        said = f"code: {kills} kills, {len(completed)} of {RUNS} runs completed, {len(broken)} told of a broken sandbox"
        record_property("summary", said)


def unended(stack: Stack) -> int:
    """Runs that have not ended."""
    with psycopg.connect(stack.database_url()) as database:
        row = database.execute("select count(*) from codeexecution where completed_at is null").fetchone()
    return int(row[0]) if row else 0
