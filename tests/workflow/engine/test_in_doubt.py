"""At-most-once effects: begun is recorded first; a worker lost in the middle leaves a question, not a repetition."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from shared.errors import Unavailable
from tests.workflow.engine.harness import ACTS, CALLS, Engine, chain, probe
from tests.workflow.engine.test_leases import Dead

NODE = probe("pay", "pay", "probe_once")


def _die(_context: object) -> None:
    raise Dead


def _lost_in_the_middle(engine: Engine) -> str:
    ACTS["pay"] = _die
    run = engine.start(chain(NODE, probe("after")))
    with pytest.raises(Dead):
        engine.drive(run)
    engine.skip(61)
    engine.drive(run)
    return run


def test_it_runs_once_when_nothing_is_lost(engine: Engine) -> None:
    run = engine.start(chain(probe("pay", "echo", "probe_once")))
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert len(CALLS) == 1


def test_its_start_is_recorded_before_it_runs(engine: Engine) -> None:
    frontier = []

    def look(context: object) -> None:
        hot = engine.hot(run)
        assert hot is not None
        frontier.append(hot["frontier"])

    ACTS["pay"] = look
    run = engine.start(chain(NODE))
    engine.drive(run)
    assert frontier[0]["pay"]["started"] is True


def test_a_lost_worker_leaves_it_in_doubt_and_asks(engine: Engine) -> None:
    run = _lost_in_the_middle(engine)
    assert engine.execution(run)["status"] == "waiting_for_signal"
    assert len(CALLS) == 1
    [step] = [step for step in engine.steps(run) if step["node_id"] == "pay"]
    assert step["status"] == "in_doubt"
    hot = engine.hot(run)
    assert hot is not None
    assert hot["frontier"]["pay"]["in_doubt"] is True


def test_it_can_be_taken_as_completed(engine: Engine) -> None:
    run = _lost_in_the_middle(engine)
    engine.call("resolve_step", run, "pay", 0, "complete", {"paid": True})
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert [(step["node_id"], step["status"]) for step in engine.steps(run)] == [
        ("start", "completed"),
        ("pay", "completed"),
        ("after", "completed"),
    ]
    assert [key.split("/")[1] for key, _ in CALLS] == ["pay", "after"]


def test_it_can_be_tried_again(engine: Engine) -> None:
    run = _lost_in_the_middle(engine)
    ACTS["pay"] = lambda context: {"attempt": context.attempt}
    engine.call("resolve_step", run, "pay", 0, "retry", None)
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert [(step["attempt"], step["status"]) for step in engine.steps(run) if step["node_id"] == "pay"] == [
        (1, "in_doubt"),
        (2, "completed"),
    ]


def test_it_can_be_failed(engine: Engine) -> None:
    run = _lost_in_the_middle(engine)
    engine.call("resolve_step", run, "pay", 0, "fail", None)
    engine.drive(run)
    assert engine.execution(run)["error"]["kind"] == "in_doubt"


@pytest.mark.parametrize(("node", "decision", "state"), [("pay", "maybe", "MR422"), ("after", "retry", "MR409")])
def test_a_decision_that_makes_no_sense_is_refused(engine: Engine, node: str, decision: str, state: str) -> None:
    run = _lost_in_the_middle(engine)
    with pytest.raises(psycopg.Error) as refused:
        engine.call("resolve_step", run, node, 0, decision, None)
    assert refused.value.sqlstate == state


def test_it_is_in_doubt_and_not_repeated_when_it_does_not_end_within_its_time(engine: Engine) -> None:
    gate = threading.Event()
    ACTS["pay"] = lambda _context: gate.wait(30)
    run = engine.start(chain(NODE))
    driver = engine.driver()
    began = engine.now()
    driver.clock = lambda: began + timedelta(seconds=70 if CALLS else 0)
    driver.drive([run], began + timedelta(seconds=300))
    gate.set()
    assert engine.execution(run)["status"] == "waiting_for_signal"
    assert [step["status"] for step in engine.steps(run) if step["node_id"] == "pay"] == ["in_doubt"]
    assert len(CALLS) == 1


def test_what_waits_for_a_thread_has_not_begun_and_is_not_in_doubt(engine: Engine) -> None:
    gate = threading.Event()
    ACTS["pay"] = lambda _context: gate.wait(30)
    engine.executor.shutdown()
    engine.executor = ThreadPoolExecutor(1)
    run = engine.start(
        {
            "nodes": [{"node_id": "start", "node_type": "trigger"}, NODE, {**NODE, "node_id": "pay2"}],
            "edges": [{"from": "start", "to": "pay"}, {"from": "start", "to": "pay2"}],
        }
    )
    driver = engine.driver()
    began = engine.now()
    looks = itertools.count()

    def clock() -> datetime:
        if CALLS and next(looks) == 12:
            gate.set()
        return began + timedelta(seconds=70 if CALLS else 0)

    driver.clock = clock
    driver.drive([run], began + timedelta(seconds=300))
    assert {step["node_id"]: step["status"] for step in engine.steps(run)} == {
        "start": "completed",
        "pay": "in_doubt",
        "pay2": "completed",
    }
    assert len(CALLS) == 2


@pytest.mark.parametrize("noticed", [False, True])
def test_it_stays_in_doubt_when_its_run_is_cancelled_and_retried(engine: Engine, noticed: bool) -> None:
    ACTS["pay"] = _die
    run = engine.start(chain(NODE, probe("after")))
    with pytest.raises(Dead):
        engine.drive(run)
    engine.skip(61)
    if noticed:
        engine.drive(run)
    assert engine.call("cancel_run", run) == "cancelled"
    engine.call("retry_run", run)
    engine.drive(run)
    assert engine.execution(run)["status"] == "waiting_for_signal"
    assert len(CALLS) == 1
    engine.call("resolve_step", run, "pay", 0, "complete", {"paid": True})
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert "begun" not in engine.execution(run)["execution_state"]


def test_it_stays_in_doubt_when_its_run_fails_elsewhere_and_is_retried(engine: Engine) -> None:
    ACTS["pay"] = _die
    wait = {"node_id": "w", "node_type": "delay", "config": {"delay_seconds": 100}}
    fail = {"node_id": "f", "node_type": "fail", "config": {"message": "no"}}
    run = engine.start(
        {
            "nodes": [{"node_id": "start", "node_type": "trigger"}, wait, fail, NODE],
            "edges": [{"from": "start", "to": "w"}, {"from": "w", "to": "f"}, {"from": "start", "to": "pay"}],
        }
    )
    with pytest.raises(Dead):
        engine.drive(run)
    engine.skip(200)
    engine.drive(run)
    engine.skip(200)
    engine.drive(run)
    assert engine.execution(run)["status"] == "failed"
    engine.call("retry_run", run)
    engine.drive(run)
    assert len(CALLS) == 1
    assert [step["status"] for step in engine.steps(run) if step["node_id"] == "pay"] == ["in_doubt"]


def test_an_output_that_cannot_be_stored_does_not_repeat_it(engine: Engine) -> None:
    engine.inline_bytes = 50
    ACTS["pay"] = lambda _context: "x" * 100

    class Away:
        def __getattr__(self, _name: str) -> Any:
            raise Unavailable("away")

    engine.storage = Away()
    run = engine.start(chain(NODE))
    other = engine.start(chain(probe("b")))
    engine.drive(run, other)
    assert engine.execution(run)["error"]["kind"] == "storage"
    assert engine.execution(other)["status"] == "completed"
    assert [key.split("/")[1] for key, _ in CALLS].count("pay") == 1
