"""Every route of every face, as another tenant and without credentials. A route that is not listed here fails."""

from __future__ import annotations

import hashlib
import importlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

import functions
from shared.payloads import keep
from shared.reference_page import example_of
from shared.storage import storage
from shared.web import Api, scope_of
from tests.cluster import User
from tests.functions.gateway import GRAPH, Answer, Gateway
from tests.functions.storage.conftest import S, put

W, U, I = "/api/v1/workflows", "/api/v1/users/me", "/api/v1/items"  # noqa: E741
O = "/api/v1/ocr"  # noqa: E741
RUN, SUB = f"{W}/executions/{{execution_id}}", f"{W}/webhooks/subscriptions/{{subscription_id}}"

#: Faces that are no FastAPI app of ours: their callers carry no token, but a signature.
OTHER_FACES = {"webhook_intake"}


@dataclass(frozen=True)
class Case:
    """How another tenant calls a route, and what is to come of it.

    ``ids`` are the first tenant's. The answer is 404, unless the route names nobody's row: then ``sees_nothing`` looks
    at an answer that must not tell of the first tenant's.
    """

    body: Any = None
    sees_nothing: Callable[[Answer, dict[str, str]], bool] | None = None


def empty(answer: Answer, _ids: dict[str, str]) -> bool:
    return answer.status == 200 and answer.json["items"] == []


def own(answer: Answer, ids: dict[str, str]) -> bool:
    """An answer about the caller alone."""
    return answer.status in (200, 201, 204) and not any(id_ in answer.text for id_ in ids.values())


def begun(answer: Answer, ids: dict[str, str]) -> bool:
    """Work of the caller's own that was taken in."""
    return answer.status == 202 and not any(id_ in answer.text for id_ in ids.values())


def of_nobody(answer: Answer, ids: dict[str, str]) -> bool:
    """An answer about the installation alone, which may be unwell here."""
    return answer.status in (200, 503) and not any(id_ in answer.text for id_ in ids.values())


