"""Files are dropped at once, events doubled, bells lost, workers killed: each file has exactly one completed job."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from infra import migrations
from infra.local.postgres import EmbeddedPostgres, allow_logins
from shared.storage import DirectoryStorage
from tests.functions.ocr.paper import pdf
from tests.soak.readers import Readers, ended

#: What no worker must know about: a row for each time that a document's job completed.
WITNESSES = """
create schema soak;
create table soak.completed (job_id uuid);
create function soak.witness() returns trigger language plpgsql security definer as $$
begin
    insert into soak.completed (job_id) values (new.id);
    return null;
end $$;
create trigger witness after update of status on millrace.job for each row
    when (new.parent_id is null and new.status = 'completed' and old.status <> 'completed')
    execute function soak.witness();
"""


def _connect(url: str) -> psycopg.Connection[dict[str, Any]]:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def _tick(url: str, readers: Readers, stopped: threading.Event) -> None:
    with _connect(url) as connection:
        while not stopped.wait(0.5):
            for row in connection.execute("select id::text as id from millrace.due_jobs(200, 1)"):
                readers.ring(row["id"])


def _event(key: str, size: int) -> str:
    """What S3 tells of a new object."""
    found = {"key": key, "size": size, "eTag": uuid.uuid4().hex, "sequencer": uuid.uuid4().hex[:16].upper()}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-11-22T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "millrace-dev-000000000000-ocr-documents"}, "object": found},
    }
    return json.dumps({"Records": [record]})


def _paper(number: int) -> bytes:
    """A document of one to five pages, which says on each whose it is."""
    return pdf(*(f"This is file {number:05}, page {page}, with words enough" for page in range(1, 2 + number % 5)))


def _drop(count: int, owner: str, objects: Path) -> list[str]:
    """Store ``count`` files; their events."""
    storage = DirectoryStorage(objects)
    events = []
    for number in range(count):
        key, data = f"{owner}/{number:05}.pdf", _paper(number)
        storage.put("ocr-documents", key, data, "application/pdf")
        events.append(_event(key, len(data)))
    return events


@pytest.mark.parametrize(
    "count",
    [pytest.param(40, id="short"), pytest.param(1000, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
)
def test_every_file_has_exactly_one_completed_job(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = tmp_path / "objects"
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        migrations.up(server.url())
        allow_logins(server.url("supabase_admin", "postgres"))
        with _connect(server.url()) as connection:
            connection.execute(WITNESSES)
            owner = str(uuid.uuid4())
            connection.execute(
                'insert into public."user" (id, email, is_active, is_superuser, hashed_password) '
                "values (%s, 'soak@example.com', true, false, '')",
                [owner],
            )
            events = _drop(count, owner, objects)
            readers = Readers(4, server.url("millrace_engine"), objects, lease=1.0, seed=count)
            stopped = threading.Event()
            tick = threading.Thread(target=_tick, args=(server.url(), readers, stopped), daemon=True)
            tick.start()

            def finished() -> int:
                row = connection.execute("select count(*) as n from soak.completed").fetchone()
                return row["n"] if row else 0

            try:
                for event in events:
                    readers.deliver(event)
                ended(readers, finished, count, 120 if count < 100 else 800)
            finally:
                stopped.set()
                readers.stop()
                tick.join(10)
            _judge(connection, count, owner)
    with capsys.disabled():
        print(f"\n{count} files:", ", ".join(f"{n} {what}" for what, n in readers.counts.items()))


def _judge(connection: psycopg.Connection[dict[str, Any]], count: int, owner: str) -> None:
    jobs = connection.execute(
        "select * from millrace.job where parent_id is null order by input #>> '{document,key}'"
    ).fetchall()
    assert [job["input"]["document"]["key"] for job in jobs] == [f"{owner}/{number:05}.pdf" for number in range(count)]
    assert {job["status"] for job in jobs} == {"completed"}
    completed = connection.execute("select job_id, count(*) as n from soak.completed group by 1").fetchall()
    assert {row["n"] for row in completed} == {1}, "a job completed twice"
    assert {row["job_id"] for row in completed} == {job["id"] for job in jobs}
    for number, job in enumerate(jobs):
        pages = job["result"]["text"].split("\f")
        assert len(pages) == 1 + number % 5
        for page, text in enumerate(pages, 1):
            assert text.startswith(f"This is file {number:05}, page {page},")
        assert job["parts"] == (None if len(pages) <= 2 else -(-len(pages) // 2))
    for table in ("ocrjob", "ocrdocument", "ocrresult", "toolusagelog"):
        row = connection.execute(
            f"select count(*) as n from public.{table}"  # type: ignore[arg-type]
        ).fetchone()
        assert row == {"n": count}, table
    assert connection.execute("select count(*) as n from millrace.ocr_page").fetchone() == {"n": 0}
    left = "select count(*) as n from millrace.job where status in ('queued', 'running')"
    assert connection.execute(left).fetchone() == {"n": 0}
