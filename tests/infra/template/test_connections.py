"""Workers that would find no place at the database's pooler are not deployed."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.stack import ROOT
from infra.template.compiler import Template
from infra.template.connections import Connections, count
from infra.template.stage import Stage, read_stage
from tests.infra.template.conftest import Compile

STAGE = read_stage(ROOT, "dev", {})


def made(stage: Stage = STAGE, **changes: Any) -> Connections:
    """The count for one worker (a queue, at most 20), one ticking function and two HTTP functions."""
    mapping: dict[str, Any] = {"FunctionName": {"Fn::GetAtt": ["Run", "Arn"]}}
    if (most := changes.get("most", 20)) is not None:
        mapping["ScalingConfig"] = {"MaximumConcurrency": most}
    resources: dict[str, Any] = {
        logical: {
            "Type": "AWS::Lambda::Function",
            "Properties": {"FunctionName": f"millrace-dev-{logical.lower()}"}
            | ({"ReservedConcurrentExecutions": changes[logical]} if logical in changes else {}),
        }
        for logical in ("Run", "Tick", "Hooks", "Api")
    }
    resources["Mapping"] = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping}
    resources["Rule"] = {
        "Type": "AWS::Events::Rule",
        "Properties": {"Targets": [{"Arn": {"Fn::Join": [":", [{"Fn::GetAtt": ["Tick", "Arn"]}, "snapstart"]]}}]},
    }
    return count(Template("dev", {"Resources": resources}, ()), stage)


def test_queues_schedules_and_the_share_of_http_are_added_up() -> None:
    assert made().clients == {"run": 20, "tick": 2, "(HTTP)": 100}
    assert made().total == 122
    assert made().complaints == ()


def test_reserved_functions_leave_the_share() -> None:
    assert made(Hooks=30).clients == {"run": 20, "tick": 2, "hooks": 30, "(HTTP)": 100}
    assert made(Hooks=30, Api=10).clients == {"run": 20, "tick": 2, "hooks": 30, "api": 10}
    assert made(Tick=1).clients["tick"] == 1


def test_a_sum_over_the_pooler_s_limit_is_refused_with_who_wants_what() -> None:
    assert made(most=98).complaints == ()
    [said] = made(most=99).complaints
    assert "201 connections" in said
    assert "run 99, tick 2, (HTTP) 100" in said
    assert "takes 200" in said
    assert "run_concurrency" in said
    assert made(STAGE.model_copy(update={"pooler_clients": 400}), most=99).complaints == ()


def test_a_queue_that_bounds_nothing_is_refused() -> None:
    [said] = made(most=None).complaints
    assert said.startswith("run: its queue has no maximumConcurrency")


def test_a_worker_with_less_reserved_than_its_queue_starts_is_refused() -> None:
    said = made(Run=10).complaints
    assert any("run: up to 20 are started but 10 are reserved" in line for line in said)
    assert made(Run=10).clients["run"] == 10


@pytest.mark.parametrize(("name", "total"), [("dev", 144), ("prod", 144)])
def test_our_stages_fit(compile: Compile, name: str, total: int) -> None:  # noqa: A002
    found = count(compile(name), read_stage(ROOT, name, {}))
    assert found.complaints == ()
    assert found.total == total <= found.limit


def test_with_snapshots_the_sum_is_the_same(snapped: Template, dev: Template) -> None:
    assert count(snapped, STAGE) == count(dev, STAGE)
