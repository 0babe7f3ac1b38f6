"""Jobs of one tenant, and workers for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared import jobs
from shared.database import Database
from shared.doorbell import RecordingDoorbell
from tests.cluster import TestDatabase, User


class Aviary:
    """Jobs of one tenant and a worker for them."""

    def __init__(self, db: TestDatabase, user: User) -> None:
        self.db = db
        self.user = user
        self.database: Database = db.database("millrace_engine")
        self.bell = RecordingDoorbell()

    def make(self, say: str = "hello", key: str | None = None, user: User | None = None) -> str:
        row = self.db.owner.execute(
            "select millrace.enqueue_job(%s, 'parrot', %s, %s) as id", [(user or self.user).id, {"say": say}, key]
        ).fetchone()
        assert row is not None
        return str(row["id"])

    def work(self, *ids: str, perform: Callable[[jobs.Claimed], Any], lease: float = 60) -> int:
        return jobs.work(self.database, self.bell, "parrot", ids, perform, lease_seconds=lease)

    def work_on(self, *, perform: Callable[[jobs.Claimed], Any]) -> int:
        """Answer every bell until none rings any more; how many jobs were claimed."""
        claimed = 0
        while self.bell.rung:
            rung = [id_ for queue, id_, _ in self.bell.rung if queue == "parrot"]
            self.bell.rung.clear()
            claimed += self.work(*rung, perform=perform)
        return claimed

    def row(self, job: str) -> dict[str, Any]:
        row = self.db.owner.execute("select * from millrace.job where id = %s", [job]).fetchone()
        assert row is not None
        return row

    def parts(self, job: str) -> list[dict[str, Any]]:
        return self.db.owner.execute("select * from millrace.job where parent_id = %s order by part", [job]).fetchall()

    def due(self) -> set[str]:
        """What the tick would ring for."""
        return {row["id"] for row in self.database.call("select id::text as id from millrace.due_jobs(1000, 0)")}

    def pass_time(self) -> None:
        """Let every lease and every backoff run out."""
        self.db.owner.execute(
            "update millrace.job set lease_until = lease_until - interval '1 day', due_at = due_at - interval '1 day'"
        )
