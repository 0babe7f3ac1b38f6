"""Each face of serverless.yml is given every other service's event: it says that this is none of its own, clearly."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from infra.local.serverless import read
from shared.errors import BadRequest
from tests.cluster import TestDatabase
from tests.functions.gateway import Context, Gateway, event
from tests.intake import event as recorded

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = {name: made.handler for name, made in read(ROOT / "serverless.yml", env={}).functions.items()}

#: Events by the service that sends them.
EVENTS: dict[str, Any] = {
    "api": event("GET", "/api/v1/items", "", {}, None),
    "queue": recorded("sqs_bells"),
    "schedule": recorded("eventbridge_schedule"),
    "s3": json.loads(recorded("sqs_s3_object_created")["Records"][0]["body"]),
    "nothing": None,
    "empty": {},
    "list": [],
    "text": "event",
    "records of nobody": {"Records": [{}]},
    "records of none": {"Records": None},
    "api without path": {"version": "2.0", "requestContext": {"http": {"method": "GET"}}, "headers": {}},
}


def own(name: str) -> str:
    """The kind of event that a function is for."""
    if FUNCTIONS[name].endswith("/api.handler"):
        return "api"
    return "schedule" if name == "schedule-tick" else "queue"


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", EVENTS)
def test_a_foreign_event_is_refused_by_name_and_does_nothing(
    db: TestDatabase, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    if kind == own(name):
        return
    monkeypatch.setenv("MILLRACE_DATABASE_URL", db.url("millrace_api" if own(name) == "api" else "millrace_engine"))
    module = FUNCTIONS[name].removesuffix(".handler").replace("/", ".")
    handler = importlib.import_module(module).handler
    if own(name) == "api":
        answer = handler(EVENTS[kind], Context())
        assert answer["statusCode"] == 400
        assert answer["headers"]["content-type"] == "application/problem+json"
        assert "not a request" in json.loads(answer["body"])["detail"]
    else:
        with pytest.raises(BadRequest, match="This function"):
            handler(EVENTS[kind], Context())
