"""The package of the sandbox: under Lambda's bound, and everything that a run needs is in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from functions.code_sandbox import runtimes
from infra.package.build import build, faces
from infra.package.measure import isolated
from infra.package.targets import HERE, TARGETS

ROOT = Path(__file__).parents[3]
NAME = "code-sandbox"

RUNS = """
import json, sys
from functions.code_sandbox import runtimes, worker
assert worker.__file__.startswith(sys.argv[1]), worker.__file__
def ask(language, code):
    return worker.handler({"language": language, "code": code, "input_data": 20, "limits": {"wall_seconds": 30}}, None)
runtimes.compile_to_cache = None  # what is packed is compiled already
answers = [ask("python", "import json, re; result = input_data + 1"), ask("javascript", "result = input_data + 2")]
escape = ask("python", "open('/etc/passwd')")
print(json.dumps([[answer["status"], answer["result"]] for answer in answers] + [escape["error"]["type"]]))
"""


@pytest.mark.skipif(not runtimes.installed(), reason="no interpreters here: `make install-code` brings them")
def test_the_unpacked_package_runs_code_with_nothing_else_installed(tmp_path: Path) -> None:
    [made] = build(ROOT, TARGETS[HERE], faces(ROOT, [NAME]), folder=tmp_path / HERE)
    assert made.excess is None
    assert made.unzipped < 250 * 1024 * 1024
    folder = tmp_path / HERE / NAME
    assert not list(folder.rglob("package-lock.json"))
    command, environment = isolated(folder)
    environment["MILLRACE_CANARY"] = "secret"
    ran = subprocess.run(
        [*command, "-c", RUNS, str(folder)], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [["completed", 21], ["completed", 22], "FileNotFoundError"]
