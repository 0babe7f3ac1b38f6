"""Our own client of the Lambda Runtime API, for machines where awslambdaric has no wheel.

It passes the same contract suite (``tests/infra/local/test_runtime.py``): fetch an invocation, call the handler, post
its result or its error, over one kept connection. Nothing but the standard library.

Source: AWS Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes".
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from typing import Any

_API = "/2018-06-01/runtime"


@dataclass
class Context:
    """What a handler is told about its invocation, under the names AWS gives them."""

    aws_request_id: str
    invoked_function_arn: str
    deadline_ms: int
    function_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""))
    function_version: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""))
    memory_limit_in_mb: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", ""))
    log_group_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""))
    log_stream_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""))
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this process is killed, never negative."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def load(handler: str) -> Callable[[Any, Context], Any]:
    """The function that ``folder/module.name`` means; ImportError or AttributeError when there is none."""
    module, _, name = handler.rpartition(".")
    found: Callable[[Any, Context], Any] = getattr(importlib.import_module(module.replace("/", ".")), name)
    return found


def describe(error: BaseException, request_id: str = "") -> dict[str, Any]:
    """An exception in the shape that Lambda answers with."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


class _RuntimeApi:
    """One kept connection to the Runtime API."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(address)

    def get(self, path: str) -> tuple[HTTPResponse, bytes]:
        self._connection.request("GET", _API + path)
        response = self._connection.getresponse()
        return response, response.read()

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._connection.request("POST", _API + path, body, headers or {})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 202:
            raise RuntimeError(f"the Runtime API answered {response.status} to {path}: {answer[:200]!r}")


def serve(handler: str, address: str) -> None:
    """Serve invocations for ever; a handler that cannot be loaded is reported, and the process ends with status 1."""
    logging.basicConfig(
        stream=sys.stdout, format="[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
    )
    logging.Formatter.converter = time.gmtime
    api = _RuntimeApi(address)
    try:
        function = load(handler)
    except BaseException as error:
        traceback.print_exc()
        body = describe(error)
        if isinstance(error, ImportError):
            body["errorType"] = "Runtime.ImportModuleError"
        elif isinstance(error, AttributeError):
            body["errorType"] = "Runtime.HandlerNotFound"
        api.post("/init/error", json.dumps(body).encode())
        sys.exit(1)
    while True:
        response, event = api.get("/invocation/next")
        request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
        context = Context(
            aws_request_id=request_id,
            invoked_function_arn=response.headers["Lambda-Runtime-Invoked-Function-Arn"],
            deadline_ms=int(response.headers["Lambda-Runtime-Deadline-Ms"]),
        )
        os.environ["_X_AMZN_TRACE_ID"] = response.headers.get("Lambda-Runtime-Trace-Id", "")
        try:
            result = json.dumps(function(json.loads(event), context)).encode()
        except Exception as error:
            traceback.print_exc()
            sys.stderr.flush()
            api.post(f"/invocation/{request_id}/error", json.dumps(describe(error, request_id)).encode())
        else:
            api.post(f"/invocation/{request_id}/response", result, {"Content-Type": "application/json"})
        sys.stdout.flush()
