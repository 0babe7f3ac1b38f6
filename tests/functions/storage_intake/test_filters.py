"""A trigger's filter decides by what the run would see; it costs its neighbours nothing and loses no event."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

import pytest

import shared.expressions
import shared.settings
from functions.storage_intake import filters
from shared import statements
from shared.errors import Unavailable
from tests.functions.storage_intake.shelf import Shelf, changes
from tests.intake import make_workflow


def test_only_files_for_which_the_filter_holds_start_the_workflow(shelf: Shelf) -> None:
    trigger = shelf.trigger(
        filter_expression="trigger.payload.key.endsWith('.pdf') && trigger.payload.size > 10"
        " && trigger.event == 'ObjectCreated:Put' && trigger.storage_trigger_id != ''"
    )
    assert shelf.start(shelf.message(shelf.mine("a.pdf"), shelf.mine("b.txt"), shelf.mine("c.pdf"))) == []
    assert sorted(shelf.found()) == [shelf.mine("a.pdf"), shelf.mine("c.pdf")]
    assert shelf.read(trigger)["last_error"] is None
    assert len([bell for bell in shelf.bell.rung if bell[0] == "workflow-run"]) == 2


def test_each_trigger_is_judged_by_itself(shelf: Shelf) -> None:
    workflows = [make_workflow(shelf.db, shelf.user) for _ in range(3)]
    shelf.trigger(workflow_id=workflows[0], filter_expression="true")
    shelf.trigger(workflow_id=workflows[1], filter_expression="false")
    shelf.trigger(workflow_id=workflows[2])
    message = shelf.message(shelf.mine("a"))
    assert shelf.start(message, message) == []
    assert shelf.start(message) == []
    assert {run["workflow_id"] for run in shelf.runs()} == {workflows[0], workflows[2]}
    assert len(shelf.runs()) == 2


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("trigger.payload.pages > 1", "pages"),
        ("trigger.payload.size", "true or false, not a number"),
        ("1 / (trigger.payload.size - trigger.payload.size) == 1", "zero"),
    ],
)
def test_a_filter_that_fails_starts_nothing_and_tells_its_owner_while_the_others_go_on(
    shelf: Shelf, expression: str, error: str
) -> None:
    trigger = shelf.trigger(filter_expression=expression)
    other = make_workflow(shelf.db, shelf.user)
    shelf.trigger(workflow_id=other)
    assert shelf.start(shelf.message(shelf.mine("a"))) == []
    assert [run["workflow_id"] for run in shelf.runs()] == [other]
    told = shelf.read(trigger)
    assert error in told["last_error"]
    assert told["last_error_at"] is not None


def test_a_filter_that_breaks_the_evaluator_costs_nobody_else(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any) -> None:
        raise RuntimeError("boom")

    trigger = shelf.trigger(filter_expression="true")
    monkeypatch.setattr(shared.expressions, "evaluate", explode)
    assert shelf.start(shelf.message(shelf.mine("a"))) == []
    assert shelf.runs() == []
    assert shelf.read(trigger)["last_error"] == "The filter could not be evaluated."


def test_without_a_filter_there_is_one_statement_and_the_evaluator_is_not_loaded(shelf: Shelf) -> None:
    shelf.trigger()
    calls = counted(shelf)
    assert shelf.start(shelf.message(shelf.mine("a"), shelf.mine("b"))) == []
    assert len(calls) == 1
    shelf.trigger(filter_expression="true")
    assert shelf.start(shelf.message(shelf.mine("c"), "loose")) == []
    assert len(calls) == 3


def counted(shelf: Shelf) -> list[list[dict[str, Any]]]:
    """The objects of each statement from now on."""
    calls: list[list[dict[str, Any]]] = []
    call = shelf.db.engine.call

    def counting(query: str, params: Any = None, **more: Any) -> Any:
        calls.append(params["objects"])
        return call(query, params, **more)

    shelf.db.engine.call = counting  # type: ignore[method-assign]
    return calls


def test_only_what_has_filters_goes_the_second_time(shelf: Shelf) -> None:
    shelf.trigger(prefix="in/", filter_expression="true")
    shelf.trigger(prefix="out/")
    calls = counted(shelf)
    assert shelf.start(shelf.message(shelf.mine("in/a"), shelf.mine("out/a"))) == []
    assert [[one["key"] for one in objects] for objects in calls] == [
        [shelf.mine("in/a"), shelf.mine("out/a")],
        [shelf.mine("in/a")],
    ]
    assert len(shelf.runs()) == 2


def test_whoever_dies_between_judging_and_starting_has_done_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.trigger(filter_expression="true")
    message = shelf.message(shelf.mine("a"))
    with monkeypatch.context() as dying:
        dying.setattr(filters, "judge", die)
        with pytest.raises(KeyboardInterrupt):
            shelf.start(message)
    assert shelf.runs() == []
    assert shelf.db.owner.execute("select from millrace.storage_event_dedupe").fetchall() == []
    assert shelf.start(message) == []
    assert len(shelf.runs()) == 1


def die(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_a_filter_that_changes_while_it_is_judged_is_judged_anew(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = shelf.trigger(filter_expression="true")
    judge = filters.judge

    def change(expression: str) -> None:
        shelf.db.owner.execute("update storagetrigger set filter_expression = %s where id = %s", [expression, trigger])

    def judging(*given: Any) -> Any:
        verdicts = judge(*given)
        change("false")
        return verdicts

    monkeypatch.setattr(filters, "judge", judging)
    assert shelf.start(shelf.message(shelf.mine("a"))) == []
    assert shelf.runs() == []

    def restless(*given: Any) -> Any:
        verdicts = judge(*given)
        change(f"'{uuid.uuid4()}' != ''")
        return verdicts

    monkeypatch.setattr(filters, "judge", restless)
    assert shelf.start(shelf.message(shelf.mine("b"))) == ["m1"]  # it comes again
    monkeypatch.setattr(filters, "judge", judge)
    assert shelf.start(shelf.message(shelf.mine("b"))) == []
    assert shelf.found() == [shelf.mine("b")]


def test_two_workers_that_judged_the_same_event_start_one_run(shelf: Shelf) -> None:
    """Both have their verdicts; the second waits on the key for the first."""
    trigger = shelf.trigger(filter_expression="true")
    [change] = changes(shelf.message(shelf.mine("a")))
    told = change.told(0) | {"verdicts": filters.judge(change.trigger(), {str(trigger): "true"})}
    statement = statements.load("storage_intake")["start"]
    parameters = {"objects": json.dumps([told]), "jobs": "{}"}
    one, two = shelf.db.connect("millrace_engine"), shelf.db.connect("millrace_engine")
    with one.transaction():
        assert [row["outcome"] for row in one.execute(statement, parameters).fetchall()] == ["run"]
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.extend(two.execute(statement, parameters).fetchall()))
        thread.start()
        shelf.db.wait_until_blocked(two)
    thread.join()
    assert found == []
    assert len(shelf.runs()) == 1


def test_a_database_that_goes_away_in_between_fails_the_batch(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.trigger(filter_expression="true")
    shelf.trigger(prefix="plain")
    call = shelf.db.engine.call
    answers = iter([call])

    def failing(*given: Any, **more: Any) -> Any:
        work = next(answers, None)
        if work is None:
            raise Unavailable("The database cannot be reached.")
        return work(*given, **more)

    monkeypatch.setattr(shelf.db.engine, "call", failing)
    message = shelf.message(shelf.mine("plain"), shelf.mine("a"))
    with pytest.raises(Unavailable):
        shelf.start(message)
    monkeypatch.undo()
    assert shelf.start(message) == []
    assert sorted(shelf.found()) == [shelf.mine("a"), shelf.mine("plain"), shelf.mine("plain")]


def test_many_filters_of_one_owner_are_judged_well_within_the_function_s_time(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as an owner may have, each as costly as the function's settings let it be."""
    monkeypatch.setenv("MILLRACE_EXPRESSION_WORK_BYTES", str(1024 * 1024))
    shared.settings.forget()
    costly = "trigger.payload.key.split('').all(a, trigger.payload.key.split('').exists(b, a == b || {} != ''))"
    expressions = {str(uuid.uuid4()): costly.format(f"'{number}'") for number in range(100)}
    [change] = changes(shelf.message(shelf.mine("a" * 40)))
    before = time.process_time()
    for _ in range(10):
        filters.judge(change.trigger(), expressions)
    assert time.process_time() - before < 15
    shared.settings.forget()
