"""A run whose step runs code: the job is handed out, done, and its result is the step's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import shared.doorbell
from tests.functions.code_exec.conftest import CodeWorker
from tests.functions.gateway import Gateway

W = "/api/v1/workflows"


def run(api: Gateway, still: CodeWorker, work: Callable[[], None], config: dict[str, Any], **edge: Any) -> Any:
    """The ended run and the outputs of its steps, by node."""
    graph = {
        "nodes": [
            {"node_id": "start", "node_type": "trigger", "config": {}},
            {"node_id": "run", "node_type": "code", "config": config},
            {"node_id": "next", "node_type": "set_variable",
             "config": {"variable_name": "seen", "variable_value": "{{ nodes.run.output }}"}},
        ],
        "edges": [{"from": "start", "to": "run"}, {"from": "run", "to": "next", **edge}],
    }  # fmt: skip
    made = api.post(W, {"name": "run code", "graph_config": graph})
    assert made.status == 201, made
    id_ = api.post(f"{W}/{made.json['id']}/run", {"payload": {"items": [{"price": 3}, {"price": 4}]}}).json["id"]
    work()
    due = [str(row["id"]) for row in still.db.engine.call("select id from millrace.due_jobs(100, 0)")]
    assert still.work(*due) == 1
    rung = [id_ for queue, id_, _ in still.doorbell.rung if queue == "workflow-run"]
    shared.doorbell.doorbell().ring("workflow-run", rung)
    work()
    steps = api.get(f"{W}/executions/{id_}/steps").json["items"]
    return api.get(f"{W}/executions/{id_}").json, {one["node_id"]: one["output"] for one in steps}, due[0]


def test_the_result_goes_to_the_next_node_and_the_run_of_code_is_a_row_like_any_other(
    api: Gateway, still: CodeWorker, work: Callable[[], None]
) -> None:
    code = "print('summing')\nresult = sum(item['price'] for item in input_data)"
    run_, outputs, id_ = run(api, still, work, {"code": code, "input_data": "{{ trigger.payload.items }}"})
    assert run_["status"] == "completed", run_
    output = outputs["run"]
    assert (output["result"], output["stdout"], output["stderr"], output["artifacts"]) == (7, "summing\n", "", [])
    assert output["usage"]["wall_ms"] > 0
    seen = api.get(f"/api/v1/code/execute/{id_}").json
    assert (seen["status"], seen["output_data"], seen["input_data"]) == ("completed", 7, [{"price": 3}, {"price": 4}])


def test_a_limit_fails_the_step_with_a_kind_that_names_it(
    api: Gateway, still: CodeWorker, work: Callable[[], None]
) -> None:
    run_, _, id_ = run(api, still, work, {"code": "limit:wall"})
    assert run_["status"] == "failed"
    assert run_["error"]["kind"] == "limit_wall"
    assert api.get(f"/api/v1/code/execute/{id_}").json["status"] == "timed_out"


def test_an_error_branch_is_given_what_the_code_printed(
    api: Gateway, still: CodeWorker, work: Callable[[], None]
) -> None:
    run_, outputs, _ = run(api, still, work, {"code": "print('so far')\nraise ValueError('no')"}, branch="error")
    assert run_["status"] == "completed", run_
    seen = str(outputs)
    assert "code_failed" in seen
    assert "so far" in seen


def test_a_tool_that_is_not_there_fails_the_step(api: Gateway, still: CodeWorker, work: Callable[[], None]) -> None:
    run_, _, _ = run(api, still, work, {"tool": "add-vat"})
    assert run_["error"]["kind"] == "not_found"
