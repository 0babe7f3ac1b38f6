"""A step that fails is retried as its policy says; for good, it takes the error edge or fails the run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.errors import NotFound, Unavailable
from shared.storage import DirectoryStorage
from shared.workflow.node import StepContext, StepError
from shared.workflow.run import Bounds
from tests.workflow.engine.harness import ACTS, CALLS, Engine, chain, failing, probe

NO_JITTER = {"max_attempts": 3, "backoff_seconds": 10, "multiplier": 2, "jitter": "none"}


def test_a_retry_waits_for_its_backoff_and_never_comes_early(engine: Engine) -> None:
    ACTS["flaky"] = failing(times=2)
    run = engine.start(chain(probe("a", "flaky", retry=NO_JITTER)))
    engine.drive(run)
    assert [(queue, id_) for queue, id_, _ in engine.bell.rung] == [("workflow-run", run)]
    assert 9 < engine.bell.rung[0][2] <= 10
    assert engine.drive(run) == 0  # early: not claimed
    engine.skip(11)
    engine.drive(run)
    assert 19 < engine.bell.rung[1][2] <= 20
    engine.skip(21)
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert [(step["attempt"], step["status"]) for step in engine.steps(run) if step["node_id"] == "a"] == [
        (1, "failed"),
        (2, "failed"),
        (3, "completed"),
    ]


def test_every_attempt_has_the_same_key(engine: Engine) -> None:
    ACTS["flaky"] = failing(times=1)
    run = engine.start(chain(probe("a", "flaky", retry=NO_JITTER)))
    engine.drive(run)
    engine.skip(11)
    engine.drive(run)
    assert [(f"{run}/a/0", 1), (f"{run}/a/0", 2)] == CALLS


def test_a_run_fails_when_its_attempts_are_used_up(engine: Engine) -> None:
    ACTS["flaky"] = failing()
    run = engine.start(chain(probe("a", "flaky", retry={"max_attempts": 1}), probe("b")))
    engine.drive(run)
    execution = engine.execution(run)
    assert execution["status"] == "failed"
    assert execution["error"] == {"kind": "flaky", "message": "no luck", "node_id": "a"}
    assert execution["error_message"] == "no luck"
    assert execution["current_node_id"] == "a"
    logs = engine.db.owner.execute("select level, node_id from public.executionlog").fetchall()
    assert logs == [{"level": "ERROR", "node_id": "a"}]


def test_an_error_edge_is_taken_instead_of_the_others(engine: Engine) -> None:
    ACTS["flaky"] = failing(retryable=False)
    graph = {
        "nodes": [{"node_id": "start", "node_type": "trigger"}, probe("a", "flaky"), probe("ok"), probe("rescue")],
        "edges": [
            {"from": "start", "to": "a"},
            {"from": "a", "to": "ok"},
            {"from": "a", "to": "rescue", "branch": "error"},
        ],
    }
    run = engine.start(graph)
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert [step["node_id"] for step in engine.steps(run)] == ["start", "a", "rescue"]


def test_a_failure_takes_in_what_is_under_way_before_the_run_ends(engine: Engine) -> None:
    import threading

    gate = threading.Event()
    ACTS["fail"] = failing(retryable=False)
    ACTS["slow"] = lambda _context: gate.wait(10)
    ACTS["opens"] = lambda _context: gate.set()
    graph = {
        "nodes": [
            {"node_id": "start", "node_type": "trigger"},
            probe("slow", "slow"),
            probe("bad", "fail"),
            probe("opens", "opens"),
        ],
        "edges": [{"from": "start", "to": "slow"}, {"from": "start", "to": "bad"}, {"from": "start", "to": "opens"}],
    }
    run = engine.start(graph)
    engine.drive(run)
    assert engine.execution(run)["status"] == "failed"
    assert {step["node_id"]: step["status"] for step in engine.steps(run)} == {
        "start": "completed",
        "bad": "failed",
        "slow": "completed",
        "opens": "completed",
    }


def test_a_node_that_raises_what_it_should_not_fails_its_step_only(engine: Engine) -> None:
    ACTS["bug"] = lambda _context: 1 / 0
    run = engine.start(chain(probe("a", "bug")))
    other = engine.start(chain(probe("a")))
    engine.drive(run, other)
    assert engine.execution(run)["error"]["kind"] == "internal"
    assert "ZeroDivision" not in str(engine.execution(run))
    assert engine.execution(other)["status"] == "completed"


def test_outputs_that_cannot_be_kept_fail_the_step_with_the_reason(engine: Engine) -> None:
    engine.bounds = Bounds(output_bytes=2000, context_bytes=5000)
    kinds = {
        "nul": "a\0b",
        "surrogate": "\ud800",
        "nan": float("nan"),
        "object": object(),
        "large": "x" * 3000,
    }
    expected = dict.fromkeys(kinds, "invalid_output") | {"large": "output_too_large"}
    for name, value in kinds.items():
        ACTS[name] = lambda _context, value=value: value
        run = engine.start(chain(probe("a", name)))
        engine.drive(run)
        assert engine.execution(run)["error"]["kind"] == expected[name], name
    ACTS["backslash"] = lambda _context: "\\u0000"  # six honest characters
    assert engine.run(chain(probe("a", "backslash")))["output"] == "\\u0000"


def test_the_outputs_of_a_run_are_bounded_together(engine: Engine) -> None:
    engine.bounds = Bounds(context_bytes=5000)
    ACTS["big"] = lambda _context: "x" * 2000
    execution = engine.run(chain(*[probe(f"n{i}", "big") for i in range(4)]))
    assert execution["error"]["kind"] == "context_too_large"


def test_a_step_over_its_time_is_a_timeout(engine: Engine) -> None:
    import threading

    gate = threading.Event()
    ACTS["hang"] = lambda _context: gate.wait(30)
    run = engine.start(chain(probe("a", "hang", timeout_seconds=0.01, retry={"max_attempts": 1})))
    driver = engine.driver()
    began = engine.now()

    def clock() -> object:
        return engine.now() + (timedelta(seconds=60) if CALLS else timedelta())

    driver.clock = clock  # type: ignore[assignment]
    driver.drive([run], began + timedelta(seconds=300))
    gate.set()
    assert engine.execution(run)["error"]["kind"] == "timeout"


def test_a_run_over_its_time_is_timed_out(engine: Engine) -> None:
    wait = {"node_id": "w", "node_type": "delay", "config": {"delay_seconds": 600}}
    run = engine.start(chain(wait, timeout_seconds=100))
    engine.drive(run)
    assert 99 < engine.bell.rung[0][2] <= 100
    engine.skip(101)
    engine.drive(run)
    execution = engine.execution(run)
    assert execution["status"] == "timed_out"
    assert execution["error"]["kind"] == "timeout"


def test_a_retry_of_a_failed_run_keeps_what_was_done(engine: Engine) -> None:
    lucky = []
    ACTS["later"] = lambda context: {"attempt": context.attempt} if lucky else failing(retryable=False)(context)
    run = engine.start(chain(probe("a"), probe("b", "later"), probe("c")))
    engine.drive(run)
    assert engine.execution(run)["status"] == "failed"
    lucky.append(True)
    assert str(engine.call("retry_run", run)) == run
    engine.drive(run)
    execution = engine.execution(run)
    assert execution["status"] == "completed"
    assert execution["retry_count"] == 1
    assert execution["error"] is None
    assert [key.split("/")[1] for key, _ in CALLS] == ["a", "b", "b", "c"]
    assert [attempt for key, attempt in CALLS if "/b/" in key] == [1, 2]


def test_an_error_whose_text_or_output_cannot_be_kept_is_still_that_error(engine: Engine) -> None:
    def bad(_context: StepContext) -> None:
        raise StepError("it said \0 and \ud800", kind="odd", output={"body": "\0"})

    ACTS["bad"] = bad
    graph = {
        "nodes": [{"node_id": "start", "node_type": "trigger"}, probe("a", "bad"), probe("rescue")],
        "edges": [{"from": "start", "to": "a"}, {"from": "a", "to": "rescue", "branch": "error"}],
    }
    run = engine.start(graph)
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert [step["error"]["kind"] for step in engine.steps(run) if step["node_id"] == "a"] == ["odd"]
    assert engine.run(chain(probe("a", "bad")))["error"]["kind"] == "odd"


def test_the_bound_on_outputs_holds_over_several_invocations(engine: Engine) -> None:
    engine.bounds = Bounds(context_bytes=5000)
    ACTS["big"] = lambda _context: "x" * 2000
    wait = {"node_id": "w", "node_type": "delay", "config": {"delay_seconds": 60}}
    run = engine.start(chain(probe("a", "big"), probe("b", "big"), wait, probe("c", "big")))
    engine.drive(run)
    engine.skip(61)
    engine.drive(run)
    assert engine.execution(run)["error"]["kind"] == "context_too_large"


class _Away:
    """A store that is out of reach, or has lost everything."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, _name: str) -> Any:
        def fail(*_args: Any, **_more: Any) -> Any:
            raise self.error

        return fail


