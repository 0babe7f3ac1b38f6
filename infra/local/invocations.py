"""Functions that call other functions: Lambda's Invoke on a loopback port of the stack's own.

``POST /2015-03-31/functions/<function>/invocations`` with the bearer token that the stack gives to those functions that
may call others. Only RequestResponse, with Lambda's statuses and limits: 413 over 6 MB, 429 when too many wait, 404 for
a function that is not there; a function that failed is 200 with ``X-Amz-Function-Error``.

Source: AWS Lambda API Reference, "Invoke".
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from infra.local.http import Exchange, Header, HttpServer, plain_refusal
from infra.local.peers import is_ours
from infra.local.runtime import MAX_EVENT_BYTES, EventTooLargeError, Function, Outcome, OverloadedError

_PREFIX, _SUFFIX = b"/2015-03-31/functions/", b"/invocations"
_JSON: Header = (b"content-type", b"application/json")


class Invocations:
    """The endpoint. Its address is known at once, so that functions can be told; it serves once it is opened."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(48)
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._functions: Mapping[str, Function] = {}
        self._server: HttpServer | None = None

    async def open(self, functions: Mapping[str, Function]) -> None:
        """Serve; in the loop's thread."""
        listener, self._listener = self._listener, None
        self._functions = functions
        self._server = HttpServer(self.handle, max_body=MAX_EVENT_BYTES, admit=is_ours, refusal=_too_large)
        await self._server.listen(listener)

    async def drain(self, seconds: float) -> None:
        """Take nothing more, and let what has begun end; in the loop's thread."""
        if self._server is not None:
            await self._server.drain(seconds)

    def close(self) -> None:
        """Give the port back if it was never served."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        path = request.target.partition(b"?")[0]
        given = request.header(b"authorization") or b""
        if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            _refuse(exchange, 403, "AccessDeniedException", "the token is not the stack's")
            return
        name = unquote_to_bytes(path.removeprefix(_PREFIX).removesuffix(_SUFFIX)).decode(errors="replace")
        function = self._functions.get(name)
        if request.method != "POST" or path != _PREFIX + name.encode() + _SUFFIX or function is None:
            _refuse(exchange, 404, "ResourceNotFoundException", f"there is no function {name!r}")
            return
        if (request.header(b"x-amz-invocation-type") or b"RequestResponse") != b"RequestResponse":
            _refuse(exchange, 400, "InvalidParameterValueException", "only RequestResponse is known here")
            return
        try:
            function.invoke(request.body or b"{}", lambda outcome: _respond(exchange, outcome))
        except EventTooLargeError as error:
            _refuse(exchange, 413, "RequestTooLargeException", str(error))
        except OverloadedError as error:
            _refuse(exchange, 429, "TooManyRequestsException", str(error))


def _respond(exchange: Exchange, outcome: Outcome) -> None:
    error = outcome.error
    if error is None:
        exchange.respond(200, [_JSON, (b"x-amz-executed-version", b"$LATEST")], outcome.payload or b"null")
    elif error.type in ("Stack.Stopping", "Runtime.LaunchError"):
        _refuse(exchange, 502 if error.type == "Runtime.LaunchError" else 503, "ServiceException", error.message)
    else:
        told = json.dumps({**error.detail, "errorType": error.type, "errorMessage": error.message}).encode()
        exchange.respond(200, [_JSON, (b"x-amz-function-error", b"Unhandled")], told)


def _refuse(exchange: Exchange, status: int, kind: str, message: str) -> None:
    headers = [_JSON, (b"x-amzn-errortype", kind.encode())]
    exchange.respond(status, headers, json.dumps({"Type": "User", "Message": message}).encode())


def _too_large(status: int, reason: str) -> tuple[list[Header], bytes]:
    return plain_refusal(status, reason)
