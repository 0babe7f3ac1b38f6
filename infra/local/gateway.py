"""API Gateway (HTTP API, payload format 2.0) on this machine: requests to events, answers of functions to responses.

What AWS does is done here too, oddities included, so that nothing works only on a laptop:

* header names are lower-cased, repeated values joined by a comma; cookies leave the headers for a list of their own;
* the path arrives percent-decoded, in ``rawPath`` as in ``pathParameters``, and what follows a decoded ``?`` is lost;
* a body is text for ``text/*``, ``application/json``, ``application/xml`` and ``application/javascript``, and base64
  for everything else, forms and bodies without a type among them;
* 10 MB per request, 6 MB per event (413), 10240 bytes of headers (431), 30 s per answer (503);
* a function that fails is 500, a route that is not there 404, a function with too many waiting requests 429.

Refusals are problem documents (RFC 9457) that also carry ``message``, the only member AWS sends.
Source: API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs", "Quotas for HTTP APIs".
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import socket
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from infra.local.http import Exchange, Header, HttpServer
from infra.local.logs import Logs
from infra.local.objects import MAX_OBJECT_BYTES, OBJECTS_PREFIX, Objects
from infra.local.routes import Route, Routes
from infra.local.runtime import EventTooLargeError, Function, FunctionError, Invocation, Outcome, OverloadedError
from shared.errors import BY_SQLSTATE, MillraceError

MAX_BODY_BYTES = 10 * 1024 * 1024
INTEGRATION_SECONDS = 30.0
RETRY_AFTER_SECONDS = 1

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
_TEXT_TYPES = ("application/json", "application/xml", "application/javascript")
_JSON: Header = (b"content-type", b"application/json")
_PROBLEM: Header = (b"content-type", b"application/problem+json")
_NO_CONTENT_LENGTH = frozenset({b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"date"})

#: What AWS says for each status it answers by itself.
_MESSAGES = {413: "Request Entity Too Large"}


class HeadersTooLarge(MillraceError):
    """The request line and headers are larger than is accepted."""

    status = 431
    slug = "too-large"


_ERRORS: dict[int, type[MillraceError]] = {error.status: error for error in BY_SQLSTATE.values()} | {
    HeadersTooLarge.status: HeadersTooLarge
}


def problem(status: int, detail: str, *, retry_after: int | None = None) -> tuple[list[Header], bytes]:
    """Headers and body of a refusal by the gateway itself: the document that ``shared.web`` would write."""
    error = _ERRORS.get(status, MillraceError)
    body: dict[str, Any] = {
        "type": f"urn:millrace:problem:{error.slug}",
        "title": (error.__doc__ or "").strip().rstrip("."),
        "status": status,
        "detail": detail,
        "message": _MESSAGES.get(status, HTTPStatus(status).phrase),
    }
    headers = [_PROBLEM]
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    return headers, _encode(body).encode("utf-8", "replace")


class Caller:
    """What an event says about the API it came through: the same for each request of one stack."""

    def __init__(self, domain: str = "localhost", api_id: str = "local", account: str = "000000000000") -> None:
        self.domain = domain
        self.api_id = api_id
        self.account = account
        self._clock = (0, "")

    def time(self, seconds: float) -> str:
        """``22/Nov/2026:12:33:42 +0000``, made once a second; month names do not follow the locale."""
        second = int(seconds)
        if self._clock[0] != second:
            t = time.gmtime(second)
            month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[t.tm_mon - 1]
            text = f"{t.tm_mday:02}/{month}/{t.tm_year}:{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} +0000"
            self._clock = (second, text)
        return self._clock[1]


def is_text(content_type: str) -> bool:
    """Whether API Gateway hands a body of this type over as text."""
    media = content_type.partition(";")[0].strip().lower()
    return media.startswith("text/") or media in _TEXT_TYPES


def split_target(target: bytes) -> tuple[str, str]:
    """A request target as (decoded path, raw query); also in absolute form (RFC 9112, 3.2.2)."""
    if not target.startswith(b"/"):
        _, scheme, rest = target.partition(b"://")
        if scheme:
            authority, slash, path = rest.partition(b"/")
            target = slash + path or b"/"
            if not slash and b"?" in authority:
                target = b"/?" + authority.partition(b"?")[2]
    raw_path, _, query = target.partition(b"?")
    if b"%" in raw_path:
        path_text = unquote_to_bytes(raw_path).decode("utf-8", "replace").partition("?")[0]
    else:
        path_text = raw_path.decode("utf-8", "replace")
    return path_text, query.decode("latin-1")


def http_event(
    exchange: Exchange, path: str, query: str, route: Route, parameters: dict[str, str], caller: Caller, request_id: str
) -> dict[str, Any]:
    """The event that API Gateway would send for this request."""
    request = exchange.request
    now = time.time()
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name_bytes, value_bytes in request.headers:
        name, value = name_bytes.decode("latin-1"), _text(value_bytes)
        if name == "cookie":
            cookies += [cookie for part in value.split(";") if (cookie := part.strip())]
        elif name in headers:
            headers[name] += "," + value
        else:
            headers[name] = value
    host = headers.get("host", caller.domain)
    forwarded = headers.get("x-forwarded-for")
    headers["x-forwarded-for"] = f"{forwarded}, {exchange.peer}" if forwarded else exchange.peer
    headers.setdefault("x-forwarded-proto", "http")
    headers.setdefault("x-forwarded-port", host.rpartition(":")[2] if ":" in host else "80")
    headers.setdefault("x-amzn-trace-id", f"Root=1-{int(now):08x}-{os.urandom(12).hex()}")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route.key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": caller.account,
            "apiId": caller.api_id,
            "domainName": host.partition(":")[0],
            "domainPrefix": host.partition(":")[0].partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": f"HTTP/{request.version}",
                "sourceIp": exchange.peer,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": route.key,
            "stage": "$default",
            "time": caller.time(now),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if query:
        event["queryStringParameters"] = _query_parameters(query)
    if parameters:
        event["pathParameters"] = parameters
    if request.body:
        if is_text(headers.get("content-type", "")):
            event["body"] = request.body.decode("utf-8", "replace")
        else:
            event["body"] = base64.b64encode(request.body).decode("ascii")
            event["isBase64Encoded"] = True
    return event


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _query_parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=1000):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters


class BadAnswerError(Exception):
    """The function answered something that API Gateway makes no response of."""


def http_response(payload: bytes) -> tuple[int, list[Header], bytes]:
    """Status, headers and body that API Gateway makes of a function's answer (payload format 2.0).

    An answer without ``statusCode`` is the body itself, as JSON, with status 200. Raises :class:`BadAnswerError`.
    """
    try:
        answer = json.loads(payload) if payload else None
    except ValueError as error:
        raise BadAnswerError("the function's answer is not JSON") from error
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return 200, [_JSON], answer.encode() if isinstance(answer, str) else payload
    try:
        status = int(answer["statusCode"])
    except (TypeError, ValueError):
        raise BadAnswerError("statusCode is not a number") from None
    if not 200 <= status <= 599:
        raise BadAnswerError(f"statusCode {status} is not one of HTTP's final ones")
    headers = list(_header_list(answer.get("headers") or {}))
    if not any(name == b"content-type" for name, _ in headers):
        headers.append(_JSON)
    cookies = answer.get("cookies") or []
    if not isinstance(cookies, list):
        raise BadAnswerError("cookies is not a list")
    headers += [(b"set-cookie", _header_value(cookie)) for cookie in cookies]
    return status, headers, _body(answer.get("body"), bool(answer.get("isBase64Encoded")))


def _header_list(headers: Any) -> Iterable[Header]:
    if not isinstance(headers, dict):
        raise BadAnswerError("headers is not an object")
    for name, value in headers.items():
        key = name.lower().encode("latin-1", "replace")
        if not key or any(character in key for character in b"\r\n: \0"):
            raise BadAnswerError(f"{name!r} is not a header name")
        if key not in _NO_CONTENT_LENGTH:
            yield key, _header_value(value)


def _header_value(value: Any) -> bytes:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str | int | float):
        text = str(value)
    else:
        raise BadAnswerError("a header's value is neither text nor a number")
    if any(character in text for character in "\r\n\0"):
        raise BadAnswerError("a header's value spans lines")
    return text.encode("utf-8")


def _body(body: Any, encoded: bool) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str):
        return _encode(body).encode()
    if not encoded:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise BadAnswerError("isBase64Encoded is true, but the body is not base64") from error


class Gateway:
    """The HTTP front: routes a request to its function and the outcome back."""

    def __init__(
        self,
        routes: Routes,
        functions: dict[str, Function],
        logs: Logs,
        *,
        objects: Objects | None = None,
        integration_seconds: float = INTEGRATION_SECONDS,
    ) -> None:
        """``objects`` serves the signed URLs of stored objects, beside the API."""
        self.routes = routes
        self.functions = functions
        self.logs = logs
        self.objects = objects
        self.integration_seconds = integration_seconds
        self.caller = Caller()
        self.server = HttpServer(self.handle, max_body=self._max_body, spool=self._spool, refusal=self._unreadable)
        self._requests = 0
        self._prefix = os.urandom(6)

    async def listen(self, listener: socket.socket | None = None) -> None:
        """Begin to serve on a bound socket, else on a free port; ``server.port`` tells where."""
        await self.server.listen(listener)

    def _max_body(self, target: bytes) -> int:
        stored = self.objects is not None and target.startswith(OBJECTS_PREFIX.encode())
        return MAX_OBJECT_BYTES if stored else MAX_BODY_BYTES

    def _spool(self, target: bytes) -> Path | None:
        if self.objects is None or not target.startswith(OBJECTS_PREFIX.encode()):
            return None
        return self.objects.storage.root

    def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        path, query = split_target(request.target)
        if self.objects is not None and path.startswith(OBJECTS_PREFIX):
            self.objects.serve(exchange, query, lambda status: self._log(exchange, path, status, "objects"))
            return
        found = self.routes.match(request.method, path)
        if found is None:
            self._refuse(exchange, path, 404, f"no route {request.method} {path}", "-")
            return
        route, parameters = found
        function = self.functions[route.function]
        self._requests += 1
        request_id = base64.b64encode(self._prefix + self._requests.to_bytes(5, "big")).decode("ascii")
        event = http_event(exchange, path, query, route, parameters, self.caller, request_id)
        try:
            payload = _encode(event).encode("utf-8", "replace")
            trace = event["headers"]["x-amzn-trace-id"]
            call = _Call(self, exchange, path, function)
            call.invocation = function.invoke(payload, call.finished, trace if trace.isascii() else "")
        except EventTooLargeError:
            detail = "the request is over 6 MB as an event (base64 counts 4/3); upload files through a signed URL"
            self._refuse(exchange, path, 413, detail, function.name)
        except OverloadedError as error:
            self._refuse(exchange, path, 429, str(error), function.name, retry_after=RETRY_AFTER_SECONDS)

    def _refuse(
        self, exchange: Exchange, path: str, status: int, detail: str, function: str, retry_after: int | None = None
    ) -> None:
        headers, body = problem(status, detail, retry_after=retry_after)
        exchange.respond(status, headers, body)
        self._log(exchange, path, status, function, detail if status >= 500 else "")

    def _log(self, exchange: Exchange, path: str, status: int, function: str, note: str = "") -> None:
        seconds = time.perf_counter() - exchange.started
        self.logs.request(f"{exchange.request.method} {path}", status, seconds, function, note)

    def _unreadable(self, status: int, reason: str) -> tuple[list[Header], bytes]:
        if status == 413:
            reason += "; upload files through a signed URL"
        self.logs.request("-", status, 0, "-", reason)
        return problem(status, reason)


class _Call:
    """One request that waits for its function."""

    __slots__ = ("exchange", "function", "gateway", "invocation", "path", "timer")

    def __init__(self, gateway: Gateway, exchange: Exchange, path: str, function: Function) -> None:
        self.gateway = gateway
        self.exchange = exchange
        self.path = path
        self.function = function
        self.invocation: Invocation | None = None
        self.timer = function.loop.call_later(gateway.integration_seconds, self.timed_out)

    def timed_out(self) -> None:
        if self.invocation is not None:
            self.function.expire(self.invocation)
        detail = f"{self.function.name} has not answered within {self.gateway.integration_seconds:g} s"
        self.gateway._refuse(self.exchange, self.path, 503, detail, self.function.name)

    def finished(self, outcome: Outcome) -> None:
        self.timer.cancel()
        if self.exchange.answered:
            return
        error = outcome.error
        if error is None:
            try:
                status, headers, body = http_response(outcome.payload)
            except BadAnswerError as bad:
                error = FunctionError("BadAnswer", str(bad))
            else:
                self.exchange.respond(status, headers, body)
                self.gateway._log(self.exchange, self.path, status, self.function.name)
                return
        detail = f"{self.function.name} failed: {error.type}"
        self.gateway._refuse(self.exchange, self.path, _status_of(error), detail, self.function.name)


def _status_of(error: FunctionError) -> int:
    """A function that could not be run at all is 503, one that failed is 500, as on AWS."""
    return 503 if error.type in ("Stack.Stopping", "Runtime.LaunchError", "Sandbox.Timedout") else 500
