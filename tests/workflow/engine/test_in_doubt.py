"""At-most-once effects: begun is recorded first; a worker lost in the middle leaves a question, not a repetition."""

from __future__ import annotations

import psycopg
import pytest

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