C = "/api/v1/code"
NEW_TOOL = {"tool_id": "mine", "version": "1.0.0", "name": "Mine", "code": "result = 1"}
NEW_SCHEDULE = {"cron_expression": "@daily"}
CASES: dict[tuple[str, str], Case] = {
    ("GET", I): Case(sees_nothing=empty),
    ("POST", I): Case({"title": "x"}, sees_nothing=own),
    ("GET", f"{I}/{{item_id}}"): Case(),
    ("PATCH", f"{I}/{{item_id}}"): Case({"title": "x"}),
    ("DELETE", f"{I}/{{item_id}}"): Case(),
    ("GET", U): Case(sees_nothing=own),
    ("PATCH", U): Case({"full_name": "x"}, sees_nothing=own),
    ("DELETE", U): Case(sees_nothing=own),
    ("GET", f"{U}/tokens"): Case(sees_nothing=empty),
    ("POST", f"{U}/tokens"): Case({"name": "x", "scopes": ["*"]}, sees_nothing=own),
    ("DELETE", f"{U}/tokens/{{token_id}}"): Case(),
    ("GET", W): Case(sees_nothing=empty),
    ("POST", W): Case({"name": "x", "graph_config": GRAPH}, sees_nothing=own),
    ("POST", f"{W}/validate"): Case({"graph_config": GRAPH}, sees_nothing=own),
    ("GET", f"{W}/node-types"): Case(sees_nothing=own),
    ("GET", f"{W}/{{workflow_id}}"): Case(),
    ("PATCH", f"{W}/{{workflow_id}}"): Case({"name": "x"}),
    ("DELETE", f"{W}/{{workflow_id}}"): Case(),
    ("GET", f"{W}/{{workflow_id}}/versions"): Case(),
    ("GET", f"{W}/{{workflow_id}}/versions/{{version}}"): Case(),
    ("POST", f"{W}/{{workflow_id}}/versions/{{version}}/restore"): Case(),
    ("POST", f"{W}/{{workflow_id}}/run"): Case(),
    ("GET", f"{W}/executions"): Case(sees_nothing=empty),
    ("GET", f"{W}/by-workflow/{{workflow_id}}/executions"): Case(sees_nothing=empty),
    ("GET", RUN): Case(),
    ("GET", f"{RUN}/status"): Case(),
    ("GET", f"{RUN}/timeline"): Case(),
    ("GET", f"{RUN}/steps"): Case(),
    ("GET", f"{RUN}/logs"): Case(),
    ("GET", f"{RUN}/tail"): Case(),
    ("GET", f"{W}/payloads/{{sha256}}"): Case(),
    ("POST", f"{RUN}/signals"): Case({"type": "x"}),
    ("POST", f"{RUN}/cancel"): Case(),
    ("POST", f"{RUN}/terminate"): Case(),
    ("POST", f"{RUN}/retry"): Case(),
    ("POST", f"{RUN}/steps/{{node_id}}/resolve"): Case({"decision": "fail"}),
    ("GET", f"{W}/webhooks/subscriptions"): Case(sees_nothing=empty),
    ("POST", f"{W}/webhooks/subscriptions"): Case({"workflow_id": "{workflow_id}", "scheme": "none"}),
    ("GET", SUB): Case(),
    ("PATCH", SUB): Case({"name": "x"}),
    ("DELETE", SUB): Case(),
    ("POST", f"{SUB}/rotate"): Case({}),
    ("GET", f"{SUB}/deliveries"): Case(),
    ("POST", f"{W}/schedules/preview"): Case(NEW_SCHEDULE, sees_nothing=own),
    ("GET", f"{W}/{{workflow_id}}/schedules"): Case(),
    ("POST", f"{W}/{{workflow_id}}/schedules"): Case(NEW_SCHEDULE),
    ("GET", f"{W}/schedules/{{schedule_id}}"): Case(),
    ("PATCH", f"{W}/schedules/{{schedule_id}}"): Case({"is_active": False}),
    ("DELETE", f"{W}/schedules/{{schedule_id}}"): Case(),
    ("GET", f"{W}/schedules/{{schedule_id}}/occurrences"): Case(),
    ("GET", f"{W}/{{workflow_id}}/storage-triggers"): Case(),
    ("POST", f"{W}/{{workflow_id}}/storage-triggers"): Case({"bucket": "rag-files"}),
    ("GET", f"{W}/storage-triggers/{{trigger_id}}"): Case(),
    ("PATCH", f"{W}/storage-triggers/{{trigger_id}}"): Case({"is_active": False}),
    ("DELETE", f"{W}/storage-triggers/{{trigger_id}}"): Case(),
    ("POST", f"{O}/upload"): Case(sees_nothing=own),
    ("POST", f"{O}/extract"): Case({"key": "{document_key}"}),
    ("POST", f"{O}/batch"): Case({"documents": [{"key": "{document_key}"}]}),
    ("GET", f"{O}/jobs"): Case(sees_nothing=empty),
    ("GET", f"{O}/status/{{job_id}}"): Case(),
    ("GET", f"{O}/result/{{job_id}}"): Case(),
    ("POST", f"{O}/cancel/{{job_id}}"): Case(),
    ("POST", f"{O}/process/{{job_id}}"): Case({}),
    ("POST", f"{C}/execute"): Case({"code": "1", "wait": 0}, sees_nothing=begun),
    ("GET", f"{C}/execute"): Case(sees_nothing=empty),
    ("GET", f"{C}/execute/{{run_id}}"): Case(),
    ("GET", f"{C}/execute/{{run_id}}/artifacts"): Case(),
    ("POST", f"{C}/execute/{{run_id}}/cancel"): Case(),
    ("GET", f"{C}/runtimes"): Case(sees_nothing=own),
    ("POST", f"{C}/register-tool"): Case(NEW_TOOL, sees_nothing=own),
    ("GET", f"{C}/tools"): Case(sees_nothing=empty),
    ("GET", f"{C}/tools/{{tool_id}}"): Case(),
    ("GET", f"{C}/tools/{{tool_id}}/versions"): Case(),
    ("POST", f"{C}/tools/{{tool_id}}/call"): Case({"wait": 0}),
    ("POST", f"{C}/tools/{{tool_id}}/deprecate"): Case({"message": "x"}),
    ("GET", f"{C}/sandboxes"): Case(sees_nothing=empty),
    ("POST", f"{C}/sandbox"): Case({"name": "x"}, sees_nothing=own),
    ("GET", f"{C}/sandbox/{{sandbox_id}}"): Case(),
    ("PATCH", f"{C}/sandbox/{{sandbox_id}}"): Case({"name": "x"}),
    ("DELETE", f"{C}/sandbox/{{sandbox_id}}"): Case(),
    ("POST", f"{C}/sandbox/{{sandbox_id}}/execute"): Case({"code": "1", "wait": 0}),
    ("GET", f"{S}/buckets"): Case(sees_nothing=own),
    ("POST", f"{S}/upload"): Case({"bucket": "rag-files", "filename": "x.pdf", "size": 1}, sees_nothing=own),
    ("GET", f"{S}/uploads/{{upload_id}}"): Case(),
    ("POST", f"{S}/uploads/{{upload_id}}/complete"): Case({}),
    ("DELETE", f"{S}/uploads/{{upload_id}}"): Case(),
    ("GET", f"{S}/list/{{bucket}}"): Case(sees_nothing=empty),
    ("POST", f"{S}/signed-url"): Case({"bucket": "{bucket}", "key": "{key}"}),
    ("GET", f"{S}/download/{{bucket}}/{{key}}"): Case(),
    ("DELETE", f"{S}/delete/{{bucket}}/{{key}}"): Case(),
    ("GET", "/health"): Case(sees_nothing=own),
    ("GET", "/health/parts"): Case(sees_nothing=of_nobody),
}

