"""A secret that is given to the stack is found nowhere again: no log line, row, file or answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from infra.local.postgres import EmbeddedPostgres
from tests.sql.catalogue import tables
from tests.stack import RunningStack, running_stack

GRAPH = {
    "nodes": [
        {"node_id": "start", "node_type": "trigger", "config": {"trigger_type": "webhook"}},
        {"node_id": "keep", "node_type": "set_variable", "config": {"name": "all", "value": "{{ trigger }}"}},
        {"node_id": "answer", "node_type": "respond", "config": {"body": "{{ variables.all }}"}},
    ],
    "edges": [{"from": "start", "to": "keep"}, {"from": "keep", "to": "answer"}],
}
HOOKS = "/api/v1/workflows/webhooks/subscriptions"
TOKENS = "/api/v1/users/me/tokens"
GIVEN, ROTATED = "canary-given-7c1d99f0", "canary-rotated-5be2a3"


@dataclass
class Traffic:
    """A client that keeps every answer."""

    stack: RunningStack
    answers: list[str] = field(default_factory=list)

    def send(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.stack.address.token}"} | more.pop("headers", {})
        response = httpx.request(method, self.stack.address.url + path, headers=headers, timeout=30, **more)
        self.answers.append(f"{method} {path}\n{response.status_code} {response.headers}\n{response.text}")
        return response

    def deliver(self, path: str, secret: str, body: bytes, **headers: str) -> httpx.Response:
        """Signed as GitHub does; the secret also stands where a careless sender puts it."""
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        sent = {
            "content-type": "application/json",
            "x-hub-signature-256": signature,
            "x-webhook-secret": secret,
            **headers,
        }
        return self.send("POST", path, token=secret, content=body, headers=sent)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("canary") / "home", MILLRACE_LOG_LEVEL="DEBUG") as running:
        yield running


@pytest.fixture(scope="module")
def secrets(stack: RunningStack) -> dict[str, str]:
    """What must not show, by what it is, after everything was done with it that makes systems talkative."""
    traffic = Traffic(stack)
    workflow = traffic.send("POST", "/api/v1/workflows", json={"name": "canary", "graph_config": GRAPH}).json()["id"]
    new = {"workflow_id": workflow, "name": "hook", "webhook_path": "/c", "scheme": "github", "secret": GIVEN}

    # Refused with the secret in the body: as a field, of a wrong type, under a wrong name, and in broken JSON.
    for wrong in ({"workflow_id": 1}, {"secret": [GIVEN]}, {"secrets": GIVEN}, {"scheme": GIVEN}):
        assert traffic.send("POST", HOOKS, json=new | wrong).status_code == 422
    content = json.dumps(new)[:-1].encode()
    assert traffic.send("POST", HOOKS, content=content, headers={"content-type": "application/json"}).status_code == 400

    hook = traffic.send("POST", HOOKS, json=new).json()
    path = httpx.URL(hook["url"]).path
    assert traffic.deliver(path, GIVEN, b'{"n":1}').status_code == 202
    assert traffic.deliver(f"{path}?wait=20", GIVEN, b'{"n":2}').json()["payload"] == {"n": 2}
    assert traffic.deliver(path, GIVEN, b'{"n":', **{"x-request-id": "broken"}).status_code == 400
    assert traffic.deliver(path, ROTATED, b"{}").status_code == 401

    # Failures of ours, which are logged with their tracebacks.
    with superuser(stack) as connection:
        for function, fail in (
            ("create_subscription", lambda: traffic.send("POST", HOOKS, json=new)),
            ("accept_delivery", lambda: traffic.deliver(path, GIVEN, b"{}")),
        ):
            name = sql.Identifier("millrace", function)
            connection.execute(sql.SQL("alter function {} rename to away").format(name))
            failed = fail()
            connection.execute(sql.SQL("alter function millrace.away rename to {}").format(sql.Identifier(function)))
            assert failed.status_code == 500, failed.text
    assert traffic.send("POST", f"{HOOKS}/{hook['id']}/rotate", json={"secret": ROTATED}).status_code == 200

    # A platform token is shown once; then it is used, misused and revoked.
    made = httpx.post(
        stack.address.url + TOKENS,
        json={"name": "canary", "scopes": ["runs:read"]},
        headers={"authorization": f"Bearer {stack.address.token}"},
    ).json()
    token = made["token"]
    assert traffic.send("GET", "/api/v1/workflows/executions", token).status_code == 200
    assert traffic.send("GET", TOKENS, token).status_code == 403
    assert traffic.send("GET", "/api/v1/workflows/executions", token + "x").status_code == 401
    assert traffic.send("POST", "/api/v1/items", token, content=b"{").status_code in (400, 403)
    assert traffic.send("DELETE", f"{TOKENS}/{made['id']}").status_code == 204
    assert traffic.send("GET", f"/nowhere/{'x' * 9}", token).status_code == 404

    # Everything that can be read back.
    for read in (HOOKS, f"{HOOKS}/{hook['id']}", f"{HOOKS}/{hook['id']}/deliveries", TOKENS, "/api/v1/users/me"):
        assert traffic.send("GET", read).status_code == 200
    runs = traffic.send("GET", "/api/v1/workflows/executions").json()["items"]
    assert len(runs) == 2
    for run in runs:
        for part in ("", "/status", "/timeline", "/logs"):
            assert traffic.send("GET", f"/api/v1/workflows/executions/{run['id']}{part}").status_code == 200
    (stack.home.parent / "answers").write_text("\n\n".join(traffic.answers))

    [key_file] = (Path(os.environ["XDG_CONFIG_HOME"]) / "millrace" / "keys").glob(f"{_id(stack)}.json")
    [key] = json.loads(key_file.read_text())["keys"].values()
    return {
        "a webhook's secret": GIVEN,
        "the secret after it": ROTATED,
        "a platform token": token,
        "the session's token": str(stack.address.token),
        "a data key": key,
        **{f"the {name} secret": (stack.home / "secrets" / name).read_text().strip() for name in ("jwt", "storage")},
    }


def superuser(stack: RunningStack) -> psycopg.Connection[dict[str, Any]]:
    url = EmbeddedPostgres(stack.home / "postgres").url("supabase_admin")
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def _id(stack: RunningStack) -> str:
    return (stack.home / "secrets" / "id").read_text().strip()


def spellings(secret: str) -> list[str]:
    """How a secret may stand in a text: as it is, and as a ``bytea`` or base64 of it."""
    raw = secret.encode()
    forms = [secret, raw.hex(), base64.b64encode(raw).decode().rstrip("=")]
    return [*forms, base64.b64decode(raw).hex()] if secret.endswith("=") else forms


def found(secrets: dict[str, str], text: str) -> list[str]:
    return [what for what, secret in secrets.items() if any(spelt in text for spelt in spellings(secret))]


def test_no_answer_holds_a_secret(stack: RunningStack, secrets: dict[str, str]) -> None:
    text = (stack.home.parent / "answers").read_text()
    assert "The signature does not match" in text
    assert found(secrets, text) == []


def test_no_row_holds_a_secret(stack: RunningStack, secrets: dict[str, str]) -> None:
    rows = 0
    with superuser(stack) as connection:
        for table in tables(connection, "public", "millrace", "auth", "storage", "supabase_migrations"):
            for row in connection.execute(
                sql.SQL("select t::text as text from {} t").format(sql.Identifier(table.schema, table.name))
            ):
                rows += 1
                assert found(secrets, row["text"]) == [], table
        assert connection.execute("select from public.secret").fetchall(), "nothing was sealed"
    assert rows > 100


def test_no_log_and_no_file_holds_a_secret(stack: RunningStack, secrets: dict[str, str]) -> None:
    output = stack.home.with_name(f"{stack.home.name}.out")
    kept = [path for path in stack.home.rglob("*") if path.is_file() and not path.is_symlink()]
    logs = [path for path in kept if path.parent == stack.home / "logs"]
    assert {"requests.log", "workflow-api.log", "webhook-intake.log"} <= {path.name for path in logs}
    # The place of the local secrets, and what `millrace dev` prints so that a person can use it: the session's token.
    assert found(secrets, (stack.home / "address.json").read_text()) == ["the session's token"]  # so it does find
    private = {stack.home / "address.json", *(stack.home / "secrets").iterdir()}
    for path in [output, *kept]:
        if path in private:
            continue
        hidden = found(secrets, path.read_bytes().decode("latin-1"))
        assert [what for what in hidden if path != output or what != "the session's token"] == [], path
