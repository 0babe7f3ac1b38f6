"""The whole stack on this machine: what the parts promise, together, and what a kill leaves."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from infra import capabilities
from infra.local.settings import StackSettings
from infra.local.stack import ROOT, Stack, StackError
from shared.storage import DirectoryStorage
from tests.cluster import TestDatabase
from tests.infra.local.conftest import until

SECRET = "s" * 40
GRAPH = {
    "nodes": [
        {"node_id": "start", "node_type": "trigger", "config": {"trigger_type": "webhook"}},
        {"node_id": "keep", "node_type": "set_variable", "config": {"name": "ref", "value": "{{ trigger.payload }}"}},
    ],
    "edges": [{"from": "start", "to": "keep"}],
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # A worker that lost its database in the middle holds its runs until the lease ends: shorter than we would wait.
    environment = {"MILLRACE_LEASE_SECONDS": "3"}
    with Stack(tmp_path_factory.mktemp("stack") / "home", environment=environment) as stack:
        yield stack


class User:
    """The local user at work: through the gateway, with the stack's token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._headers = {"authorization": f"Bearer {token}"}

    def get(self, path: str) -> Any:
        return self._send("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self._send("POST", path, json=body)

    def _send(self, method: str, path: str, **more: Any) -> Any:
        response = httpx.request(method, self.url + path, headers=self._headers, timeout=30, **more)
        assert response.is_success, response.text
        return response.json()

    def workflow(self, name: str) -> str:
        return str(self.post("/api/v1/workflows", {"name": name, "graph_config": GRAPH})["id"])

    def webhook(self, workflow: str) -> str:
        """A signed webhook's address."""
        made = self.post(
            "/api/v1/workflows/webhooks/subscriptions",
            {
                "workflow_id": workflow,
                "name": "hook",
                "webhook_path": "/push",
                "scheme": "github",
                "secret": SECRET,
            },
        )
        return str(made["url"])

    def run(self, id_: str) -> Any:
        return self.get(f"/api/v1/workflows/executions/{id_}")

    def ended(self, id_: str) -> Any:
        until(lambda: self.run(id_)["status"] not in ("running", "waiting"), 30)
        return self.run(id_)


def deliver(url: str, body: Any) -> str:
    """Post a signed delivery; the id of its run."""
    content = json.dumps(body).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "x-hub-signature-256": signature}
    response = httpx.post(url, content=content, headers=headers, timeout=30)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


@pytest.fixture(scope="module")
def user(stack: Stack) -> User:
    return User(stack.url, stack.token)


def test_a_signed_webhook_becomes_a_completed_run(stack: Stack, user: User) -> None:
    run = deliver(user.webhook(user.workflow("webhook")), {"ref": "refs/heads/main"})
    assert user.ended(run)["status"] == "completed"


def test_each_function_is_a_process_of_its_own(stack: Stack, user: User) -> None:
    user.get("/api/v1/users/me")
    user.get("/api/v1/items")
    pids = {worker.pid for name in ("account", "item") for worker in stack.functions[name].workers}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_files_that_come_and_go_start_runs_through_s3s_events(stack: Stack, user: User) -> None:
    workflow = user.workflow("stored")
    wish = {"bucket": "user-uploads", "suffix": ".txt", "events": "both", "filter_expression": "trigger.event != ''"}
    user.post(f"/api/v1/workflows/{workflow}/storage-triggers", wish)
    me = user.get("/api/v1/users/me")["id"]
    secret = (stack.data_dir / "secrets" / "storage").read_text().strip().encode()
    storage = DirectoryStorage(stack.data_dir / "objects", secret, url=stack.url, listener=stack._stored)
    key = f"{me}/März 2026 (100%).txt"
    url = storage.signed_url("user-uploads", key, method="PUT", media_type="text/plain", max_bytes=100)
    put = httpx.put(url, content=b"grain", headers={"content-type": "text/plain"})
    assert put.status_code == 200, put.text
    assert httpx.put(url, content=b"grain", headers={"content-type": "text/html"}).status_code == 422
    assert httpx.put(url.replace("expires=1", "expires=2"), content=b"x").status_code == 403
    read = httpx.get(storage.signed_url("user-uploads", key))
    assert (read.content, read.headers["content-type"]) == (b"grain", "text/plain")
    assert httpx.get(storage.signed_url("user-uploads", "nothing")).status_code == 404

    def runs() -> Any:
        return user.get(f"/api/v1/workflows/executions?workflow_id={workflow}")["items"]

    until(runs, 20)
    (run,) = runs()
    assert user.ended(run["id"])["status"] == "completed"
    storage.delete("user-uploads", key)
    until(lambda: len(runs()) == 2, 20)
    heard = [user.run(run["id"])["trigger_data"] for run in runs()]
    assert [(told["event"], told["payload"]["key"]) for told in heard] == [
        ("ObjectRemoved:Delete", key),
        ("ObjectCreated:Put", key),
    ]
    until(lambda: not list(storage.events()))  # acknowledged