#: Routes that anyone may call, for they tell nothing.
OPEN = {("GET", "/health")}


def apps() -> list[Api]:
    """The app of every face under ``functions`` that has one."""
    found = []
    for face in sorted(Path(functions.__file__).parent.glob("*/api.py")):
        if face.parent.name not in OTHER_FACES:
            app = importlib.import_module(f"functions.{face.parent.name}.api").app
            assert isinstance(app, Api)
            found.append(app)
    return found


ROUTES = sorted({(method, path) for app in apps() for path, method, _ in app.declared})


@pytest.fixture
def ids(api: Gateway, user: User, workflow: dict[str, Any]) -> dict[str, str]:
    """One of everything that belongs to the first tenant."""

    def made(path: str, body: Any = None) -> str:
        answer = api.post(path, body)
        assert answer.status in (201, 202), answer
        id_: str = answer.json["id"]
        return id_

    here = f"{W}/{workflow['id']}"
    upload_id, key = stored_file(api)
    return {
        "upload_id": upload_id,
        "bucket": "user-uploads",
        "key": key,
        "workflow_id": workflow["id"],
        "version": "1",
        "node_id": "set",
        "sha256": hashlib.sha256(keep_payload(user)).hexdigest(),
        "execution_id": made(f"{here}/run"),
        "subscription_id": made(f"{W}/webhooks/subscriptions", {"workflow_id": workflow["id"]}),
        "schedule_id": made(f"{here}/schedules", NEW_SCHEDULE),
        "trigger_id": made(f"{here}/storage-triggers", {"bucket": "rag-files"}),
        "token_id": made(f"{U}/tokens", {"name": "t", "scopes": ["*"]}),
        "item_id": made(I, {"title": "mine"}),
        "job_id": made(f"{O}/extract", {"key": f"{user.id}/mine.pdf"}),
        "document_key": f"{user.id}/mine.pdf",
        "run_id": made(f"{C}/execute", {"code": "result = 1", "wait": 0}),
        "sandbox_id": made(f"{C}/sandbox", {"name": "mine"}),
        "tool_id": api.post(f"{C}/register-tool", {**NEW_TOOL, "tool_id": "of-the-first"}).json["tool_id"],
    }


def stored_file(api: Gateway) -> tuple[str, str]:
    """A file of this caller's: the id of its upload, and its key."""
    ticket = api.post(f"{S}/upload", {"bucket": "user-uploads", "filename": "mine.txt", "size": 4}).json
    assert put(ticket["url"], b"mine", ticket["headers"]).status_code == 200
    done = api.post(f"{S}/uploads/{ticket['id']}/complete")
    assert done.status == 200, done
    return ticket["id"], done.json["key"]


def keep_payload(user: User) -> bytes:
    """A large value of this user's."""
    data = b"large"
    keep(storage(), user.id, data, "text/plain")
    return data


def filled(template: Any, ids: dict[str, str]) -> Any:
    if isinstance(template, dict):
        return {key: filled(value, ids) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, ids) for value in template]
    return template.format(**ids) if isinstance(template, str) and template.startswith(("{", "/")) else template


def test_every_route_is_listed_here() -> None:
    assert set(ROUTES) == set(CASES)


