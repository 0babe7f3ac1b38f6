"""A delivery with an id starts one run, however often, from wherever and at whatever moment it is sent again."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest

from shared import statements
from shared.database import _LostError
from tests.functions.webhook_intake.hook import Hook, github
from tests.functions.webhook_intake.test_refusing import SECRET, secret_of, send, signed
from tests.intake import event


def test_the_same_github_delivery_twice_is_one_run(hook: Hook) -> None:
    hook.subscribe(event("github_push")["secret"], scheme="github")
    first, second = (hook.send(event("api_gateway_github_push")) for _ in range(2))
    assert (first.status, second.status) == (202, 202)
    assert first.run == second.run
    assert (first.json["duplicate"], second.json["duplicate"]) == (False, True)
    assert second.headers["millrace-duplicate"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert len(hook.runs()) == 1
    assert hook.verdicts() == ["accepted", "duplicate"]
    assert len(hook.bell.rung) == 1


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [
        ("standard-webhooks", {}),
        ("stripe", {}),
        ("slack", {}),
        ("shopify", {"x-shopify-webhook-id": "b54557e4"}),
        ("github", {"x-github-delivery": "72d3162e"}),
    ],
)
def test_each_scheme_has_its_own_id(hook: Hook, scheme: str, headers: dict[str, str]) -> None:
    hook.subscribe(secret_of(scheme), scheme=scheme)
    for _ in range(2):
        assert send(hook, scheme, signed(scheme, int(hook.now)) | headers).status == 202
        hook.now += 7  # a repeat is signed anew
    assert hook.verdicts() == ["accepted", "duplicate"]


def test_without_an_id_equal_bodies_are_two_deliveries(hook: Hook) -> None:
    hook.subscribe(SECRET, scheme="github")
    body = b"{}"
    runs = {hook.post(body, github(SECRET, body)).run for _ in range(2)}
    assert len(runs) == 2


def test_the_subscription_may_name_the_id_s_header(hook: Hook) -> None:
    hook.subscribe(delivery_id_header="X-Request-Id")
    runs = [hook.post({}, {"x-request-id": id_}).run for id_ in ("a", "a", "b")]
    assert runs[0] == runs[1] != runs[2]


def test_ids_are_each_subscription_s_own(hook: Hook) -> None:
    hook.subscribe(delivery_id_header="x-id")
    hook.subscribe(path="/other", delivery_id_header="x-id")
    assert hook.post({}, {"x-id": "a"}).run != hook.post({}, {"x-id": "a"}, path="/other").run


def test_a_long_id_is_kept_by_its_hash(hook: Hook) -> None:
    hook.subscribe(delivery_id_header="x-id")
    assert hook.post({}, {"x-id": "i" * 5000}).run == hook.post({}, {"x-id": "i" * 5000}).run


def test_two_at_the_same_moment_are_one_run(hook: Hook) -> None:
    """The second waits for the first's transaction on the key, and then finds its run."""
    subscription = hook.subscribe(delivery_id_header="x-id")
    first, second = hook.db.connect("millrace_engine"), hook.db.connect("millrace_engine")
    statement = statements.load("webhook_intake")["accept"]
    [found] = hook.db.engine.call(statements.load("webhook_intake")["find"], {"path": hook.path})
    parameters = {
        "subscription": subscription,
        "revision": found["revision"],
        "delivery_id": "a",
        "trigger": json.dumps({"trigger_type": "webhook"}),
        "bytes": 0,
        "source_ip": None,
        "content_type": None,
        "wait": 0,
        "waiters": 0,
        "bound": 10,
    }
    with first.transaction():
        [one] = first.execute(statement, parameters | {"id": uuid.uuid4()}).fetchall()
        answers: list[Any] = []
        thread = threading.Thread(
            target=lambda: answers.extend(second.execute(statement, parameters | {"id": uuid.uuid4()}).fetchall())
        )
        thread.start()
        hook.db.wait_until_blocked(second)
    thread.join()
    assert one["outcome"] == "accepted"
    assert [(row["outcome"], row["execution_id"]) for row in answers] == [("duplicate", one["execution_id"])]


def test_a_call_sent_again_after_a_lost_reply_is_one_run(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any delivery id: the ledger row's own id is enough. The connection dies just before the reply is read."""
    hook.subscribe()
    assert hook.post({}).status == 202
    link, exchange = hook.db.engine._link, type(hook.db.engine._link).exchange
    assert link is not None
    sent = []

    def losing(self: Any, *arguments: Any) -> Any:
        result = exchange(self, *arguments)
        sent.append(arguments)
        if len(sent) == 1:
            raise _LostError("the reply was lost")
        return result

    monkeypatch.setattr(type(link), "exchange", losing)
    reply = hook.post({}, query="wait=0.01")
    monkeypatch.undo()
    assert reply.status == 202
    assert len(sent) >= 3  # twice sent, then recalled
    assert [run["id"] for run in hook.runs()][1:] == [reply.run]
    assert hook.verdicts() == ["accepted", "accepted"]


def test_a_rotated_secret_counts_at_once(hook: Hook) -> None:
    """The copy of the subscription that a process keeps accepts nothing by the old secret, nor refuses by it."""
    hook.subscribe(SECRET, scheme="github")
    body = b"{}"
    assert hook.post(body, github(SECRET, body)).status == 202
    hook.db.owner.execute("update secret set ciphertext = 'new-secret'")
    assert hook.post(body, github(SECRET, body)).status == 401
    assert hook.post(body, github("new-secret", body)).status == 202
    assert hook.verdicts() == ["accepted", "refused", "accepted"]


def test_a_changed_filter_counts_at_once(hook: Hook) -> None:
    hook.subscribe()
    assert hook.post({"a": 1}).status == 202
    hook.db.owner.execute("""update workflowwebhooksubscription set filters = '{"a": 2}'""")
    assert hook.post({"a": 1}).json["status"] == "filtered"
    assert len(hook.runs()) == 1


def test_a_deleted_subscription_is_gone_at_once(hook: Hook) -> None:
    hook.subscribe()
    assert hook.post({"a": 1}).status == 202
    hook.db.owner.execute("delete from workflowwebhooksubscription")
    assert hook.post({"a": 1}).status == 404
    assert len(hook.runs()) == 1
