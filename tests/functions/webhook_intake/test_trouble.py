"""A database that is down, slow or in the middle of something: nothing is acknowledged that is not kept."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from functions.webhook_intake.intake import Limits
from shared.database import Database
from tests.functions.webhook_intake.hook import Hook


def test_a_database_that_is_down_is_503_and_asks_to_come_back(hook: Hook, tmp_path: Path) -> None:
    hook.start(database=Database(f"postgresql://millrace_engine@/x?host={tmp_path}", connect_timeout=1, deadline=2))
    reply = hook.post({})
    assert (reply.status, reply.headers["content-type"]) == (503, "application/problem+json")
    assert int(reply.headers["retry-after"]) >= 1


def test_a_database_that_is_slow_is_503_and_nothing_is_started(hook: Hook) -> None:
    hook.subscribe(delivery_id_header="x-id")
    database = Database(hook.db.url("millrace_engine"), deadline=0.5)
    hook.start(database=database)
    assert hook.post({}, {"x-id": "0"}).status == 202
    blocker = hook.db.connect("postgres")
    with blocker.transaction():
        blocker.execute("lock table workflowexecution in access exclusive mode")
        started = time.monotonic()
        reply = hook.post({}, {"x-id": "1"})
        assert time.monotonic() - started < 5
    assert (reply.status, "retry-after" in reply.headers) == (503, True)
    assert hook.post({}, {"x-id": "1"}).json["duplicate"] is False
    assert len(hook.runs()) == 2
    database.close()


def test_the_database_s_end_while_a_caller_waits_does_not_unsay_the_acceptance(hook: Hook) -> None:
    hook.subscribe()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(hook.post({}, query="wait=1.5")))
    thread.start()
    other = hook.db.connect("postgres")
    while not other.execute("select from millrace.webhook_wait").fetchall():
        pass
    with psycopg.connect(hook.db.cluster.superuser_url, autocommit=True) as admin:
        name = sql.Identifier(hook.db.name)
        admin.execute(sql.SQL("alter database {} with allow_connections false").format(name))
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [hook.db.name])
        thread.join()
        admin.execute(sql.SQL("alter database {} with allow_connections true").format(name))
    assert [reply.status for reply in answers] == [202]


def test_a_number_that_postgres_cannot_hold_is_the_sender_s_fault(hook: Hook) -> None:
    hook.subscribe()
    digits = "9" * 4000 + "e+140000"
    reply = hook.post('{"a":[' + "0," * 70 + "1]}", {"content-type": "application/json"})
    assert reply.status == 202
    reply = hook.post(f'{{"a":0.{digits}}}', {"content-type": "application/json"})
    assert reply.status == 422
    reply = hook.post('{"a":1e-140000}', {"content-type": "application/json"})
    assert reply.status == 422
    assert hook.verdicts()[-1] == "refused"


def test_whatever_fails_unexpectedly_is_logged_and_told_without_details(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hook.subscribe()
    intake = hook.start(Limits())
    monkeypatch.setattr(intake, "receive", lambda *_: 1 / 0)
    reply = hook.post({})
    assert reply.status == 500
    assert "division" not in reply.text
    assert "division" in caplog.text


def test_a_bell_that_cannot_be_rung_does_not_unsay_the_acceptance(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no bell")

    monkeypatch.setattr(hook.bell, "ring", broken)
    hook.subscribe()
    assert hook.post({}).status == 202
    assert "no bell" in caplog.text
