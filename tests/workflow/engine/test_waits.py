"""Waiting: for a time, a signal, a job. Never early, nothing missed."""

from __future__ import annotations

import psycopg
import pytest

from shared.workflow.node import Wait
from tests.workflow.engine.harness import ACTS, Engine, chain, probe


def _signal_node(**config: object) -> dict[str, object]:
    return {"node_id": "w", "node_type": "wait", "config": {"signal": "go", **config}}


def test_a_wait_is_not_over_early(engine: Engine) -> None:
    run = engine.start(chain({"node_id": "w", "node_type": "wait", "config": {"delay_seconds": 30}}))
    engine.drive(run)
    assert engine.execution(run)["status"] == "waiting"
    engine.skip(29)
    assert engine.drive(run) == 0
    engine.skip(2)
    assert engine.drive(run) == 1
    assert engine.execution(run)["status"] == "completed"


def test_a_wait_longer_than_a_queue_holds_is_left_to_the_tick(engine: Engine) -> None:
    run = engine.start(chain({"node_id": "w", "node_type": "wait", "config": {"delay_seconds": 3600}}))
    engine.drive(run)
    assert engine.bell.rung == []
    due = "select execution_id::text as id, delay from millrace.due_runs(10, 5, 60)"
    assert engine.db.owner.execute(due).fetchall() == []
    engine.skip(3570)
    [found] = engine.db.owner.execute(due).fetchall()
    assert found["id"] == run
    assert 25 < found["delay"] <= 30


def test_a_signal_ends_the_wait_for_it(engine: Engine) -> None:
    run = engine.start(chain(_signal_node()))
    engine.drive(run)
    assert engine.execution(run)["status"] == "waiting_for_signal"
    engine.call("signal_run", run, "other", {"n": 0})
    engine.drive(run)
    assert engine.execution(run)["status"] == "waiting_for_signal"
    engine.call("signal_run", run, "go", {"n": 1})
    engine.drive(run)
    execution = engine.execution(run)
    assert execution["status"] == "completed"
    assert execution["output"] == {"n": 1}


def test_a_signal_that_comes_before_the_wait_is_kept_for_it(engine: Engine) -> None:
    run = engine.start(chain(probe("a"), _signal_node()))
    engine.call("signal_run", run, "go", {"n": 2})
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"


def test_a_signal_during_the_last_step_before_the_wait_is_not_missed(engine: Engine) -> None:
    ACTS["signal"] = lambda context: str(engine.call("signal_run", context.key.split("/")[0], "go", {"n": 3}))
    run = engine.start(chain(probe("a", "signal"), _signal_node()))
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"


def test_each_signal_is_used_once(engine: Engine) -> None:
    second = {**_signal_node(), "node_id": "w2"}
    run = engine.start(chain(_signal_node(), second))
    engine.drive(run)
    engine.call("signal_run", run, "go", {"n": 1})
    engine.drive(run)
    assert engine.execution(run)["status"] == "waiting_for_signal"
    engine.call("signal_run", run, "go", {"n": 2})
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"


def test_a_wait_for_a_signal_may_end_by_time(engine: Engine) -> None:
    ACTS["wait"] = lambda context: (
        {"timed_out": True}
        if context.state
        else Wait(until=context.now.replace(year=2100), signal="go", state={"w": 1})
    )
    run = engine.start(chain(probe("a", "wait")))
    engine.drive(run)
    engine.db.owner.execute(
        "update millrace.run set due_at = now(), frontier = jsonb_set(frontier, '{a,due}', to_jsonb(now()))"
    )
    engine.drive(run)
    assert engine.execution(run)["output"] == {"timed_out": True}


def test_an_ended_run_takes_no_signal(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    engine.drive(run)
    with pytest.raises(psycopg.Error) as refused:
        engine.call("signal_run", run, "go", {})
    assert refused.value.sqlstate == "MR409"


def test_a_job_carries_the_step_and_its_end_wakes_the_run(engine: Engine) -> None:
    run = engine.start(chain(probe("a", "hello", "probe_job"), probe("b")))
    engine.drive(run)
    assert engine.execution(run)["status"] == "waiting"
    [(queue, job, delay)] = engine.bell.rung[:1]
    assert (queue, delay) == ("parrot", 0)
    [claimed] = engine.database.call("select * from millrace.claim_jobs('parrot', %(ids)s::uuid[], 60)", {"ids": [job]})
    assert claimed["input"] == {"say": "hello", "attempt": 1}
    end = [{"id": job, "epoch": claimed["epoch"], "status": "completed", "result": {"said": "hello"}}]
    [row] = engine.database.call("select millrace.end_jobs(%(ends)s) as answer", {"ends": end})
    assert row["answer"][job] == {"ended": True, "execution_id": run}
    assert (
        engine.database.call("select millrace.end_jobs(%(ends)s) as answer", {"ends": end})[0]["answer"]
        == row["answer"]
    )
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert [step["output"] for step in engine.steps(run)][1:] == [{"said": "hello"}, {"from": "b"}]


def test_a_job_without_an_end_is_a_timeout_and_is_cancelled(engine: Engine) -> None:
    run = engine.start(chain(probe("a", "hello", "probe_job", timeout_seconds=20, retry={"max_attempts": 1})))
    engine.drive(run)
    engine.skip(21)
    engine.drive(run)
    assert engine.execution(run)["error"]["kind"] == "timeout"
    assert engine.db.owner.execute("select status from millrace.job").fetchone() == {"status": "cancelled"}


def test_a_failed_job_is_a_failed_step_with_its_kind(engine: Engine) -> None:
    run = engine.start(chain(probe("a", "hello", "probe_job")))
    engine.drive(run)
    job = engine.bell.rung[0][1]
    engine.database.call("select * from millrace.claim_jobs('parrot', %(ids)s::uuid[], 60)", {"ids": [job]})
    end = [{"id": job, "epoch": 1, "status": "failed", "error": {"kind": "hoarse", "message": "no voice"}}]
    engine.database.call("select millrace.end_jobs(%(ends)s)", {"ends": end})
    engine.drive(run)
    assert engine.execution(run)["error"] == {"kind": "hoarse", "message": "no voice", "node_id": "a"}


def test_signals_that_nobody_waits_for_are_bounded(engine: Engine) -> None:
    run = engine.start(chain(_signal_node()))
    engine.drive(run)
    for n in range(100):
        engine.call("signal_run", run, "other", {"n": n})
    with pytest.raises(psycopg.Error) as refused:
        engine.call("signal_run", run, "go", {})
    assert refused.value.sqlstate == "MR429"


def test_what_people_see_is_not_written_anew_by_a_wait_that_goes_on(engine: Engine) -> None:
    poll = {"until_condition": "false", "poll_seconds": 10}
    run = engine.start(chain({"node_id": "w", "node_type": "wait", "config": poll}))
    engine.drive(run)
    row = "select xmin::text from public.workflowexecution"
    before = engine.db.owner.execute(row).fetchone()
    engine.skip(11)
    assert engine.drive(run) == 1
    assert engine.db.owner.execute(row).fetchone() == before
