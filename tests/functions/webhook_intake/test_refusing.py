"""What is not signed, not wanted or too much starts nothing, says why, and is written down within bounds."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from functions.webhook_intake import answer
from functions.webhook_intake.intake import Limits
from shared import errors, web
from tests.functions.webhook_intake.hook import Hook, github
from tests.intake import event

SECRET = "s3cret-of-the-mill"
BODY = b'{"id":"evt_1","event_id":"Ev1"}'


def mac(message: bytes, algorithm: str = "sha256", key: bytes = SECRET.encode()) -> bytes:
    return hmac.digest(key, message, algorithm)


def signed(scheme: str, now: int, body: bytes = BODY) -> dict[str, str]:
    """The headers of an honest sender of each scheme."""
    seconds = str(now).encode()
    match scheme:
        case "github":
            return {"x-hub-signature-256": "sha256=" + mac(body).hex()}
        case "standard-webhooks":
            key = base64.b64decode(base64.b64encode(SECRET.encode()))
            signature = base64.b64encode(mac(b"msg_1." + seconds + b"." + body, key=key)).decode()
            return {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": f"v1,{signature}"}
        case "stripe":
            return {"stripe-signature": f"t={now},v1={mac(seconds + b'.' + body).hex()}"}
        case "slack":
            signature = "v0=" + mac(b"v0:" + seconds + b":" + body).hex()
            return {"x-slack-request-timestamp": str(now), "x-slack-signature": signature}
        case "shopify":
            return {"x-shopify-hmac-sha256": base64.b64encode(mac(body)).decode()}
        case "twilio":
            url = f"http://localhost:8787/hooks/k3Jx9QmPz0Ws/github?bodySHA256={hashlib.sha256(body).hexdigest()}"
            return {"x-twilio-signature": base64.b64encode(mac(url.encode(), "sha1")).decode()}
        case _:
            return {"x-signature": mac(body).hex()}


def secret_of(scheme: str) -> str:
    return base64.b64encode(SECRET.encode()).decode() if scheme == "standard-webhooks" else SECRET


SCHEMES = ["github", "standard-webhooks", "stripe", "slack", "shopify", "twilio", "hmac-sha256"]
STAMPED = ["standard-webhooks", "stripe", "slack"]


def send(hook: Hook, scheme: str, headers: dict[str, str], body: bytes = BODY) -> Any:
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}" if scheme == "twilio" else ""
    return hook.post(body, {"content-type": "application/json"} | headers, query=query)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_takes_the_honest_and_refuses_the_tampered(hook: Hook, scheme: str) -> None:
    hook.subscribe(secret_of(scheme), scheme=scheme)
    headers = signed(scheme, int(hook.now))
    assert send(hook, scheme, headers).status == 202
    for refused in (send(hook, scheme, headers, BODY + b" "), send(hook, scheme, {})):
        assert refused.status == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert SECRET not in refused.text
    assert len(hook.runs()) == 1
    assert hook.verdicts() == ["accepted", "refused", "refused"]
    assert all(SECRET not in str(row) for row in (*hook.ledger(), *hook.runs()))


@pytest.mark.parametrize("scheme", STAMPED)
@pytest.mark.parametrize("away", [-301, 301])
def test_an_old_or_early_timestamp_is_refused(hook: Hook, scheme: str, away: int) -> None:
    hook.subscribe(secret_of(scheme), scheme=scheme)
    assert send(hook, scheme, signed(scheme, int(hook.now) + away)).status == 401
    assert "300 seconds" in hook.ledger()[0]["reason"]
    assert hook.runs() == []


def test_the_replay_window_is_the_subscription_s(hook: Hook) -> None:
    hook.subscribe(SECRET, scheme="stripe", tolerance_seconds=30)
    assert send(hook, "stripe", signed("stripe", int(hook.now) - 31)).status == 401
    assert send(hook, "stripe", signed("stripe", int(hook.now) - 29)).status == 202


def test_a_secret_that_cannot_be_opened_takes_nothing_and_asks_to_come_back(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = hook.start()

    def broken(*_sealed: object) -> str:
        raise OSError("the key file is gone")

    monkeypatch.setattr(intake.subscriptions, "_open_secret", broken)
    hook.subscribe(SECRET, scheme="github")
    reply = hook.post(BODY, github(SECRET, BODY))
    assert (reply.status, reply.headers["retry-after"]) == (503, "60")
    assert hook.verdicts() == ["failed"]


def test_another_owner_s_secret_is_no_secret(hook: Hook, other_user: Any) -> None:
    theirs = hook.keep_secret(SECRET)
    hook.db.owner.execute("update secret set owner_id = %s where id = %s", [other_user.id, theirs])
    hook.subscribe(scheme="github", secret_id=theirs)
    assert hook.post(BODY, github(SECRET, BODY)).status == 503
    assert hook.runs() == []


def test_required_headers_must_be_there_and_have_their_value(hook: Hook) -> None:
    hook.subscribe(required_headers={"X-Key": "right", "x-kind": None})
    assert hook.post({}, {"x-key": "right"}).status == 401
    assert hook.post({}, {"x-key": "wrong", "x-kind": "a"}).status == 401
    assert hook.post({}, {"x-key": "right", "x-kind": "a"}).status == 202
    assert [row["reason"] for row in hook.ledger()[:2]] == ["required header x-kind", "required header x-key"]


def test_an_unknown_path_is_counted_and_leaves_no_row(hook: Hook) -> None:
    for _ in range(5):
        assert hook.post({}, path="/nobody").status == 404
    hook.now += 2
    assert hook.post({}, path="/nobody").status == 404
    assert hook.ledger() == []
    row = hook.db.owner.execute(
        "select subscription_id::text, sum(refused) as n from millrace.webhook_tally group by 1"
    )
    assert row.fetchall() == [{"subscription_id": "00000000-0000-0000-0000-000000000000", "n": 6}]


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "OPTIONS"])
def test_a_method_without_a_body_is_refused_unless_the_trigger_names_it(hook: Hook, method: str) -> None:
    hook.subscribe()
    reply = hook.post(method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "POST, PUT, PATCH")
    assert hook.verdicts() == ["refused"]


def test_a_trigger_may_ask_for_get(hook: Hook) -> None:
    hook.db.owner.execute("""update workflow set trigger_config = '{"type": "webhook", "webhook_method": "get"}'""")
    hook.subscribe()
    assert hook.post(method="GET", query="a=1").status == 202
    assert hook.post({}).headers["allow"] == "GET"


def test_filters_by_path_let_through_what_is_equal(hook: Hook) -> None:
    hook.subscribe(filters={"repository.name": "silo", "tags.0": True})
    assert hook.post({"repository": {"name": "silo"}, "tags": [True]}).status == 202
    for other in (
        {"repository": {"name": "other"}, "tags": [True]},
        {"repository": {"name": "silo"}, "tags": [1]},
        [],
        "x",
    ):
        reply = hook.post(other)
        assert (reply.status, reply.json) == (200, {"id": None, "status": "filtered"})
    assert hook.verdicts() == ["accepted", "filtered", "filtered", "filtered", "filtered"]
    assert len(hook.runs()) == 1


def test_a_filter_expression_decides_over_the_trigger(hook: Hook) -> None:
    hook.subscribe(filter_expression="trigger.headers['x-github-event'] == 'push' && trigger.payload.n > 2")
    assert hook.post({"n": 3}, {"x-github-event": "push"}).status == 202
    assert hook.post({"n": 2}, {"x-github-event": "push"}).json["status"] == "filtered"
    assert hook.post({"m": 2}, {"x-github-event": "push"}).json["status"] == "filtered"
    reasons = [row["reason"] for row in hook.ledger()]
    assert reasons[1] == "filter_expression is not true"
    assert reasons[2].startswith("filter_expression: ")


def test_a_disabled_subscription_and_a_disabled_workflow_say_so(hook: Hook) -> None:
    subscription = hook.subscribe()
    assert hook.post({}).status == 202
    hook.db.owner.execute("update workflow set is_active = false")
    reply = hook.post({})
    assert reply.status == 409
    hook.db.owner.execute("update workflow set is_active = true")
    hook.db.owner.execute("update workflowwebhooksubscription set is_active = false where id = %s", [subscription])
    hook.start()
    reply = hook.post({})
    assert (reply.status, reply.json["detail"]) == (
        409,
        "This webhook takes no deliveries: the subscription is disabled.",
    )
    assert hook.verdicts() == ["accepted", "disabled", "disabled"]


def test_a_workflow_without_a_version_fails_and_says_so(hook: Hook) -> None:
    hook.subscribe()
    hook.db.owner.execute("update workflow set version_id = null")
    reply = hook.post({}, {"x-id": "1"})
    assert reply.status == 409
    assert hook.verdicts() == ["failed"]


def test_a_flood_of_refusals_writes_a_bounded_number_of_rows(hook: Hook) -> None:
    hook.start(Limits(refusals_per_minute=5))
    hook.stop_clock()
    hook.subscribe(SECRET, scheme="github")
    statuses = [hook.post(BODY, {"x-hub-signature-256": "sha256=00"}).status for _ in range(50)]
    assert statuses == [401] * 5 + [429] * 45
    flood = hook.post(BODY, {"x-hub-signature-256": "sha256=00"})
    assert 1 <= int(flood.headers["retry-after"]) <= 60
    assert hook.verdicts() == ["refused"] * 5
    assert hook.post(BODY, github(SECRET, BODY)).status == 202  # the honest sender is not shut out
    hook.now += 1.5
    hook.post(BODY, {"x-hub-signature-256": "sha256=00"})
    row = hook.db.owner.execute("select sum(refused) as n from millrace.webhook_tally").fetchone()
    assert row == {"n": 52}


def test_a_rate_is_kept_and_its_excess_told_when_to_come_back(hook: Hook) -> None:
    hook.subscribe(rate_per_minute=3, delivery_id_header="x-id")
    hook.stop_clock()
    statuses = [hook.post({}, {"x-id": str(n)}).status for n in range(6)]
    assert statuses == [202] * 3 + [429] * 3
    assert 1 <= int(hook.post({}).headers["retry-after"]) <= 61
    hook.now += 61
    hook.stop_clock()
    assert hook.post({}, {"x-id": "4"}).status == 202  # what was limited may be sent again under its id


@pytest.mark.parametrize("foreign", [None, [], {}, {"Records": []}, "text", event("eventbridge_schedule")])
def test_a_foreign_event_is_answered_as_a_bad_request(hook: Hook, foreign: Any) -> None:
    assert hook.send(foreign).status == 400


def test_its_problem_documents_are_those_of_the_other_faces() -> None:
    error = errors.Invalid("Wrong.", remedy="Right it.", errors=[{"path": "a", "message": "b"}], retry_after=3)
    ours, theirs = answer.problem(error), web.problem(error)
    assert (ours.status, ours.body) == (theirs.status_code, bytes(theirs.body).decode())
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert ours.headers["retry-after"] == theirs.headers["retry-after"]