def test_who_asks_is_told_which_capabilities_are_installed(stack: Stack) -> None:
    told = {
        name: function.settings.environment.get("MILLRACE_CAPABILITIES") for name, function in stack.functions.items()
    }
    assert told["workflow-api"] == ",".join(capabilities.present()) != ""
    assert told["item"] is None, "it does not ask"


def test_the_tick_finds_what_no_bell_told_of(stack: Stack, user: User) -> None:
    workflow = user.workflow("unrung")
    url = user.webhook(workflow)
    queue = stack.queues["workflow-run"]
    deaf, queue.ring = queue.ring, lambda id_, delay=0: None  # type: ignore[method-assign]
    bell = next(bell for bell in stack._bells if bell.path.name == "workflow-run.sock")
    heard, bell._ring = bell._ring, lambda id_, delay: None
    try:
        run = deliver(url, {})
        time.sleep(0.2)
        assert user.run(run)["status"] == "running"
    finally:
        queue.ring, bell._ring = deaf, heard  # type: ignore[method-assign]
    assert user.ended(run)["status"] == "completed"


def test_postgres_comes_back_when_it_is_killed_and_nothing_acknowledged_is_lost(stack: Stack, user: User) -> None:
    url = user.webhook(user.workflow("crash"))
    before = deliver(url, {"n": 1})
    assert stack.postgres is not None
    pid = stack.postgres.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: stack.postgres.pid not in (None, pid), 20)

    def again() -> bool:
        try:
            return bool(user.run(before))
        except AssertionError:
            return False

    until(again, 20)
    assert user.ended(before)["status"] == "completed"
    assert user.ended(deliver(url, {"n": 2}))["status"] == "completed"


def test_secrets_are_their_owners_alone_and_stay(stack: Stack) -> None:
    assert stat.S_IMODE(stack.data_dir.stat().st_mode) == 0o700
    secrets = stack.data_dir / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    for path in secrets.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    assert {"jwt", "storage", "user"} <= {path.name for path in secrets.iterdir()}


