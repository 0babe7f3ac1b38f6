"""The worker and the real sandbox function, as they meet on Lambda: JSON there, JSON back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.code_sandbox import runtimes, sandbox
from functions.code_sandbox import worker as sandbox_worker
from shared import code_runtime
from shared.models.code import Language
from shared.storage import DirectoryStorage
from tests.cluster import TestDatabase
from tests.functions.code_exec.conftest import CodeWorker
from tests.functions.conftest import Bells
from tests.functions.gateway import Context, Gateway

CODE = "/api/v1/code"

pytestmark = pytest.mark.skipif(not runtimes.installed(), reason="the interpreters are not there: make install-code")


class RealSandbox:
    """The function's own entry point, with JSON on both sides."""

    def invoke(self, function: str, payload: Any, timeout: float) -> Any:
        assert function == code_runtime.FUNCTION
        return json.loads(json.dumps(sandbox_worker.handler(json.loads(json.dumps(payload)), Context())))


@pytest.fixture
def real(db: TestDatabase, bells: Bells, tmp_path: Path) -> Iterator[CodeWorker]:
    store = DirectoryStorage(tmp_path / "objects")
    made = CodeWorker(db, Path(bells.socket.getsockname()).parent, store, RealSandbox())
    made.start()
    yield made
    made.stop()
    if sandbox.backend.cache_info().currsize:
        sandbox.backend().close()
        sandbox.backend.cache_clear()


def run(api: Gateway, code: str, **body: Any) -> Any:
    answer = api.post(f"{CODE}/execute", {"code": code, **body})
    assert answer.status == 200, answer
    return answer.json


def test_both_languages_run_with_input_files_variables_and_limits(api: Gateway, real: CodeWorker) -> None:
    python = run(api, "result = {'n': input_data['n'] * 2}\nprint('py')", input_data={"n": 21})
    assert (python["output_data"], python["stdout"]) == ({"n": 42}, "py\n")
    javascript = run(api, "result = input_data.n * 2; console.log('js')", input_data={"n": 21}, language="js")
    assert (javascript["output_data"], javascript["stdout"], javascript["language"]) == (42, "js\n", "javascript")
    api.post(f"{CODE}/sandbox", {"name": "eu", "variables": {"REGION": "eu"}, "limits": {"wall_seconds": 1}})
    assert run(api, "import os; result = os.environ['REGION']", sandbox="eu")["output_data"] == "eu"
    assert run(api, "while True: pass", sandbox="eu")["status"] == "timed_out"
    left = run(
        api, "open('out.txt', 'w').write(open('in.txt').read() * 2)", files=[{"path": "in.txt", "content": "YWI="}]
    )
    assert real.storage.get("code-executions", left["artifacts"][0]["key"]) == b"abab"
    broken = run(api, "one = 1\nresult = one / 0")
    assert broken["error_message"] == "ZeroDivisionError: division by zero (line 2)"
    assert "ZeroDivisionError" in broken["stderr"]


def test_what_is_said_to_be_carried_can_be_imported(api: Gateway, real: CodeWorker) -> None:
    code = """
import importlib
def missing(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return True
result = [name for name in input_data if missing(name)]
"""
    names = list(code_runtime.carried(Language.PYTHON))
    assert run(api, code, input_data=names, timeout_seconds=30)["output_data"] == []
