"""A worker for documents over the test's own database and store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shared.settings
from functions.ocr.reading import Reading, Settings
from shared import jobs
from shared.database import Database
from shared.doorbell import RecordingDoorbell
from shared.storage import DirectoryStorage
from tests.cluster import TestDatabase, User


class Desk:
    """Where one tenant's documents are read: files go in, jobs are done, rows are looked at."""

    def __init__(self, db: TestDatabase, user: User, storage: DirectoryStorage) -> None:
        self.db = db
        self.user = user
        self.storage = storage
        self.bell = RecordingDoorbell()
        self.database: Database = db.database("millrace_engine")
        self.read_pages: list[int] = []

    def store(self, data: bytes, name: str = "paper.pdf", user: User | None = None) -> dict[str, str]:
        key = f"{(user or self.user).id}/{name}"
        self.storage.put("ocr-documents", key, data, "application/pdf")
        return {"bucket": "ocr-documents", "key": key}

    def make(self, document: dict[str, Any], **more: Any) -> str:
        row = self.db.owner.execute(
            "select millrace.enqueue_job(%s, 'ocr', %s, null)::text as id",
            [self.user.id, {"document": document, **more}],
        ).fetchone()
        assert row is not None
        return str(row["id"])

    def reading(self, **settings: Any) -> Reading:
        return Reading(self.database, lambda: self.storage, Settings(**settings))

    def work(self, *ids: str, perform: Callable[[jobs.Claimed], Any] | None = None, **settings: Any) -> int:
        """Do these jobs and whatever they ring for, until nobody rings."""
        perform = perform or self.reading(**settings).perform
        rung, claimed = list(ids), 0
        while rung:
            claimed += jobs.work(self.database, self.bell, "ocr", rung, perform, lease_seconds=60)
            rung = [id_ for queue, id_, delay in self.bell.rung if queue == "ocr" and not delay]
            self.bell.rung.clear()
        return claimed

    def read(self, document: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Make a job, do it, and look at it."""
        id_ = self.make(document, **more)
        self.work(id_)
        return self.row(id_)

    def row(self, id_: str) -> dict[str, Any]:
        return self._one("select * from millrace.job where id = %s", id_)

    def ocr_row(self, id_: str) -> dict[str, Any]:
        return self._one("select * from public.ocrjob where id = %s", id_)

    def result(self, id_: str) -> dict[str, Any]:
        return self._one("select * from public.ocrresult where job_id = %s", id_)

    def count(self, table: str) -> int:
        row = self.db.owner.execute(f"select count(*) from {table}").fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row["count"])

    def pass_time(self) -> None:
        self.db.owner.execute(
            "update millrace.job set lease_until = lease_until - interval '1 day', due_at = due_at - interval '1 day'"
        )

    def _one(self, query: str, id_: str) -> dict[str, Any]:
        row = self.db.owner.execute(query, [id_]).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row


@pytest.fixture
def desk(db: TestDatabase, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("MILLRACE_OCR_THREADS", "1")
    shared.settings.forget()
    return Desk(db, user, DirectoryStorage(tmp_path / "papers"))
