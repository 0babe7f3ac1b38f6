"""What every face does alike: one way to refuse and to fail, a description that is true, a light start."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from fastapi import APIRouter
from pydantic import BaseModel

from shared import errors
from shared.reference_page import render
from shared.web import StrictRoute, asgi_handler, create_app, problems
from tests.functions.gateway import Answer, Context, event


class Sack(BaseModel):
    weight: int


class DatabaseRefusal(Exception):
    """As psycopg raises it."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("duplicate key value (canary)")
        self.sqlstate = sqlstate


class Mill:
    """A small face whose only route does as it is told."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        router = APIRouter(route_class=StrictRoute)

        @router.post("/grind", summary="Grind", responses=problems(409))
        def grind(sack: Sack) -> Sack:
            """Grinds `one` sack."""
            if self.failure is not None:
                raise self.failure
            return sack

        self.app = create_app("Mill", "/mill", router, description="A mill.")
        self.handler = asgi_handler(self.app)

    def send(self, method: str, path: str, body: Any = None) -> Answer:
        made = event(method, path, "", {"host": "mill", "content-type": "application/json"}, body and json.dumps(body))
        answer = self.handler(made, Context())
        return Answer(answer["statusCode"], answer.get("headers", {}), answer.get("body", ""))

    def grind(self, failure: Exception | None = None) -> Answer:
        self.failure = failure
        return self.send("POST", "/mill/grind", {"weight": 50})


@pytest.fixture
def mill() -> Mill:
    return Mill()


def test_an_answer_comes_back_as_the_model_says(mill: Mill) -> None:
    assert mill.grind().json == {"weight": 50}


@pytest.mark.parametrize("kind", sorted(errors.BY_SQLSTATE.values(), key=lambda kind: kind.status))
def test_every_refusal_is_a_problem_document(mill: Mill, kind: type[errors.MillraceError]) -> None:
    answer = mill.grind(
        kind("The sack is torn.", remedy="Sew it.", errors=[{"path": "a", "message": "b"}], retry_after=7)
    )
    assert answer.problem == {
        "type": f"urn:millrace:problem:{kind.slug}",
        "title": (kind.__doc__ or "").rstrip("."),
        "status": kind.status,
        "detail": "The sack is torn.",
        "remedy": "Sew it.",
        "errors": [{"path": "a", "message": "b"}],
        "instance": "/mill/grind",
    }
    assert answer.headers["retry-after"] == "7"


def test_what_nobody_foresaw_is_logged_and_not_told(mill: Mill, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="millrace"):
        answer = mill.grind(RuntimeError("canary in the millstone"))
    assert answer.problem["status"] == 500
    assert "canary" not in answer.text
    [record] = [record for record in caplog.records if record.name == "millrace"]
    assert record.exc_info is not None
    assert "canary in the millstone" in str(record.exc_info[1])


@pytest.mark.parametrize(("sqlstate", "status"), [("22021", 422), ("23505", 409), ("23514", 409), ("42883", 500)])
def test_what_the_database_refuses_is_a_refusal_and_not_told(mill: Mill, sqlstate: str, status: int) -> None:
    answer = mill.grind(DatabaseRefusal(sqlstate))
    assert answer.problem["status"] == status
    assert "canary" not in answer.text


def test_to_import_a_face_makes_no_event_loop() -> None:
    code = "import asyncio; asyncio.new_event_loop = None; import functions.item.api"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_face_does_not_mind_what_became_of_others_event_loops(mill: Mill) -> None:
    asyncio.run(asyncio.sleep(0))  # leaves the thread without a current loop
    assert mill.grind().status == 200


def test_the_description_is_served_and_shown(mill: Mill) -> None:
    description = mill.send("GET", "/mill/openapi.json").json
    operation = description["paths"]["/mill/grind"]["post"]
    assert operation["summary"] == "Grind"
    assert {"200", "401", "403", "409", "422", "503"} == operation["responses"].keys()
    refusal = operation["responses"]["409"]["content"]["application/problem+json"]["schema"]["$ref"]
    assert refusal.rpartition("/")[2] in description["components"]["schemas"]
    page = mill.send("GET", "/mill/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "/mill/grind" in page.text
    assert "Grinds <code>one</code> sack." in page.text
    assert "<script" not in page.text


def test_the_page_shows_names_as_they_are_and_runs_nothing() -> None:
    hostile = "<script>alert(1)</script>"
    page = render(
        {
            "info": {"title": hostile, "description": hostile},
            "paths": {hostile: {"get": {"summary": hostile, "responses": {"200": {"description": hostile}}}}},
        }
    )
    assert hostile not in page
    assert page.count("&lt;script&gt;") == 6


@pytest.mark.parametrize("face", ["workflow_api", "account", "item"])
def test_a_face_starts_without_what_few_requests_need(face: str) -> None:
    """Each of these is tens of milliseconds of every cold start; it is imported where it is used."""
    heavy = {"boto3", "celpy", "cel_expr_python", "httpx", "cryptography", "jwt", "cronsim", "shared.workflow.graph"}
    code = f"import sys, json, functions.{face}.api; print(json.dumps(sorted(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert heavy & set(json.loads(printed)) == set()