def test_a_run_whose_stored_values_are_out_of_reach_rests_and_holds_up_no_other(engine: Engine, tmp_path: Path) -> None:
    store = DirectoryStorage(tmp_path, "s" * 32)
    engine.storage, engine.inline_bytes = store, 100
    ACTS["large"] = lambda _context: "x" * 1000
    wait = {"node_id": "w", "node_type": "delay", "config": {"delay_seconds": 60}}
    run = engine.start(chain(probe("a", "large"), wait, probe("b")))
    gone = engine.start(chain(probe("a", "large"), wait, probe("b")))
    engine.drive(run, gone)
    for away, expected in ((OSError("disk"), "waiting"), (Unavailable("away"), "waiting")):
        engine.skip(61)
        engine.storage = _Away(away)
        other = engine.start(chain(probe("a")))
        engine.bell.rung.clear()
        engine.drive(run, other)
        assert engine.execution(other)["status"] == "completed"
        assert engine.execution(run)["status"] == expected
        hot = engine.hot(run)
        assert hot is not None
        assert (hot["state"], hot["losses"]) == ("waiting", 0)
    engine.storage = _Away(NotFound("gone"))
    engine.drive(gone)
    assert engine.execution(gone)["error"]["kind"] == "values_gone"
    engine.storage = store
    engine.skip(61)
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"


def test_a_run_is_not_failed_because_its_graph_was_forgotten_for_another_of_its_batch(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.workflow.drive.GRAPHS_KEPT", 1)
    workflow = engine.save(chain(probe("a")))
    first, second = (str(engine.call("start_run", workflow, engine.user.id, "manual", "{}")) for _ in range(2))
    driver = engine.driver()
    driver.drive([first], engine.now() + timedelta(seconds=60))
    others = [engine.start(chain(probe("a"))) for _ in range(3)]
    third = str(engine.call("start_run", workflow, engine.user.id, "manual", "{}"))
    driver.drive([second, *others, third], engine.now() + timedelta(seconds=60))
    assert {engine.execution(run)["status"] for run in (second, *others, third)} == {"completed"}


def test_a_request_may_take_the_time_that_its_config_says(engine: Engine) -> None:
    seen = []
    ACTS["look"] = lambda context: seen.append((context.deadline - context.now).total_seconds())
    config = {"act": "look", "timeout_seconds": 200}
    engine.run(chain({"node_id": "a", "node_type": "probe", "config": config}))
    assert seen == [200]
