"""A webhook that the old system knew starts its workflow, signed with the secret that it had in clear text."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.webhook_intake import api
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old
from tests.intake import Context, event

BODY = json.dumps({"amount": 12, "list": [1]})


@pytest.fixture(autouse=True)
def _settings(old: Old, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", old.url("millrace_engine"))
    monkeypatch.setenv("MILLRACE_SECRET_KEY_FILE", str(tmp_path / "keys.json"))
    api.intake.cache_clear()
    yield
    api.intake.cache_clear()


def deliver(path: str, secret: str | None) -> int:
    request = event("api_gateway_github_push")
    request["rawPath"] = request["requestContext"]["http"]["path"] = f"/hooks{path}"
    request["headers"] = {"content-type": "application/json", "content-length": str(len(BODY))}
    if secret is not None:
        signed = hmac.new(secret.encode(), BODY.encode(), hashlib.sha256).hexdigest()
        request["headers"]["x-signature"] = f"sha256={signed}"
    request["body"], request["isBase64Encoded"] = BODY, False
    answer: int = api.handler(request, Context())["statusCode"]
    return answer


def test_the_old_secret_opens_the_door_and_nothing_else_does(old: Old) -> None:
    old.adopt()
    assert deliver("/signed", None) == 401
    assert deliver("/signed", f"{old_system.CANARY}-webhook-before") == 401
    assert deliver("/signed", f"{old_system.CANARY}-webhook") == 202
    rows = old.owner.execute(
        "select workflow_id, trigger_type from workflowexecution where trigger_type is not null"
    ).fetchall()
    assert rows == [{"workflow_id": old_system.number("workflow", 0), "trigger_type": "webhook"}]
