"""Cancelling: at once where no worker has the run, else at its worker's next checkpoint."""

from __future__ import annotations

import psycopg
import pytest

from tests.workflow.engine.harness import ACTS, CALLS, Engine, chain, probe


def test_a_run_that_waits_is_cancelled_at_once_with_its_jobs(engine: Engine) -> None:
    run = engine.start(chain(probe("a", "hello", "probe_job")))
    engine.drive(run)
    assert engine.call("cancel_run", run) == "cancelled"
    assert engine.execution(run)["status"] == "cancelled"
    assert engine.db.owner.execute("select status from millrace.job").fetchone() == {"status": "cancelled"}
    assert engine.drive(run) == 0


def test_a_run_being_driven_stops_at_its_next_checkpoint(engine: Engine) -> None:
    answers = []
    ACTS["cancel"] = lambda context: answers.append(engine.call("cancel_run", context.key.split("/")[0]))
    run = engine.start(chain(probe("a", "cancel"), probe("b")))
    engine.drive(run)
    assert answers == ["cancelling"]
    assert engine.execution(run)["status"] == "cancelled"
    assert len(CALLS) == 1


def test_an_ended_run_stays_as_it_ended(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    engine.drive(run)
    with pytest.raises(psycopg.Error) as refused:
        engine.call("cancel_run", run)
    assert refused.value.sqlstate == "MR409"
    assert engine.execution(run)["status"] == "completed"


def test_a_cancelled_run_can_be_retried(engine: Engine) -> None:
    run = engine.start(chain({"node_id": "w", "node_type": "wait", "config": {"delay_seconds": 60}}, probe("b")))
    engine.drive(run)
    engine.call("cancel_run", run)
    engine.call("retry_run", run)
    engine.drive(run)
    engine.skip(61)
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"


def test_a_run_cancelled_while_its_job_was_open_can_be_retried(engine: Engine) -> None:
    run = engine.start(chain(probe("a", "hello", "probe_job"), probe("b")))
    engine.drive(run)
    engine.call("cancel_run", run)
    engine.call("retry_run", run)
    engine.bell.rung.clear()
    engine.drive(run)
    assert engine.execution(run)["status"] == "waiting"
    [(queue, job, _)] = [bell for bell in engine.bell.rung if bell[0] == "parrot"]
    engine.database.call("select * from millrace.claim_jobs(%(q)s, %(ids)s::uuid[], 60)", {"q": queue, "ids": [job]})
    end = [{"id": job, "epoch": 1, "status": "completed", "result": "hello"}]
    engine.database.call("select millrace.end_jobs(%(ends)s)", {"ends": end})
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
