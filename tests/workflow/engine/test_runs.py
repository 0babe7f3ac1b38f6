"""A run goes through its graph: order, branches, joins, output."""

from __future__ import annotations

from pathlib import Path

from shared.payloads import externalise
from shared.storage import DirectoryStorage
from shared.workflow.node import StepContext
from tests.workflow.engine.harness import ACTS, CALLS, Engine, chain, probe


def test_a_chain_runs_in_order_and_gives_its_last_output(engine: Engine) -> None:
    run = engine.start(chain(probe("a"), probe("b")))
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert engine.execution(run)["output"] == {"from": "b"}
    assert [step["node_id"] for step in engine.steps(run)] == ["start", "a", "b"]
    assert engine.hot(run) is None


def test_pure_steps_in_a_row_are_one_round_trip(engine: Engine) -> None:
    graph = chain(*[probe(f"n{i}", kind="probe_pure") for i in range(10)])
    run = engine.start(graph)
    calls = []
    original = engine.database.call
    engine.database.call = lambda *args, **kwargs: calls.append(args[0]) or original(*args, **kwargs)  # type: ignore[method-assign]
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert len(calls) == 2  # claim, finish


def test_a_condition_leaves_the_other_branch_dead(engine: Engine) -> None:
    graph = {
        "nodes": [
            {"node_id": "start", "node_type": "trigger"},
            {"node_id": "big", "node_type": "condition", "config": {"condition": "trigger.n > 5"}},
            probe("yes"),
            probe("no"),
            probe("after_no"),
            probe("join"),
        ],
        "edges": [
            {"from": "start", "to": "big"},
            {"from": "big", "to": "yes", "branch": "true"},
            {"from": "big", "to": "no", "branch": "false"},
            {"from": "no", "to": "after_no"},
            {"from": "yes", "to": "join"},
            {"from": "after_no", "to": "join"},
        ],
    }
    run = engine.start(graph, {"n": 7})
    engine.drive(run)
    assert [step["node_id"] for step in engine.steps(run)] == ["start", "big", "yes", "join"]


def test_a_join_waits_for_the_longer_branch_and_sees_both(engine: Engine) -> None:
    seen = {}
    ACTS["look"] = lambda context: seen.update(context.inputs) or "done"
    graph = {
        "nodes": [
            {"node_id": "start", "node_type": "trigger"},
            probe("a"),
            probe("b"),
            probe("b2"),
            probe("join", "look"),
        ],
        "edges": [
            {"from": "start", "to": "a"},
            {"from": "start", "to": "b"},
            {"from": "b", "to": "b2"},
            {"from": "a", "to": "join"},
            {"from": "b2", "to": "join"},
        ],
    }
    run = engine.start(graph)
    engine.drive(run)
    assert seen == {"a": {"from": "a"}, "b2": {"from": "b2"}}
    assert engine.execution(run)["output"] == "done"
    assert [key.split("/")[1] for key, _ in CALLS].count("join") == 1


def test_a_batch_is_claimed_and_finished_together(engine: Engine) -> None:
    runs = [engine.start(chain(probe("a"))) for _ in range(5)]
    assert engine.drive(*runs) == 5
    assert {engine.execution(run)["status"] for run in runs} == {"completed"}


def test_a_respond_node_shapes_the_webhooks_answer(engine: Engine) -> None:
    respond = {"node_id": "r", "node_type": "respond", "config": {"status": 201, "body": "{{ trigger.x }}"}}
    execution = engine.run(chain(respond, probe("later")), {"x": 4})
    assert execution["response"]["status"] == 201
    assert execution["response"]["body"] == 4


def test_variables_survive_a_new_invocation(engine: Engine) -> None:
    set_it = {"node_id": "set", "node_type": "set_variable", "config": {"variable_name": "n", "variable_value": 3}}
    wait = {"node_id": "w", "node_type": "delay", "config": {"delay_seconds": 60}}
    get_it = {"node_id": "get", "node_type": "get_variable", "config": {"variable_name": "n"}}
    run = engine.start(chain(set_it, wait, get_it))
    engine.drive(run)
    assert engine.execution(run)["status"] == "waiting"
    engine.skip(61)
    engine.drive(run)
    assert engine.execution(run)["output"] == 3


