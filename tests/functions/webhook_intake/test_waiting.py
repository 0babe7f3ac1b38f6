"""``?wait=``: the sender hears the run's own answer, shaped by its respond node, or 202 when there is none in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from functions.webhook_intake.intake import Limits
from functions.webhook_intake.waiting import wait_for
from tests.functions.webhook_intake.hook import Hook, Reply


@pytest.fixture
def ends(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the run end as given, as soon as its bell rings: what the engine would do."""

    def end(**columns: Any) -> None:
        owner = hook.db.connect("postgres")

        def ring(_queue: str, ids: list[str], _delay: float = 0) -> None:
            names = ", ".join(f"{name} = %({name})s" for name in columns)
            owner.execute(f"update workflowexecution set {names} where id = %(id)s", {**columns, "id": ids[0]})

        monkeypatch.setattr(hook.bell, "ring", ring)

    return end


def test_a_respond_node_shapes_the_answer(hook: Hook, ends: Callable[..., None]) -> None:
    hook.subscribe()
    ends(
        response={
            "status": 201,
            "headers": {
                "X-Made": "yes",
                "Set-Cookie": "a=b",
                "X-Bad\r\n": "x",
                "X-Split": "a\r\nb: c",
                "Location": "/",
            },
            "body": {"ok": True},
        }
    )
    reply = hook.post({}, query="wait=5")
    assert (reply.status, reply.json) == (201, {"ok": True})
    assert reply.headers["x-made"] == "yes"
    assert reply.headers["x-split"] == "a  b: c"
    assert reply.headers["location"].startswith("/api/v1/workflows/executions/")
    assert {"set-cookie", "x-bad"}.isdisjoint({name.strip() for name in reply.headers})
    assert reply.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(
    ("response", "text", "content_type"),
    [
        ({"status": 200, "body": "plain"}, "plain", "text/plain; charset=utf-8"),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, "<a/>", "text/xml"),
        ({"body": ["ü"]}, '["ü"]', "application/json"),
        ({"status": 204}, "", "application/json"),
    ],
)
def test_bodies_of_any_kind(
    hook: Hook, ends: Callable[..., None], response: dict[str, Any], text: str, content_type: str
) -> None:
    hook.subscribe()
    ends(response=response)
    reply = hook.post({}, query="wait=5")
    assert (reply.status, reply.text) == (response.get("status", 200), text)
    assert reply.headers["content-type"] == content_type


def test_a_run_without_respond_answers_with_its_output(hook: Hook, ends: Callable[..., None]) -> None:
    hook.subscribe()
    ends(status="completed", output={"n": 1})
    reply = hook.post({}, query="wait=5")
    assert reply.status == 200
    assert (reply.json["status"], reply.json["output"]) == ("completed", {"n": 1})


def test_a_failed_run_is_a_problem_with_its_reason(hook: Hook, ends: Callable[..., None]) -> None:
    hook.subscribe()
    ends(status="failed", error_message="The mill stood still.")
    reply = hook.post({}, query="wait=5")
    assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
    assert "The mill stood still." in reply.json["detail"]


def test_a_run_that_takes_longer_is_accepted_all_the_same(hook: Hook) -> None:
    hook.subscribe()
    reply = hook.post({}, query="wait=0.05")
    assert reply.status == 202
    assert "0.05 seconds" in reply.json["note"]
    assert waiting(hook) == 0


def waiting(hook: Hook) -> int:
    row = hook.db.owner.execute("select count(*) as n from millrace.webhook_wait").fetchone()
    assert row is not None
    return int(row["n"])


@pytest.mark.parametrize("asked", ["x", "-1", "nan", ""])
def test_a_wait_that_is_no_number_is_refused(hook: Hook, asked: str) -> None:
    hook.subscribe()
    assert hook.post({}, query=f"wait={asked}").status == (400 if asked else 202)


def test_nobody_waits_longer_than_25_seconds() -> None:
    from functions.webhook_intake.request import Request

    assert Request("POST", "/a", {}, "wait=9999", b"").wait_seconds == 25


def test_waiting_callers_are_bounded_and_the_others_are_not_lost(hook: Hook) -> None:
    hook.subscribe(wait_limit=1)
    answers: list[Reply] = []
    first = threading.Thread(target=lambda: answers.append(hook.post({}, query="wait=20")))
    first.start()
    other = hook.db.connect("postgres")
    while not other.execute("select from millrace.webhook_wait").fetchall():
        pass
    hook.start(database=hook.db.database("postgres"))  # another process
    reply = hook.post({}, query="wait=20")
    assert reply.status == 202
    assert reply.json["note"].startswith("Too many callers")
    other.execute("update workflowexecution set status = 'completed'")
    first.join()
    assert answers[0].status == 200
    assert waiting(hook) == 0
    assert hook.verdicts() == ["accepted", "accepted"]


def test_a_place_whose_caller_left_is_free_again_when_its_time_is_up(hook: Hook) -> None:
    subscription = hook.subscribe(wait_limit=1)
    hook.db.owner.execute(
        "insert into millrace.webhook_wait values (gen_random_uuid(), %s, now() - interval '1 second')", [subscription]
    )
    assert "0.01 seconds" in hook.post({}, query="wait=0.01").json["note"]


def test_a_repeat_waits_for_the_first_s_run(hook: Hook, ends: Callable[..., None]) -> None:
    hook.subscribe(delivery_id_header="x-id")
    ends(status="completed", output={"n": 1})
    assert hook.post({}, {"x-id": "a"}).status == 202
    assert hook.post({}, {"x-id": "a"}, query="wait=5").json["output"] == {"n": 1}


def test_no_waiting_when_the_installation_says_so(hook: Hook) -> None:
    hook.start(Limits(waiters=0))
    hook.subscribe()
    assert hook.post({}, query="wait=5").json["note"].startswith("Too many callers")


def test_the_pauses_between_looks_grow() -> None:
    """Each look is one indexed read: about 60 in 25 seconds."""

    class Nothing:
        looks = 0

        def call(self, *_: object) -> list[dict[str, Any]]:
            self.looks += 1
            return [{"status": "running", "response": None}]

    database, now, pauses = Nothing(), [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    assert wait_for(database, None, None, 25, clock=lambda: now[0], sleep=sleep) is None  # type: ignore[arg-type]
    assert pauses[:3] == [0.005, 0.0075, 0.01125]
    assert max(pauses) == 0.5
    assert database.looks < 70
