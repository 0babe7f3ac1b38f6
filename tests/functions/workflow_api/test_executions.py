"""A run can be started, followed, told things, ended and opened again; what is asked for twice happens once."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from shared.payloads import keep
from shared.storage import DirectoryStorage, storage
from tests.cluster import TestDatabase, User
from tests.functions.conftest import Bells
from tests.functions.gateway import GRAPH, SECRET, Gateway

WORKFLOWS = "/api/v1/workflows"
RUNS = f"{WORKFLOWS}/executions"


def graph(*nodes: dict[str, Any]) -> dict[str, Any]:
    """These nodes in a row, after a trigger."""
    row = [{"node_id": "start", "node_type": "trigger", "config": {}}, *nodes]
    return {
        "nodes": row,
        "edges": [{"from": a["node_id"], "to": b["node_id"]} for a, b in itertools.pairwise(row)],
    }


WAITING = graph({"node_id": "wait", "node_type": "delay", "config": {"delay_type": "signal", "signal": "approved"}})
FAILING = graph({"node_id": "stop", "node_type": "fail", "config": {"message": "no flour"}})


@pytest.fixture
def start(api: Gateway) -> Callable[..., dict[str, Any]]:
    """Start a run of a workflow with this graph."""

    def started(graph_config: Any = GRAPH, body: Any = None) -> dict[str, Any]:
        made = api.post(WORKFLOWS, {"name": "Mill", "graph_config": graph_config})
        assert made.status == 201, made
        answer = api.post(f"{WORKFLOWS}/{made.json['id']}/run", body)
        assert answer.status == 202, answer
        run: dict[str, Any] = answer.json
        return run

    return started


SIZE = {"name": "n", "value": "{{ size(trigger.payload) }}"}
LOOK_ALIKE = {"$payload": {"sha256": "0" * 64, "bytes": 1}}


@pytest.mark.parametrize(
    "payload", ["x" * 70_000, "x" * 1_000_000, [0] * 340_000, LOOK_ALIKE], ids=lambda p: str(p)[:9]
)
def test_whatever_payload_is_accepted_is_what_the_run_sees(
    api: Gateway, start: Callable[..., dict[str, Any]], work: Callable[[], None], payload: Any
) -> None:
    graph_config = graph({"node_id": "same", "node_type": "set_variable", "config": SIZE})
    run = start(graph_config, {"payload": payload})
    work()
    shown = api.get(f"{RUNS}/{run['id']}").json
    assert (shown["status"], shown["output"]) == ("completed", {"n": len(payload)}), shown["error"]
    assert shown["trigger_data"]["payload"].keys() == {"$payload"}


def test_a_run_is_accepted_with_its_address_and_its_bell_is_rung(
    api: Gateway, workflow: dict[str, Any], bells: Bells, work: Callable[[], None]
) -> None:
    started = api.post(f"{WORKFLOWS}/{workflow['id']}/run", {"payload": {"sacks": 3}})
    assert started.status == 202
    assert started.headers["location"] == f"{RUNS}/{started.json['id']}"
    assert started.json["status"] == "running"
    work()
    done = api.get(started.headers["location"]).json
    assert (done["status"], done["ended"], done["trigger_type"], done["workflow_version"]) == (
        "completed", True, "manual", 1,
    )  # fmt: skip
    assert done["trigger_data"]["payload"] == {"sacks": 3}
    assert done["duration_ms"] >= 0
    assert api.get(f"{RUNS}/{done['id']}/status").json["status"] == "completed"


def test_a_run_of_a_disabled_workflow_is_refused(api: Gateway, workflow: dict[str, Any], bells: Bells) -> None:
    api.patch(f"{WORKFLOWS}/{workflow['id']}", {"is_active": False})
    refused = api.post(f"{WORKFLOWS}/{workflow['id']}/run")
    assert refused.problem["status"] == 409
    assert refused.problem["remedy"]
    assert bells.rung() == []


def test_the_same_idempotency_key_starts_one_run(api: Gateway, other: Gateway, workflow: dict[str, Any]) -> None:
    here, key = f"{WORKFLOWS}/{workflow['id']}/run", {"Idempotency-Key": "order-17"}
    first = api.post(here, {"payload": 1}, headers=key)
    again = api.post(here, {"payload": 1}, headers=key)
    assert (again.status, again.json["id"]) == (202, first.json["id"])
    changed = api.post(here, {"payload": 2}, headers=key)
    assert changed.problem["status"] == 422
    assert api.post(here, {"payload": 1}).json["id"] != first.json["id"]
    assert api.post(here, {"payload": 1}, headers={"Idempotency-Key": "a key"}).status == 422
    mine = other.post(WORKFLOWS, {"name": "theirs", "graph_config": GRAPH}).json["id"]
    assert other.post(f"{WORKFLOWS}/{mine}/run", {"payload": 3}, headers=key).status == 202  # keys are per tenant


def test_of_two_requests_with_one_key_the_second_waits_and_gets_the_firsts_run(
    db: TestDatabase, user: User, api: Gateway, workflow: dict[str, Any]
) -> None:
    call = "select id from millrace.run_workflow(%s, %s, 'k')"
    first, second = (db.connect("millrace_api", claims=user) for _ in range(2))
    first.execute("begin")
    [one] = first.execute(call, [workflow["id"], {"payload": 1}]).fetchall()
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.extend(second.execute(call, [workflow["id"], {"payload": 1}]).fetchall())
    )
    thread.start()
    db.wait_until_blocked(second)
    first.execute("commit")
    thread.join()
    assert answers == [one]
    assert len(api.get(RUNS).json["items"]) == 1


def test_the_timeline_tells_each_step_in_brief_and_steps_tell_it_in_full(
    api: Gateway, start: Callable[..., dict[str, Any]], work: Callable[[], None]
) -> None:
    run = start(body={"payload": "x" * 500})
    work()
    timeline = api.get(f"{RUNS}/{run['id']}/timeline").json
    assert timeline["execution"]["status"] == "completed"
    assert [(s["node_id"], s["node_type"], s["attempt"], s["status"]) for s in timeline["steps"]] == [
        ("start", "trigger", 1, "completed"),
        ("set", "set_variable", 1, "completed"),
    ]
    first = timeline["steps"][0]
    assert first["output"].endswith("…")
    assert len(first["output"]) == 201
    assert first["duration_ms"] >= 0
    assert first["started_at"]
    page = api.get(f"{RUNS}/{run['id']}/timeline", limit=1).json
    assert len(page["steps"]) == 1
    rest = api.get(f"{RUNS}/{run['id']}/timeline", limit=1, cursor=page["next"]).json
    assert [s["node_id"] for s in rest["steps"]] == ["set"]
    assert rest["next"] is None
    steps = api.get(f"{RUNS}/{run['id']}/steps").json["items"]
    assert steps[0]["output"]["payload"] == "x" * 500
    assert [s["node_id"] for s in api.get(f"{RUNS}/{run['id']}/steps", node="set").json["items"]] == ["set"]


def test_a_failed_run_says_why_and_where_and_can_be_opened_again(
    api: Gateway, start: Callable[..., dict[str, Any]], work: Callable[[], None], bells: Bells
) -> None:
    run = start(FAILING)
    here = f"{RUNS}/{run['id']}"
    work()
    failed = api.get(here).json
    assert failed["status"] == "failed"
    assert "no flour" in json.dumps([failed["error"], failed["error_message"]])
    assert api.post(f"{here}/signals", {"type": "late"}).problem["status"] == 409
    again = api.post(f"{here}/retry", headers={"Idempotency-Key": "r"})
    assert (again.status, again.json["status"], again.json["retry_count"]) == (202, "running", 1)
    assert api.post(f"{here}/retry", headers={"Idempotency-Key": "r"}).status == 202  # the same request
    assert api.post(f"{here}/retry").problem["status"] == 409  # another one: it runs
    assert run["id"] in bells.rung()


def test_a_waiting_run_hears_a_signal_once_and_goes_on(
    api: Gateway, start: Callable[..., dict[str, Any]], work: Callable[[], None]
) -> None:
    run = start(WAITING)
    here = f"{RUNS}/{run['id']}"
    work()
    assert api.get(f"{here}/status").json["status"] == "waiting_for_signal"
    told = api.post(f"{here}/signals", {"type": "approved", "data": {"by": "Ada"}}, headers={"Idempotency-Key": "s"})
    assert told.status == 202
    again = api.post(f"{here}/signals", {"type": "approved", "data": {"by": "Ada"}}, headers={"Idempotency-Key": "s"})
    assert again.json == told.json
    work()
    assert api.get(f"{here}/status").json["status"] == "completed"
    assert "Ada" in json.dumps(api.get(f"{here}/steps").json)


def test_the_engines_own_signals_cannot_be_forged(api: Gateway, start: Callable[..., dict[str, Any]]) -> None:
    run = start(WAITING)
    forged = api.post(f"{RUNS}/{run['id']}/signals", {"type": "millrace.resolve_step", "data": {"node_id": "wait"}})
    assert forged.problem["status"] == 422
    assert forged.paths == ["type"]


def test_cancelling_ends_a_run_and_may_be_repeated(api: Gateway, start: Callable[..., dict[str, Any]]) -> None:
    run = start(WAITING)
    for word in ("cancel", "terminate", "cancel"):
        ended = api.post(f"{RUNS}/{run['id']}/{word}")
        assert (ended.status, ended.json) == (202, {"id": run["id"], "status": "cancelled"})
    assert api.get(f"{RUNS}/{run['id']}").json["status"] == "cancelled"


def test_a_run_that_a_worker_has_is_cancelled_when_the_worker_hears_of_it(
    db: TestDatabase, api: Gateway, start: Callable[..., dict[str, Any]], bells: Bells
) -> None:
    run = start(WAITING)
    bells.rung()
    db.engine.call("select * from millrace.claim_runs(%(ids)s::uuid[], 60, '{}')", {"ids": [run["id"]]})
    assert api.post(f"{RUNS}/{run['id']}/cancel").json["status"] == "cancelling"
    assert bells.rung() == [run["id"]]


def test_a_completed_run_cannot_be_cancelled(
    api: Gateway, start: Callable[..., dict[str, Any]], work: Callable[[], None]
) -> None:
    run = start()
    work()
    assert api.post(f"{RUNS}/{run['id']}/cancel").problem["status"] == 409


def test_a_step_that_is_not_in_doubt_is_not_resolved(api: Gateway, start: Callable[..., dict[str, Any]]) -> None:
    here = f"{RUNS}/{start(WAITING)['id']}/steps/wait/resolve"
    assert api.post(here, {"decision": "retry"}).problem["status"] == 409
    assert api.post(here, {"decision": "maybe"}).paths == ["decision"]


def test_a_step_in_doubt_is_decided_by_its_owner(
    db: TestDatabase, api: Gateway, start: Callable[..., dict[str, Any]], bells: Bells
) -> None:
    run = start(WAITING)
    bells.rung()
    doubt = {"wait": {"attempt": 1, "iteration": 0, "in_doubt": True}}
    db.owner.execute("update millrace.run set frontier = %s where execution_id = %s", [doubt, run["id"]])
    decided = api.post(f"{RUNS}/{run['id']}/steps/wait/resolve", {"decision": "complete", "output": {"done": True}})
    assert decided.status == 202
    assert bells.rung() == [run["id"]]
    told = db.owner.execute("select signal_type, signal_data from workflowsignal").fetchall()
    assert [row["signal_type"] for row in told] == ["millrace.resolve_step"]
    assert told[0]["signal_data"]["output"] == {"done": True}


def test_runs_are_found_by_workflow_status_trigger_and_time(
    api: Gateway, start: Callable[..., dict[str, Any]], work: Callable[[], None]
) -> None:
    done = start()
    work()
    waiting = start(WAITING)

    def found(**query: Any) -> list[str]:
        return [run["id"] for run in api.get(RUNS, **query).json["items"]]

    assert found() == [waiting["id"], done["id"]]
    assert found(status="completed") == [done["id"]]
    assert found(status=["completed", "running"]) == [waiting["id"], done["id"]]
    assert found(workflow_id=done["workflow_id"]) == [done["id"]]
    assert found(trigger_type="webhook") == []
    later = datetime.fromisoformat(waiting["started_at"]) + timedelta(microseconds=1)
    assert found(started_after=later.isoformat()) == []
    assert found(started_before=waiting["started_at"]) == [done["id"]]
    alias = api.get(f"{WORKFLOWS}/by-workflow/{done['workflow_id']}/executions").json["items"]
    assert [run["id"] for run in alias] == [done["id"]]
    first = api.get(RUNS, limit=1).json
    assert [run["id"] for run in api.get(RUNS, limit=1, cursor=first["next"]).json["items"]] == [done["id"]]


def test_the_log_is_read_in_order_and_by_level(
    db: TestDatabase, user: User, api: Gateway, start: Callable[..., dict[str, Any]]
) -> None:
    run = start(WAITING)
    for number, level in enumerate(("info", "error", "info")):
        db.owner.execute(
            "insert into executionlog (execution_id, owner_id, node_id, level, message, timestamp)"
            " values (%s, %s, 'start', %s, %s, timestamp '2026-01-01' + %s * interval '1 second')",
            [run["id"], user.id, level, f"line {number}", number],
        )
    here = f"{RUNS}/{run['id']}/logs"
    page = api.get(here, limit=2).json
    assert [line["message"] for line in page["items"]] == ["line 0", "line 1"]
    assert [line["message"] for line in api.get(here, limit=2, cursor=page["next"]).json["items"]] == ["line 2"]
    assert [line["message"] for line in api.get(here, level="error").json["items"]] == ["line 1"]


def test_a_tail_answers_at_once_with_what_is_new_and_waits_for_news(
    api: Gateway, start: Callable[..., dict[str, Any]], work: Callable[[], None]
) -> None:
    run = start(WAITING)
    here = f"{RUNS}/{run['id']}/tail"
    first = api.get(here, wait=0).json
    assert (first["execution"]["status"], first["steps"]) == ("running", [])
    news: list[Any] = []
    follower = threading.Thread(target=lambda: news.append(follow(here, first["cursor"])))

    def follow(path: str, cursor: str) -> Any:
        # A handler serves one request at a time, as on Lambda: the follower has a face of its own.
        from functions.workflow_api.executions import tail
        from shared.tenant import gate

        assert api.token is not None
        return tail(gate().admit(api.token), uuid.UUID(run["id"]), cursor, 20)

    follower.start()
    work()
    follower.join(timeout=20)
    [told] = news
    assert told.execution.status in ("running", "waiting_for_signal")
    api.post(f"{RUNS}/{run['id']}/cancel")
    last = api.get(here, cursor=told.cursor).json
    assert last["execution"]["ended"]


def test_a_tail_of_an_ended_run_never_waits(api: Gateway, start: Callable[..., dict[str, Any]]) -> None:
    run = start(WAITING)
    api.post(f"{RUNS}/{run['id']}/cancel")
    here = f"{RUNS}/{run['id']}/tail"
    end = api.get(here).json
    assert end["execution"]["ended"]
    assert api.get(here, cursor=end["cursor"], wait=25).json["execution"]["ended"]
    assert api.get(here, wait=26).problem["status"] == 422


def test_an_event_source_gets_one_event_with_its_cursor_and_is_told_to_stop_at_the_end(
    api: Gateway, start: Callable[..., dict[str, Any]], work: Callable[[], None]
) -> None:
    run = start()
    work()
    here, accept = f"{RUNS}/{run['id']}/tail", {"Accept": "text/event-stream"}
    event = api.get(here, headers=accept)
    assert event.headers["content-type"].startswith("text/event-stream")
    fields = dict(line.split(": ", 1) for line in event.text.strip().split("\n"))
    assert json.loads(fields["data"])["execution"]["status"] == "completed"
    stopped = api.get(here, headers={**accept, "Last-Event-ID": fields["id"]})
    assert (stopped.status, stopped.text) == (204, "")


def test_a_large_value_is_found_by_its_hash_and_only_by_its_owner(
    api: Gateway, other: Gateway, user: User, start: Callable[..., dict[str, Any]]
) -> None:
    kept = keep(storage(), user.id, b"flour" * 1000, "text/plain")["$payload"]
    here = f"{WORKFLOWS}/payloads/{kept['sha256']}"
    found = api.get(here).json
    assert (found["bytes"], found["media_type"]) == (5000, "text/plain")
    url = urlsplit(found["url"])
    grant = DirectoryStorage(Path("unused"), SECRET.encode()).verify(
        kept["bucket"], kept["key"], dict(parse_qsl(url.query))
    )
    assert (grant.method, grant.key) == ("GET", kept["key"])
    assert other.get(here).problem["status"] == 404
    assert api.get(f"{WORKFLOWS}/payloads/{'0' * 64}").problem["status"] == 404
    assert api.get(f"{WORKFLOWS}/payloads/..%2f{kept['sha256']}").problem["status"] in (404, 422)