def test_an_effect_begins_only_when_what_it_depends_on_is_written(engine: Engine) -> None:
    written = []

    def look(context: StepContext) -> str:
        written.append([step["node_id"] for step in engine.steps(context.key.split("/")[0])])
        return context.key

    ACTS["look"] = look
    run = engine.start(chain(probe("a", "look"), probe("p", kind="probe_pure"), probe("b", "look"), probe("c", "look")))
    engine.drive(run)
    assert written == [[], ["start", "a", "p"], ["start", "a", "p", "b"]]
    assert engine.execution(run)["status"] == "completed"
    assert engine.bell.rung == []  # in one invocation


def test_a_large_output_goes_to_a_bucket_and_comes_back_to_later_steps(engine: Engine, tmp_path: Path) -> None:
    engine.storage = DirectoryStorage(tmp_path, "s" * 32)
    engine.inline_bytes = 100
    ACTS["large"] = lambda _context: {"text": "x" * 1000}
    ACTS["size"] = lambda context: context.evaluate("size(nodes.a.output.text)")
    wait = {"node_id": "w", "node_type": "delay", "config": {"delay_seconds": 60}}
    run = engine.start(chain(probe("a", "large"), wait, probe("b", "size"), probe("c", "large")))
    engine.drive(run)
    engine.skip(61)
    engine.drive(run)
    outputs = {step["node_id"]: step["output"] for step in engine.steps(run)}
    assert outputs["a"]["$payload"]["bytes"] == len('{"text":""}') + 1000
    assert outputs["b"] == 1000
    assert engine.execution(run)["output"] == outputs["c"] == outputs["a"]  # one object for equal values


def test_an_output_that_looks_like_a_reference_is_not_followed(engine: Engine, tmp_path: Path) -> None:
    engine.storage = DirectoryStorage(tmp_path, "s" * 32)
    forged = {"$payload": {"bucket": "workflow-attachments", "key": "x", "sha256": "0" * 64, "bytes": 1}}
    ACTS["forge"] = lambda _context: forged
    ACTS["look"] = lambda context: context.inputs["a"] == forged
    wait = {"node_id": "w", "node_type": "delay", "config": {"delay_seconds": 60}}
    run = engine.start(chain(probe("a", "forge"), probe("b", "look"), wait, probe("c")))
    engine.drive(run)
    engine.skip(61)
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert [step["output"] for step in engine.steps(run)][2] is True


def test_expressions_read_a_trigger_s_payload_that_its_row_only_refers_to(engine: Engine, tmp_path: Path) -> None:
    engine.storage = DirectoryStorage(tmp_path, "s" * 32)
    kept = externalise(engine.storage, engine.user.id, {"ref": "main", "text": "x" * 1000}, 100)
    condition = {"node_id": "big", "node_type": "condition", "config": {"condition": "trigger.payload.ref == 'main'"}}
    config = {"name": "n", "value": "{{ size(trigger.payload.text) }}"}
    graph = chain(condition, {"node_id": "set", "node_type": "set_variable", "config": config})
    graph["edges"][1]["branch"] = "true"
    run = engine.start(graph, {"trigger_type": "webhook", "payload": kept})
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert engine.execution(run)["output"] == {"n": 1000}
    assert engine.execution(run)["trigger_data"]["payload"] == kept  # the run stays light


def test_a_run_whose_payload_is_gone_fails_and_says_so(engine: Engine, tmp_path: Path) -> None:
    engine.storage = DirectoryStorage(tmp_path, "s" * 32)
    kept = externalise(engine.storage, engine.user.id, "x" * 1000, 100)
    engine.storage.delete(kept["$payload"]["bucket"], kept["$payload"]["key"])
    run = engine.start(chain(probe("a")), {"payload": kept})
    engine.drive(run)
    assert engine.execution(run)["status"] == "failed"
    assert engine.execution(run)["error"]["kind"] == "values_gone"
    assert CALLS == []
