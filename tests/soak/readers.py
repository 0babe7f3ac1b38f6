"""Workers that read documents and take in stored files' events, as processes that can be killed."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from functions.ocr import reader  # noqa: F401  (so that every worker has its libraries from the start)
from functions.ocr.reading import Reading, Settings
from functions.storage_intake import batch
from shared import jobs
from shared.database import Database
from shared.doorbell import RecordingDoorbell
from shared.errors import Unavailable
from shared.storage import DirectoryStorage
from tests.soak.workers import Workers, _Bell

#: Pages of one part, so that also small documents are split.
PART_PAGES = 2


def _read(pipe: Connection, engine_url: str, objects: str, lease: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    database = Database(engine_url, connect_timeout=1, deadline=3)
    reading = Reading(database, lambda: DirectoryStorage(Path(objects)), Settings(ocr_part_pages=PART_PAGES))
    while True:
        pipe.send("ready")
        for each in pipe.recv():
            with suppress(Unavailable):  # it comes again, from the queue or the tick
                if each.startswith("{"):
                    _take_in(database, pipe, each)
                else:
                    jobs.work(database, _Bell(pipe), "ocr", [each], reading.perform, lease_seconds=lease)


def _take_in(database: Database, pipe: Connection, event: str) -> None:
    bell = RecordingDoorbell()
    if batch.start(database, bell, {"message": event}, {"ocr-documents": "ocr"}):
        raise Unavailable("the event was not taken in")
    for _, id_, delay in bell.rung:
        pipe.send((id_, delay))


class Readers(Workers):
    """``count`` of them. Events are delivered at least once: half of them twice, and again when a worker dies."""

    target = staticmethod(_read)
    module = __name__

    def __init__(self, count: int, engine_url: str, objects: Path, *, lease: float, seed: int) -> None:
        self.flying: dict[Connection, list[str]] = {}
        super().__init__(count, engine_url, str(objects), lease, seed=seed)
        self.counts["doubled events"] = 0

    def deliver(self, event: str) -> None:
        """One event of the queue of stored files."""
        again = self.random.random() < 0.5
        self.counts["doubled events"] += again
        with self.lock:
            for late in [0.0, self.random.uniform(0, 2)][: 1 + again]:
                self.bells.append((time.monotonic() + late, event))

    def dealt(self, pipe: Connection, ids: list[str]) -> None:
        self.flying[pipe] = [each for each in ids if each.startswith("{")]

    def died(self, pipe: Connection) -> None:
        self.bells.extend((time.monotonic(), event) for event in self.flying.pop(pipe, []))


def ended(readers: Readers, finished: Any, count: int, seconds: float) -> None:
    """Kill workers all the while, until ``count`` have ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(readers.random.uniform(0.05, 0.3))
        readers.kill_one()
        if finished() >= count:
            return
    raise AssertionError(f"after {seconds:.0f} s {finished()} of {count} documents were read")
