"""What providers ask of a new address, and what they read of an answer."""

from __future__ import annotations

import base64
import hmac

import pytest

from tests.functions.webhook_intake.hook import Hook
from tests.functions.webhook_intake.test_refusing import SECRET, send, signed


def test_slack_gets_its_challenge_back_and_no_run_starts(hook: Hook) -> None:
    hook.subscribe(SECRET, scheme="slack")
    body = b'{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595","type":"url_verification"}'
    reply = send(hook, "slack", signed("slack", int(hook.now), body), body)
    assert (reply.status, reply.text) == (200, "3eZbrw1aBm2rZgRNFdxV2595")
    assert reply.headers["content-type"] == "text/plain"
    assert hook.runs() == []
    assert [(row["verdict"], row["reason"]) for row in hook.ledger()] == [("filtered", "handshake: url_verification")]


def test_an_unsigned_challenge_is_not_echoed(hook: Hook) -> None:
    hook.subscribe(SECRET, scheme="slack")
    reply = send(hook, "slack", {}, b'{"challenge":"c","type":"url_verification"}')
    assert reply.status == 401


def test_twilio_gets_twiml(hook: Hook) -> None:
    hook.subscribe(SECRET, scheme="twilio")
    body = "Body=hello+there&From=%2B4915112345678"
    url = f"http://localhost:8787/hooks{hook.path}"
    message = (url + "Bodyhello there" + "From+4915112345678").encode()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), message, "sha1")).decode()
    reply = hook.post(
        body.encode(), {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature}
    )
    assert (reply.status, reply.text, reply.headers["content-type"]) == (202, "<Response/>", "text/xml")
    assert reply.headers["millrace-run"] == str(hook.runs()[0]["id"])
    assert hook.runs()[0]["trigger_data"]["payload"] == {"Body": "hello there", "From": "+4915112345678"}


def test_twilio_signs_the_public_address(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy the request's own host is not the one that Twilio was given."""
    monkeypatch.setenv("MILLRACE_PUBLIC_URL", "https://hooks.example.com")
    hook.subscribe(SECRET, scheme="twilio")
    url = f"https://hooks.example.com/hooks{hook.path}"
    signature = base64.b64encode(hmac.digest(SECRET.encode(), f"{url}A1".encode(), "sha1")).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature}
    assert hook.post(b"A=1", headers).status == 202
