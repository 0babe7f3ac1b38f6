"""Workflows saved in the old shapes run after an adoption; those that cannot are listed with every mistake."""

from __future__ import annotations

import pytest

from tests.cluster import User
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old
from tests.workflow.engine.harness import Engine

TRIGGER = {"amount": 12, "list": [1, 2, 3]}


@pytest.mark.parametrize("name", old_system.SHAPES)
def test_a_workflow_of_an_old_shape_runs(old: Old, name: str) -> None:
    old.adopt()
    row = old.owner.execute("select id, owner_id, version from workflow where name = %s", [name]).fetchone()
    assert row is not None
    engine = Engine(old, User(row["owner_id"], row["owner_id"], "", {}), old.database("millrace_engine"))
    run = str(engine.call("start_run", row["id"], row["owner_id"], "manual", TRIGGER))
    engine.drive(run)
    engine.executor.shutdown()
    execution = engine.execution(run)
    assert (execution["status"], execution["error"]) == ("completed", None)
    assert execution["workflow_version"] == row["version"]
    steps = {step["node_id"]: step for step in engine.steps(run)}
    _, expected = old_system.SHAPES[name]
    for node, held in expected.items():
        assert steps[node]["status"] == "completed"
        assert {key: steps[node][key] for key in held} == held
    assert set(steps) == set(expected) | ({"t", "wait"} & set(steps))


def test_what_cannot_run_is_listed_with_every_mistake_and_left_inactive_but_unchanged(old: Old) -> None:
    before = old_system.snapshot(old.owner)["workflow"]
    done = old.adopt()
    assert {one.name for one in done.after.broken} == set(old_system.BROKEN)
    paths = {one.name: [mistake["path"] for mistake in one.mistakes] for one in done.after.broken}
    assert paths["A node nobody knows, and a way to nowhere"][:2] == ["nodes.1.node_type", "edges.0.to"]
    assert paths["Nothing at all"]
    assert "cycle" in next(one for one in done.after.broken if one.name == "In a circle").mistakes[0]["message"]
    assert done.stopped == 2  # the third was inactive already
    after = old_system.snapshot(old.owner)["workflow"]
    for one in done.after.broken:
        held, now = before[str(one.id)], after[str(one.id)]
        assert now["is_active"] == "false"
        assert held | {"is_active": "false"} == now


def test_every_workflow_gets_what_it_holds_as_its_first_version(old: Old) -> None:
    old.adopt()
    rows = old.owner.execute(
        """
        select workflow.name, workflow.version = version.version as same, version.graph, graph_config
        from workflow
        join workflowversion as version on version.id = version_id and version.owner_id = workflow.owner_id
        """
    ).fetchall()
    assert {row["name"] for row in rows} == {*old_system.SHAPES, *old_system.BROKEN}
    for row in rows:
        assert row["same"]
        if row["name"] != "nodes in their own table":
            assert row["graph"] == (row["graph_config"] or {})


def test_a_schedule_that_the_old_system_only_stored_is_told_and_not_started(old: Old) -> None:
    held = old.owner.execute("select count(*) as number from workflowschedule").fetchone()
    done = old.adopt()
    # The workflow of this one has rows of schedules besides, so that it is not asked for.
    assert [one.name for one in done.after.unscheduled] == []
    assert old.owner.execute("select count(*) as number from workflowschedule").fetchone() == held
    old.owner.execute("delete from workflowschedule")
    assert [(one.name, one.cron) for one in old.survey().unscheduled] == [("list, the builder's keys", "0 9 * * 1")]
