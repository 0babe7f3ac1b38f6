"""Code on a laptop: the whole road through the local stack, at whose end nothing of ours is to be found."""

from __future__ import annotations

import http.client
import os
from pathlib import Path

import httpx
import pytest

from functions.code_sandbox import runtimes
from infra.local.stack import Stack

CANARY = "canary-7f3a"

pytestmark = pytest.mark.skipif(not runtimes.installed(), reason="the interpreters are not there: make install-code")


def test_code_runs_on_the_stack_in_a_process_that_was_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MILLRACE_SUPABASE_KEY", "MILLRACE_SOMETHING", "AWS_SECRET_ACCESS_KEY", "ANY_SECRET"):
        monkeypatch.setenv(name, CANARY)
    with Stack(tmp_path / "home", durable=False, environment={"MILLRACE_OTHER": CANARY}) as stack:
        caller = {"authorization": f"Bearer {stack.token}"}
        with httpx.Client(base_url=stack.url, headers=caller, timeout=40) as api:
            ran = api.post("/api/v1/code/execute", json={"code": "import os\nresult = dict(os.environ)"})
            assert ran.status_code == 200, ran.text
            assert (ran.json()["status"], ran.json()["output_data"]) == ("completed", {})
        [sandbox] = stack.functions["code-sandbox"].workers
        environment = Path(f"/proc/{sandbox.pid}/environ").read_bytes().decode().split("\0")
        assert CANARY not in str(environment)
        named = {entry.partition("=")[0] for entry in environment if entry.startswith("MILLRACE_")}
        assert named <= {"MILLRACE_SANDBOX_PARALLEL", "MILLRACE_SANDBOX_WARM", "MILLRACE_STACK_PID"}
        # Only the worker knows how to call a function, and nobody without the token does.
        tokens = [
            name
            for name, function in stack.functions.items()
            if "MILLRACE_FUNCTIONS_TOKEN" in function.settings.environment
        ]
        assert tokens == ["code-exec-worker"]
        assert refused(stack.functions["code-exec-worker"].settings.environment["MILLRACE_FUNCTIONS"]) == 403
    assert os.environ["ANY_SECRET"] == CANARY


def refused(functions: str) -> int:
    """What the stack's endpoint answers to a stranger."""
    host, port = functions.removeprefix("local:http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("POST", "/2015-03-31/functions/code-sandbox/invocations", b"{}", {"authorization": "Bearer x"})
    status = connection.getresponse().status
    connection.close()
    return status