def test_every_route_asks_for_a_scope() -> None:
    without = {(method, path) for app in apps() for path, method, route in app.declared if scope_of(route) is None}
    assert without == OPEN


@pytest.mark.parametrize(("method", "path"), sorted(set(ROUTES) - OPEN), ids=lambda value: value)
def test_without_a_token_nothing_is_told(gateway: Gateway, method: str, path: str) -> None:
    ids = {name: str(uuid.uuid4()) for name in ("workflow_id", "execution_id", "subscription_id", "schedule_id")}
    ids |= {"trigger_id": str(uuid.uuid4()), "token_id": str(uuid.uuid4()), "item_id": str(uuid.uuid4())}
    ids |= {"version": "1", "node_id": "set", "sha256": "0" * 64}
    ids |= {"job_id": str(uuid.uuid4()), "document_key": "x"}
    ids |= {"upload_id": str(uuid.uuid4()), "bucket": "user-uploads", "key": "x"}
    ids |= {"run_id": str(uuid.uuid4()), "sandbox_id": str(uuid.uuid4()), "tool_id": "of-the-first"}
    answer = gateway.send(method, path.format(**ids), filled(CASES[method, path].body, ids))
    assert answer.problem["status"] == 401


def test_to_another_tenant_nothing_is_there(
    api: Gateway, other: Gateway, ids: dict[str, str], subtests: pytest.Subtests
) -> None:
    # The account goes last: what comes after its deletion would be another caller's.
    for method, path in sorted(ROUTES, key=lambda route: (route == ("DELETE", U), route)):
        case = CASES[method, path]
        with subtests.test(method=method, path=path):
            answer = other.send(method, path.format(**ids), filled(case.body, ids))
            if case.sees_nothing is None:
                assert answer.problem["status"] == 404
            else:
                assert case.sees_nothing(
                    answer, {key: ids[key] for key in ids if key.endswith("_id") and key != "node_id"}
                )
    # And all is as it was.
    for path, id_ in (
        (W, "workflow_id"), (f"{W}/executions", "execution_id"), (f"{W}/webhooks/subscriptions", "subscription_id"),
        (f"{W}/schedules", "schedule_id"), (f"{W}/storage-triggers", "trigger_id"), (I, "item_id"),
        (f"{S}/uploads", "upload_id"), (f"{S}/download/user-uploads", "key"),
    ):  # fmt: skip
        assert api.get(f"{path}/{ids[id_]}").status in (200, 307)
    assert api.get(f"{W}/executions/{ids['execution_id']}").json["status"] == "running"


def test_what_the_description_shows_as_a_body_is_accepted(
    api: Gateway, ids: dict[str, str], subtests: pytest.Subtests
) -> None:
    shown = 0
    for app in apps():
        schemas = app.openapi()["components"]["schemas"]
        for path, method, route in app.declared:
            if route.body_field is None:
                continue
            example = example_of(schemas[_body(route).__name__])
            if not example:  # only where all may be left out, or the one field is a secret
                assert not schemas[_body(route).__name__].get("required"), path
                continue
            shown += 1
            if "workflow_id" in example:
                example["workflow_id"] = ids["workflow_id"]
            if path == f"{S}/signed-url":
                example["key"] = ids["key"]
            with subtests.test(method=method, path=path):
                answer = api.send(method, path.format(**ids), example)
                # No run here waits for a decision or a signal: what was sent is understood all the same.
                assert answer.status in ((200, 201, 202) if "{execution_id}" not in path else (202, 404, 409)), answer
    assert shown >= 14


def _body(route: APIRoute) -> type[BaseModel]:
    """The model of what a route is sent."""
    assert route.body_field is not None
    annotation = route.body_field.field_info.annotation
    return next(
        kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)
    )


def test_a_token_without_the_scope_may_use_no_route(gateway: Gateway, api: Gateway, ids: dict[str, str]) -> None:
    nothing = {scope: api.post(f"{U}/tokens", {"name": "t", "scopes": [scope]}).json["token"] for scope in SCOPES}
    for app in apps():
        for path, method, route in app.declared:
            if (method, path) in OPEN:
                continue
            needed = scope_of(route)
            assert needed is not None
            wrong = next(token for scope, token in nothing.items() if scope != needed)
            answer = gateway.as_(wrong).send(method, path.format(**ids), filled(CASES[method, path].body, ids))
            assert answer.problem["status"] == 403, (method, path)


SCOPES = ("items:read", "runs:read")