def test_data_keys_are_kept_away_from_the_data_and_the_repository(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key_file(stack: Stack) -> Path:
        return Path(stack.functions["workflow-api"].settings.environment["MILLRACE_SECRET_KEY_FILE"])

    kept = key_file(stack)
    assert kept.is_relative_to(Path(os.environ["XDG_CONFIG_HOME"]) / "millrace")
    assert not kept.is_relative_to(stack.data_dir)
    assert not kept.is_relative_to(ROOT)
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    user = User(stack.url, stack.token)
    user.webhook(user.workflow("sealed"))  # has a secret, which is sealed
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(StackError, match="MILLRACE_SECRET_KEY_FILE"):
        Stack(tmp_path / "home").start()


def test_no_function_is_told_more_than_it_needs(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(name: str) -> dict[str, str]:
        return dict(stack.functions[name].settings.environment)

    assert "millrace_engine@" in told("workflow-run")["MILLRACE_DATABASE_URL"]
    assert "millrace_api@" in told("item")["MILLRACE_DATABASE_URL"]
    for name in stack.functions:
        assert not any(key.startswith("AWS_") for key in told(name))
        assert "MILLRACE_API_DATABASE_URL" not in told(name)
        assert "MILLRACE_ENGINE_DATABASE_URL" not in told(name)
        tenants = "millrace_api@" in told(name).get("MILLRACE_DATABASE_URL", "")
        assert ("MILLRACE_JWT_SECRET" in told(name)) == tenants, name
    assert not {"MILLRACE_DATABASE_URL", "MILLRACE_STORAGE", "MILLRACE_FUNCTIONS"} & set(told("code-sandbox"))


def test_a_second_stack_on_the_same_data_is_refused(stack: Stack) -> None:
    with pytest.raises(StackError, match=f"process {os.getpid()} runs a stack on"):
        Stack(stack.data_dir).start()
    assert httpx.get(stack.url + "/nowhere").status_code == 404  # the first goes on


def test_a_taken_port_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} of 127.0.0.1 cannot be used"):
            Stack(tmp_path / "home", port).start()


def test_what_has_begun_ends_before_the_stack_does(tmp_path: Path) -> None:
    settings = StackSettings.load().model_copy(update={"warm": []})
    with Stack(tmp_path / "home", durable=False, settings=settings) as stack:
        user = User(stack.url, stack.token)
        run = deliver(user.webhook(user.workflow("last")), {})
        processes = stack.processes()
        with socket.create_connection(("127.0.0.1", urlsplit(stack.url).port or 0)) as client:
            client.sendall(b"GET /api/v1/items HTTP/1.1\r\nhost: x\r\n\r\n")  # nobody has used this function yet
            until(lambda: stack.functions["item"].busy)
            stack.stop()
            assert client.recv(65536).startswith(b"HTTP/1.1 401 ")
    assert run
    assert not [pid for pid in processes if pid != os.getpid() and _alive(pid)]


def test_a_killed_stack_leaves_no_process_behind_and_starts_again_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = _start(home)
    user = User(first["url"], first["token"])
    url = user.webhook(user.workflow("survivor"))
    run = deliver(url, {})
    user.ended(run)
    process = first["process"]
    process.kill()
    process.wait()
    process.stdout.close()
    second = _start(home)  # at once, while the first one's children may still be ending
    try:
        until(lambda: not [pid for pid in first["processes"] if _alive(pid)], 20)
        again = User(second["url"], first["token"])  # tokens outlive the stack
        assert again.run(run)["status"] == "completed"
        hook = second["url"] + urlsplit(url).path
        assert again.ended(deliver(hook, {}))["status"] == "completed"
    finally:
        second["process"].send_signal(signal.SIGINT)
        assert second["process"].wait(20) == 0
        second["process"].stdout.close()
    assert not [pid for pid in second["processes"] if _alive(pid)]


def test_it_runs_on_a_database_of_the_users(tmp_path: Path, db: TestDatabase) -> None:
    settings = StackSettings.load().model_copy(update={"warm": []})
    with Stack(tmp_path / "home", database_url=db.url("supabase_admin"), settings=settings) as stack:
        user = User(stack.url, stack.token)
        assert user.ended(deliver(user.webhook(user.workflow("theirs")), {}))["status"] == "completed"
    assert not (tmp_path / "home" / "postgres").exists()
    assert db.owner.execute("select count(*) as n from workflowexecution").fetchone() == {"n": 1}


_SCRIPT = """
import json, pathlib, signal, sys
from infra.local.stack import Stack
stack = Stack(pathlib.Path(sys.argv[1]))
stack.start()
print(json.dumps({"url": stack.url, "token": stack.token}), flush=True)
sys.stdin.readline()
print(json.dumps(stack.processes()), flush=True)
try:
    signal.pause()
except KeyboardInterrupt:
    stack.stop()
"""


def _start(home: Path) -> dict[str, Any]:
    """A stack in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(home)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    about: dict[str, Any] = json.loads(process.stdout.readline())
    httpx.get(about["url"] + "/api/v1/users/me", timeout=30)  # so that there is a function too
    process.stdin.close()
    return {**about, "process": process, "processes": json.loads(process.stdout.readline())}


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
