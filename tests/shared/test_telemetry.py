"""What is logged is JSON, names what it is about, and holds no secret."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import telemetry
from shared.telemetry import REDACTED, Attribute, about, conceal, logger, observed, redact, set_up

CANARY = "canary-5b1d7c"


@pytest.fixture
def lines() -> Iterator[Any]:
    """Sets logging up as a function has it; call it for the lines so far."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    ours = {name: logging.getLogger(name).level for name in ("millrace", "shared", "functions", "infra")}
    stream = io.StringIO()
    set_up("INFO", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before
    root.setLevel(level)
    for name, was in ours.items():
        logging.getLogger(name).setLevel(was)


def test_a_line_is_one_json_object_with_what_it_is_about(lines: Any) -> None:
    with about({Attribute.RUN: "run-1"}):
        logger.info("step %s done\nwell", "a", extra={Attribute.NODE: "n1", "duration_ms": 1.5})
    logger.info("later")
    first, second = lines()
    assert first["message"] == "step a done\nwell"
    assert first["level"] == "INFO"
    assert first["timestamp"].endswith("+00:00")
    assert first["millrace.run.id"] == "run-1"
    assert first["millrace.node.id"] == "n1"
    assert first["duration_ms"] == 1.5
    assert "millrace.run.id" not in second


def test_a_message_that_is_json_stays_text(lines: Any) -> None:
    logger.info('{"level": "FORGED"}')
    assert lines()[0]["message"] == '{"level": "FORGED"}'
    assert lines()[0]["level"] == "INFO"


def test_libraries_speak_through_the_same_formatter(lines: Any) -> None:
    logging.getLogger("some.library").warning("token=%s", CANARY)
    logging.getLogger("some.library").info("unheard")
    (line,) = lines()
    assert line["message"] == f"token={REDACTED}"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"postgresql://user:{CANARY}@host/db",
        f"https://host/?api_key={CANARY}&x=1",
        f"mr_{CANARY}AAAAAAAA",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"whsec_{CANARY}",
        f"ghp_{CANARY}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.{CANARY}",
    ],
)
def test_a_secret_is_known_by_its_shape(lines: Any, text: str) -> None:
    logger.info(text)
    logger.info("in depth", extra={"request": {"headers": [text]}})
    logger.info("%s", text)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("it failed")
    found = lines()
    assert len(found) == 4
    assert CANARY not in json.dumps(found)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Authorization",
        "X-Hub-Signature-256",
        "client_secret",
        "set-cookie",
        "apiKey",
        "refresh_token",
        "token",
    ],
)
def test_a_secret_is_known_by_its_name(lines: Any, name: str) -> None:
    logger.info("asked", extra={"headers": {name: CANARY, "n": [{name: [CANARY]}]}})
    assert CANARY not in json.dumps(lines())
    assert redact({name: ""}) == {name: ""}  # that there is none is worth knowing


def test_innocent_words_stay(lines: Any) -> None:
    kept = {"tokens": 12, "author": "a", "message": "the secretary's basic idea", "key": "k", "tokenizer": "x"}
    assert redact(kept) == kept


def test_what_was_concealed_is_nowhere(lines: Any) -> None:
    secret = conceal('quo"ted\n' + CANARY)
    try:
        raise RuntimeError(f"peer said {secret!s}")
    except RuntimeError:
        logger.exception("with %s", secret, extra={"deep": [{"a": (secret,)}], secret: 1})
    said = json.dumps(lines())
    assert CANARY not in said
    assert REDACTED in said


def test_the_concealed_are_bounded() -> None:
    for number in range(3000):
        conceal(f"bounded-secret-{number}")
    assert redact("bounded-secret-2999") == REDACTED
    assert len(telemetry._concealed) <= 1024


class Broken:
    def __str__(self) -> str:
        raise ValueError("no")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.just(Broken()) | st.just(object()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    )
)
def test_redacting_never_raises_and_gives_plain_json(value: Any) -> None:
    json.dumps(redact(value))


def test_redacting_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert "[too deep]" in json.dumps(redact(value))


def test_a_crash_is_logged_once_and_told_without_secrets(lines: Any) -> None:
    @observed
    def handler(event: Any, context: Any) -> None:
        raise ValueError(f"password={CANARY}")

    with pytest.raises(telemetry.InvocationFailedError) as crash:
        handler({}, SimpleNamespace(aws_request_id="request-1"))
    assert CANARY not in str(crash.value)
    assert crash.value.__suppress_context__
    (line,) = lines()
    assert line["error.type"] == "ValueError"
    assert line["faas.invocation_id"] == "request-1"
    assert CANARY not in json.dumps(line)


def test_a_crash_that_tells_no_secret_is_raised_as_it_is(lines: Any) -> None:
    @observed
    def handler(event: Any, context: Any) -> None:
        raise LookupError("no such record")

    with pytest.raises(LookupError, match="no such record"):
        handler({}, SimpleNamespace(aws_request_id="request-1"))
    assert lines()[0]["error.type"] == "LookupError"


def test_metrics_are_written_at_the_end_of_the_invocation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_METRICS_NAMESPACE", "Millrace")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "workflow-run")
    telemetry._metrics.cache_clear()

    @observed
    def handler(event: Any, context: Any) -> str:
        telemetry.count("RunsCompleted", 2)
        telemetry.count("RunsCompleted")
        telemetry.duration("StepTime", 12.5)
        return "done"

    try:
        assert handler({}, SimpleNamespace(aws_request_id="r")) == "done"
        said = json.loads(capsys.readouterr().out)
        assert said["RunsCompleted"] == [2.0, 1.0]
        assert said["StepTime"] == [12.5]
        assert said["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Millrace"
        assert handler({}, SimpleNamespace(aws_request_id="r")) == "done"
    finally:
        telemetry._metrics.cache_clear()


def test_without_a_namespace_there_are_no_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry._metrics.cache_clear()
    telemetry.count("RunsCompleted")
    telemetry.flush()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("function", "expected"), [("workflow-run", "workflow-run"), (None, None)])
def test_importing_it_sets_logging_up_only_where_a_function_runs(function: str | None, expected: str | None) -> None:
    script = "import logging; from shared.telemetry import logger; logger.info('hello'); logging.warning('there')"
    environment = {"AWS_LAMBDA_FUNCTION_NAME": function} if function else {}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    if expected is None:
        assert said.stdout == ""
    else:
        assert [json.loads(line)["faas.name"] for line in said.stdout.splitlines()] == [expected] * 2
