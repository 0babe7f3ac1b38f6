"""One function calls another: the same suite for Lambda's API and for the local stack's endpoint."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import shared.invocation
from infra.local.invocations import Invocations
from shared.errors import TooLarge, Unavailable
from shared.invocation import MAX_BYTES, FunctionFailed, Functions, LambdaFunctions, LocalFunctions
from tests.infra.local.conftest import Workbench

#: What the function `toy` does, in both worlds.
TOY = """
    import os, time
    def handler(event, context):
        match event.get("do"):
            case "raise":
                raise LookupError("nothing there")
            case "sleep":
                time.sleep(30)
            case "exit":
                os._exit(3)
            case "fill":
                return "x" * (6 * 1024 * 1024 + 200)
        return {"echo": event}
"""


class Lambda(BaseHTTPRequestHandler):
    """Lambda's Invoke as its API reference has it, with the answers that its developer guide shows."""

    protocol_version = "HTTP/1.1"
    busy = threading.Event()
    seen: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        name = unquote(self.path).removeprefix("/2015-03-31/functions/").removesuffix("/invocations")
        assert self.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
        if not name.startswith("millrace-test-"):
            self.refuse(404, "ResourceNotFoundException", f"Function not found: {name}")
        elif name.endswith("-busy"):
            self.refuse(429, "TooManyRequestsException", "Rate Exceeded.")
        elif name.endswith("-ill"):
            self.refuse(500, "ServiceException", "The Lambda service encountered an internal error.")
        elif name.endswith("-toy"):
            self.toy(json.loads(body))
        else:
            self.refuse(404, "ResourceNotFoundException", f"Function not found: {name}")

    def toy(self, event: dict[str, Any]) -> None:
        failures = {
            "raise": {"errorMessage": "nothing there", "errorType": "LookupError", "stackTrace": []},
            "sleep": {
                "errorType": "Sandbox.Timedout",
                "errorMessage": "Task timed out after 1.00 seconds",
            },
            "exit": {"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited with error: exit status 3"},
            "fill": {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "Response payload size exceeded"},
        }
        if failure := failures.get(event.get("do", "")):
            self.answer(200, failure, {"x-amz-function-error": "Unhandled"})
        else:
            self.answer(200, {"echo": event}, {"x-amz-executed-version": "$LATEST"})

    def refuse(self, status: int, kind: str, message: str) -> None:
        self.answer(status, {"Type": "User", "Message": message}, {"x-amzn-errortype": kind})

    def answer(self, status: int, body: Any, headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@dataclass
class World:
    """Where functions are, and how their callers reach them."""

    functions: Functions
    unreachable: Functions


@pytest.fixture
def on_lambda(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lambda)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{server.server_address[1]}")
    functions, gone = LambdaFunctions("millrace-test"), LambdaFunctions("millrace-test")
    functions.invoke("toy", {}, 1)  # this client is made; the next one finds nobody
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")
    yield World(functions, gone)
    functions.close()
    gone.close()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def on_the_stack(tmp_path: Path) -> Iterator[World]:
    bench = Workbench(tmp_path)
    endpoint = Invocations()
    functions = {
        "toy": bench.function(TOY, timeout=1.0),
        "busy": bench.function("def handler(event, context): ...", name="busy", queue_limit=0),
        "ill": bench.function("import sys; sys.exit(1)", name="ill"),
    }
    bench.run(endpoint.open(functions))
    yield World(LocalFunctions(endpoint.address, endpoint.token), LocalFunctions("http://127.0.0.1:9", "x" * 48))
    bench.run(endpoint.drain(0))
    bench.close()


@pytest.fixture(params=["on_lambda", "on_the_stack"])
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


def test_the_payload_goes_there_and_the_answer_comes_back(world: World) -> None:
    payload = {"text": "Grüße \U0001f3ed", "list": [1, 2.5, None, True], "deep": {"a": {"b": []}}}
    assert world.functions.invoke("toy", payload, 5) == {"echo": payload}


@pytest.mark.parametrize(
    ("do", "type_", "said"),
    [
        ("raise", "LookupError", "nothing there"),
        ("sleep", "Sandbox.Timedout", "timed out"),
        ("exit", "Runtime.ExitError", "exit"),
    ],
)
def test_a_function_that_fails_tells_its_type_and_message(world: World, do: str, type_: str, said: str) -> None:
    with pytest.raises(FunctionFailed) as failed:
        world.functions.invoke("toy", {"do": do}, 5)
    assert failed.value.type == type_
    assert said in failed.value.message


def test_what_is_too_large_is_refused_before_it_is_sent(world: World) -> None:
    for functions in (world.functions, world.unreachable):  # nobody is asked
        with pytest.raises(TooLarge, match="6291456"):
            functions.invoke("toy", "x" * (MAX_BYTES - 1), 5)
    # One byte less, with the quotation marks, and it goes through to a function that makes nothing of it.
    with pytest.raises(FunctionFailed):
        world.functions.invoke("toy", {"do": "raise", "x": "x" * (MAX_BYTES - 100)}, 5)


def test_an_answer_that_is_too_large_is_called_that(world: World) -> None:
    with pytest.raises(TooLarge, match="answer"):
        world.functions.invoke("toy", {"do": "fill"}, 5)


@pytest.mark.parametrize("function", ["busy", "ill", "nobody"])
def test_a_function_that_cannot_be_asked_is_unavailable(world: World, function: str) -> None:
    with pytest.raises((Unavailable, FunctionFailed)) as refused:
        world.functions.invoke(function, {}, 1)
    # A process that ends before it serves is a fault of the function on a laptop, of the service on AWS.
    assert isinstance(refused.value, Unavailable) or function == "ill"


def test_where_nobody_listens_it_is_unavailable(world: World) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        world.unreachable.invoke("toy", {}, 1)
    assert time.monotonic() - began < 5


def test_the_stack_wants_its_token_and_only_waits_for_answers(on_the_stack: World, tmp_path: Path) -> None:
    stranger = on_the_stack.functions
    assert isinstance(stranger, LocalFunctions)
    stranger._token = "another"
    with pytest.raises(Unavailable, match="the token"):
        stranger.invoke("toy", {}, 1)


def test_the_environment_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(value: str) -> Functions:
        monkeypatch.setenv("MILLRACE_FUNCTIONS", value)
        shared.settings.forget()
        shared.invocation.functions.cache_clear()
        return shared.invocation.functions()

    assert isinstance(told("lambda:millrace-dev"), LambdaFunctions)
    assert isinstance(told("local:http://127.0.0.1:4000"), LocalFunctions)
    with pytest.raises(Unavailable, match="cannot be called from here"):
        told("none").invoke("toy", {}, 1)
    shared.invocation.functions.cache_clear()


def test_one_client_is_kept_for_each_half_minute_of_patience(on_lambda: World) -> None:
    functions = on_lambda.functions
    assert isinstance(functions, LambdaFunctions)
    patience: Callable[[float], int] = lambda seconds: id(functions._client(seconds))  # noqa: E731
    assert patience(1) == patience(15) != patience(16) == patience(45)
