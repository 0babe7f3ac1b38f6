"""Named ways to run code: limits and variables, and never a secret."""

from __future__ import annotations

import pytest

from tests.functions.code_exec.conftest import CodeWorker, PretendedSandbox
from tests.functions.gateway import Gateway

CODE = "/api/v1/code"
NEW = {"name": "reports", "limits": {"wall_seconds": 2, "memory_mb": 64}, "variables": {"REGION": "eu"}}


def test_code_in_a_sandbox_has_its_limits_and_variables(
    api: Gateway, worker: CodeWorker, sandbox: PretendedSandbox
) -> None:
    made = api.post(f"{CODE}/sandbox", NEW)
    assert made.status == 201, made
    assert made.json["config"] == {"limits": {"wall_seconds": 2.0, "memory_mb": 64}, "variables": {"REGION": "eu"}}
    for path, body in (
        (f"{CODE}/sandbox/{made.json['id']}/execute", {}),
        (f"{CODE}/execute", {"sandbox": "reports"}),
        (f"{CODE}/execute", {"sandbox": made.json["id"], "timeout_seconds": 1}),
    ):
        answer = api.post(path, {"code": "result = variables['REGION'] if 'REGION' in variables else 1", **body})
        assert answer.json["sandbox_id"] == made.json["id"], answer
    limits = [(request.limits.wall_seconds, request.limits.memory_mb) for request in sandbox.requests]
    assert limits == [(2, 64), (2, 64), (1, 64)]
    assert all(request.variables == {"REGION": "eu"} for request in sandbox.requests)


def test_a_sandbox_changes_by_field_and_goes(api: Gateway) -> None:
    id_ = api.post(f"{CODE}/sandbox", NEW).json["id"]
    changed = api.patch(f"{CODE}/sandbox/{id_}", {"variables": {}, "name": "other"}).json
    assert (changed["name"], changed["config"]["variables"], changed["config"]["limits"]["memory_mb"]) == (
        "other",
        {},
        64,
    )
    assert api.get(f"{CODE}/sandboxes").json["items"] == [changed]
    assert api.delete(f"{CODE}/sandbox/{id_}").status == 204
    assert api.get(f"{CODE}/sandbox/{id_}").status == 404
    assert api.post(f"{CODE}/execute", {"code": "1", "sandbox": id_}).status == 404


def test_a_name_is_taken_once(api: Gateway, other: Gateway) -> None:
    first = api.post(f"{CODE}/sandbox", NEW).json["id"]
    assert api.post(f"{CODE}/sandbox", NEW).problem["status"] == 409
    second = api.post(f"{CODE}/sandbox", {**NEW, "name": "b"}).json["id"]
    assert api.patch(f"{CODE}/sandbox/{second}", {"name": "reports"}).problem["status"] == 409
    assert api.patch(f"{CODE}/sandbox/{first}", {"name": "reports"}).status == 200
    assert other.post(f"{CODE}/sandbox", NEW).status == 201


SECRETS: list[dict[str, str]] = [
    {"API_KEY": "abc"},
    {"DB_PASSWORD": "hunter2"},
    {"TOKEN": "x", "ACCESS_TOKEN": "y"},
    {"URL": "postgresql://app:hunter2@db/x"},
    {"KEY": "AKIAIOSFODNN7EXAMPLE"},
    {"X": "sk-abcdefghijklmnop"},
]


def test_what_looks_like_a_secret_is_refused_with_the_remedy(api: Gateway, subtests: pytest.Subtests) -> None:
    for variables in SECRETS:
        with subtests.test(variables=variables):
            refused = api.post(f"{CODE}/sandbox", {**NEW, "variables": variables})
            assert refused.problem["status"] == 422
            assert refused.paths[0].startswith("variables.")
            assert "http_request" in refused.problem["remedy"]
            assert not any(value in refused.text for value in variables.values() if len(value) > 3)


MISTAKES: list[tuple[str, dict[str, object]]] = [
    ("name", {"name": ""}),
    ("runtime", {"runtime": "docker"}),
    ("limits.wall_seconds", {"limits": {"wall_seconds": 61}}),
    ("limits.memory_mb", {"limits": {"memory_mb": 4096}}),
    ("limits.cpus", {"limits": {"cpus": 4}}),
    ("variables.A-B.[key]", {"variables": {"A-B": "x"}}),
    ("variables.A", {"variables": {"A": "x" * 5000}}),
]


def test_what_is_no_sandbox_is_refused_by_its_field(api: Gateway, subtests: pytest.Subtests) -> None:
    for field, changed in MISTAKES:
        with subtests.test(field=field):
            refused = api.post(f"{CODE}/sandbox", {**NEW, **changed})
            assert (refused.status, refused.paths) == (422, [field])
