"""``code`` hands a program, or a tool, to the capability that runs it, in the words of today and of the old system."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shared.workflow.graph import GraphError, parse
from shared.workflow.node import Job
from tests.workflow.context import call, step

PROGRAM = "result = input_data"


def job(config: dict[str, Any], **context: Any) -> Any:
    made = call("code", config, step(**context))
    assert isinstance(made, Job)
    assert made.kind == "code"
    return made.input


def test_the_old_keys_are_read() -> None:
    made = job(
        {
            "code": PROGRAM,
            "language": "node",
            "runtime": "e2b",
            "input_data": {"n": "{{ trigger.n }}"},
            "requirements": "",
            "timeout_seconds": 30,
        },
        trigger={"n": 3},
    )
    assert made["decision"]["asked"] == "e2b"
    del made["decision"]
    assert made == {
        "code": PROGRAM,
        "language": "javascript",
        "runtime": "wasm",
        "input_data": {"n": 3},
        "requirements": [],
        "timeout_seconds": 30,
    }


def test_the_code_itself_is_never_a_template() -> None:
    made = job({"code": "result = '{{ trigger.n }}'"}, trigger={"n": "'; import os; '"})
    assert made["code"] == "result = '{{ trigger.n }}'"


def test_without_input_data_it_is_what_leads_into_the_node() -> None:
    assert job({"code": PROGRAM}, inputs={"before": [1, 2]})["input_data"] == [1, 2]
    assert job({"code": PROGRAM}, inputs={"a": 1, "b": 2})["input_data"] == {"a": 1, "b": 2}
    assert job({"code": PROGRAM, "input_data": "{{ trigger }}"}, trigger=[None])["input_data"] == [None]


def test_a_tool_is_named_by_its_id_and_version() -> None:
    made = job({"tool": "add-vat", "tool_version": "1.0.0", "sandbox": "reports", "input_data": 1})
    assert (made["tool"], made["tool_version"], made["sandbox"], "code" in made) == (
        "add-vat",
        "1.0.0",
        "reports",
        False,
    )


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"code": PROGRAM, "tool": "add-vat"},
        {"code": ""},
        {"code": PROGRAM, "tool_version": "1.0.0"},
        {"code": PROGRAM, "language": "bash"},
        {"code": PROGRAM, "runtime": "docker"},
        {"code": PROGRAM, "requirements": ["numpy"]},
        {"code": PROGRAM, "timeout_seconds": 61},
        {"tool": "No Tool"},
        {"tool": "add-vat", "tool_version": "one"},
    ],
)
def test_mistakes_are_found_when_it_is_saved(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        job(config)


def test_it_is_refused_where_the_capability_is_not_deployed() -> None:
    graph = {"nodes": [{"node_id": "run", "node_type": "code", "config": {"code": PROGRAM}}], "edges": []}
    parse(graph, deployed=frozenset({"code_exec"}))
    with pytest.raises(GraphError, match="'code_exec', which is not deployed"):
        parse(graph, deployed=frozenset())
