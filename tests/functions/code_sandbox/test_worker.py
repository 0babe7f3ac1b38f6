"""The face: a request as JSON, an outcome as JSON, both small enough for Lambda."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

import pytest

from functions.code_sandbox import sandbox, worker
from functions.code_sandbox.pool import Pool
from shared.errors import BadRequest, TooLarge
from shared.models.code import CodeFile, CodeOutcome, CodeRequest, Limit, RunStatus


@pytest.fixture
def _sandbox(backend: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "backend", lambda: backend)


@pytest.mark.usefixtures("_sandbox")
def test_a_request_is_answered_with_its_outcome() -> None:
    event = {
        "language": "python",
        "code": "open('out', 'wb').write(open('in', 'rb').read()[::-1]); result = input_data",
        "input_data": {"a": [1, None]},
        "files": [{"path": "in", "content": base64.b64encode(b"\x01\xff").decode()}],
    }
    answer = json.loads(json.dumps(worker.handler(event, None)))
    outcome = CodeOutcome.model_validate(answer)
    assert (outcome.status, outcome.result) == (RunStatus.COMPLETED, {"a": [1, None]})
    assert outcome.artifacts == (CodeFile(path="out", content=b"\xff\x01"),)
    assert answer["artifacts"] == [{"path": "out", "content": base64.b64encode(b"\xff\x01").decode()}]


@pytest.mark.usefixtures("_sandbox")
def test_nothing_is_left_on_the_disk() -> None:
    before = set(Path(tempfile.gettempdir()).iterdir())
    code = "import tempfile\nwith tempfile.NamedTemporaryFile(delete=False) as f: f.write(b'x' * 1000)\nresult = f.name"
    answer = worker.handler({"language": "python", "code": code}, None)
    assert answer["status"] == "completed"
    assert len(answer["artifacts"]) == 1
    left = {path for path in set(Path(tempfile.gettempdir()).iterdir()) - before if path.name in answer["result"]}
    assert left == set()


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"language": "cobol", "code": ""}, "language"),
        ({"language": "python"}, "code"),
        ({"language": "python", "code": "", "limits": {"wall_seconds": 1e9}}, "limits.wall_seconds"),
        ([], ""),
        (None, ""),
    ],
)
def test_what_is_no_request_is_refused_by_its_field(event: object, path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        worker.handler(event, None)
    assert refused.value.errors[0]["path"] == path


def test_a_request_over_six_megabytes_is_refused() -> None:
    with pytest.raises(TooLarge):
        worker.handler({"language": "python", "code": "", "input_data": "x" * worker.MAX_BYTES}, None)


def test_an_answer_over_six_megabytes_becomes_the_limit_that_was_hit() -> None:
    large = 5 * 1024 * 1024
    files = (CodeFile(path="x", content=bytes(large)),)
    done = CodeOutcome(status=RunStatus.COMPLETED, result="r", stdout="kept", artifacts=files)
    shown = CodeOutcome.model_validate(worker.answer(done))
    assert (shown.limit, shown.artifacts, shown.result, shown.stdout) == (Limit.FILES, (), None, "kept")
    shown = CodeOutcome.model_validate(
        worker.answer(done.model_copy(update={"artifacts": (), "result": "\U0001f600" * 10**6}))
    )
    assert (shown.status, shown.limit, shown.result) == (RunStatus.LIMIT, Limit.RESULT, None)
    shown = CodeOutcome.model_validate(
        worker.answer(done.model_copy(update={"artifacts": (), "stdout": "\x01" * 2 * 10**6}))
    )
    assert (shown.limit, shown.stdout) == (Limit.OUTPUT, "")
    assert worker.answer(done.model_copy(update={"artifacts": ()}))["status"] == "completed"


def test_a_request_says_nothing_of_where_it_is_from() -> None:
    assert set(CodeRequest.model_fields) == {
        "language", "code", "input_data", "files", "variables", "limits", "clock", "seed",
    }  # fmt: skip
