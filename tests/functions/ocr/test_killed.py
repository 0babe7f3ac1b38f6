"""A worker process is killed in the middle of a document; the next one reads no page that was kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from functions.ocr import reader
from tests.functions.ocr.conftest import Desk
from tests.functions.ocr.paper import book

ROOT = Path(__file__).parents[3]

#: A worker whose every page takes a while, so that it can be killed between two.
WORKER = """
import sys, time
from pathlib import Path
from functions.ocr import reader
from functions.ocr.reading import Reading, Settings
from shared import jobs
from shared.database import Database
from shared.doorbell import RecordingDoorbell
from shared.storage import DirectoryStorage

url, objects, job = sys.argv[1:]
real = reader.read

def read(*given, progress, **named):
    def told(*page):
        progress(*page)
        time.sleep(0.3)
    return real(*given, progress=told, **named)

reader.read = read
reading = Reading(Database(url), lambda: DirectoryStorage(Path(objects)), Settings(ocr_part_pages=50))
jobs.work(Database(url), RecordingDoorbell(), "ocr", [job], reading.perform, lease_seconds=1.0)
"""


def test_what_a_killed_process_read_is_not_read_again(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = desk.make(desk.store(book(12)))
    command = [sys.executable, "-c", WORKER, desk.db.url("millrace_engine"), str(tmp_path / "papers"), id_]
    worker = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "MILLRACE_OCR_THREADS": "1"})
    try:
        until = time.monotonic() + 60
        while desk.count("millrace.ocr_page") < 3:
            assert time.monotonic() < until, "the worker reads nothing"
            assert worker.poll() is None, "the worker ended by itself"
            time.sleep(0.02)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    kept = desk.count("millrace.ocr_page")
    assert 3 <= kept < 12
    assert desk.row(id_)["status"] == "running"
    assert desk.row(id_)["progress"] == {"pages": 12, "pages_done": kept}

    seen: list[int] = []
    real = reader.read

    def read(*given: Any, progress: Any, **named: Any) -> Any:
        def told(page: Any, number: int, of: int) -> None:
            seen.append(page.number)
            progress(page, number, of)

        return real(*given, progress=told, **named)

    monkeypatch.setattr(reader, "read", read)
    desk.pass_time()
    desk.work(id_, ocr_part_pages=50)
    row = desk.row(id_)
    assert row["status"] == "completed"
    assert seen == list(range(kept + 1, 13))
    assert json.dumps(row["result"]["text"]).count("This is page number") == 12
