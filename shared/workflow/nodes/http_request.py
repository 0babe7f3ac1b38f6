"""Ask a web service.

The address comes from users and from data, so the request goes through ``shared.outbound``: no private address, none
after a redirect either, a bounded answer, a bounded time. A repeated attempt carries the same ``Idempotency-Key``, so
that a service which knows that header does the thing once; where none does, ``at_most_once`` makes the engine ask a
person instead of repeating.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from pydantic import Field, field_validator, model_validator

from shared import strict_json
from shared.errors import MillraceError
from shared.settings import NodeSettings
from shared.workflow.node import Effect, Json, NodeConfig, Output, StepContext, StepError, node
from shared.workflow.nodes.operands import Template, Text, declared, kind, old, render

if TYPE_CHECKING:
    import httpx

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})

#: The service refused before it did anything, and may not next time.
_REFUSED_FOR_NOW = frozenset({429, 503})
#: What became of the request is not known; asking again is right where repeating is.
_UNCERTAIN = frozenset({408, 425, 502, 504})


class Method(StrEnum):
    """What is asked."""

    GET = "GET"
    HEAD = "HEAD"
    OPTIONS = "OPTIONS"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class BodyType(StrEnum):
    """How the body is written."""

    JSON = "json"
    FORM = "form"
    TEXT = "text"


_MEDIA_TYPES = {
    BodyType.JSON: "application/json",
    BodyType.FORM: "application/x-www-form-urlencoded",
    BodyType.TEXT: "text/plain; charset=utf-8",
}


class HttpRequestConfig(NodeConfig):
    """One request."""

    url: Text = Field(min_length=1, max_length=8192, description="`http` or `https`, a template")
    method: Method = Field(default=Method.GET, description="GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE")
    query: Template = Field(default=None, description="an object of names and templates, added to the address")
    headers: Template = Field(default=None, description="an object of names and templates")
    body: Template = Field(default=None, description="a template; text is sent as it is, anything else as JSON")
    body_type: BodyType | None = Field(
        default=None, description="`json`, `form` or `text`, where the body does not say it"
    )
    timeout_seconds: float = Field(
        default=30, gt=0, le=600, validation_alias=old("timeout_seconds", "timeout"), description="for the whole answer"
    )
    follow_redirects: bool = Field(default=True, description="to addresses that are allowed, a few times")
    fail_on_error: bool = Field(default=True, description="a status of 400 or more fails the step")
    at_most_once: bool = Field(
        default=False, description="never repeat a request that may have been sent; in doubt, ask"
    )

    @field_validator("method", mode="before")
    @classmethod
    def _upper_case(cls, method: Any) -> Any:
        return method.upper() if isinstance(method, str) else method

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if "{{" not in url:
            _address(url, ValueError)
        return url

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: Any) -> Any:
        _check_headers(dict.fromkeys(_object(headers, "headers", ValueError), ""), ValueError)
        return headers

    @field_validator("query")
    @classmethod
    def _named(cls, query: Any) -> Any:
        if not isinstance(query, str):  # a template may give the whole object
            _object(query, "query", ValueError)
        return query

    @model_validator(mode="after")
    def _bodies(self) -> HttpRequestConfig:
        if self.body is not None and self.method in (Method.GET, Method.HEAD):
            raise ValueError(f"{self.method} has no body; put the values in `query`")
        return self


def _unusable(message: str) -> StepError:
    return StepError(message, kind="input")


def _address(url: str, error: Any) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as problem:
        raise error(f"url: {problem}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise error("url: must be an http or https address with a host")
    if re.search(r"[\x00-\x20\x7f]", url):
        raise error("url: spaces and control characters must be percent-encoded; put values in `query`")


def _object(value: Any, field: str, error: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise error(f"{field}: must be an object of names and values, not {kind(value)}")
    return value


def _check_headers(headers: dict[str, str], error: Any) -> None:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise error(f"headers: {name!r} is not the name of a header")
        if name.lower() in _FRAMING:
            raise error(f"headers: {name!r} is not the workflow's to set")
        if not _VALUE.fullmatch(value):
            raise error(f"headers.{name}: a header's value is one line of Latin-1")


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _pairs(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of a query or form: a list is its name several times, null is left out."""
    return [
        (name, _plain(one))
        for name, value in values.items()
        for one in (value if isinstance(value, list) else [value])
        if one is not None
    ]


def _body(config: HttpRequestConfig, context: StepContext) -> tuple[bytes | None, str | None]:
    """What is sent, and its media type."""
    value = render(context, config.body, "body")
    if value is None and config.body_type is not BodyType.JSON:
        return None, None
    kind_ = config.body_type or (BodyType.TEXT if isinstance(value, str) else BodyType.JSON)
    if kind_ is BodyType.JSON:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    elif kind_ is BodyType.FORM:
        text = urlencode(_pairs(_object(value, "body", _unusable)))
    else:
        text = _plain(value)
    return text.encode(), _MEDIA_TYPES[kind_]


def _headers(config: HttpRequestConfig, context: StepContext, media_type: str | None) -> dict[str, str]:
    given = _object(render(context, config.headers, "headers"), "headers", _unusable)
    headers = {name: _plain(value) for name, value in given.items() if value is not None}
    _check_headers(headers, _unusable)
    names = {name.lower() for name in headers}
    if media_type is not None and "content-type" not in names:
        headers["Content-Type"] = media_type
    if "idempotency-key" not in names:
        headers["Idempotency-Key"] = context.key
    return headers


def _url(config: HttpRequestConfig, context: StepContext) -> str:
    url = _plain(render(context, config.url, "url"))
    _address(url, _unusable)
    pairs = _pairs(_object(render(context, config.query, "query"), "query", _unusable))
    if not pairs:
        return url
    base, hash_, fragment = url.partition("#")
    joint = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return f"{base}{joint}{urlencode(pairs)}{hash_}{fragment}"


def _read(response: httpx.Response) -> dict[str, Json]:
    """The answer as JSON: its body parsed when it says it is JSON, text as text, anything else in base64."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    answer: dict[str, Json] = {"status": response.status_code, "headers": dict(response.headers), "body": None}
    data = response.content
    if not data:
        return answer
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            answer["body"] = strict_json.loads(data)
        except MillraceError as error:
            if response.status_code < 400:
                raise StepError(
                    f"The answer is not the JSON it says it is: {error.detail}", kind="bad_response"
                ) from None
            answer["body"] = data.decode(errors="replace").replace("\0", "\ufffd")
        return answer
    textual = media_type.startswith("text/") or media_type in ("", "application/xml", *_MEDIA_TYPES.values())
    if (textual or media_type.endswith("+xml")) and b"\0" not in data:
        answer["body"] = response.text
    else:
        answer["body"] = base64.b64encode(data).decode()
        answer["encoding"] = "base64"
    return answer


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), or None for nonsense."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _check_status(config: HttpRequestConfig, answer: dict[str, Json], *, redirected: bool, now: datetime) -> None:
    status = answer["status"]
    if status < 400 or not config.fail_on_error:
        return
    refused = status in _REFUSED_FOR_NOW and not redirected  # the first service had done its part before it redirected
    raise StepError(
        f"The service answered {status}.",
        kind="http_4xx" if status < 500 else "http_5xx",
        retryable=refused or (status in (_REFUSED_FOR_NOW | _UNCERTAIN) and not config.at_most_once),
        output=answer,
        retry_after=retry_after(answer["headers"].get("retry-after"), now),
    )


def _effect(config: HttpRequestConfig) -> Effect:
    return Effect.AT_MOST_ONCE if config.at_most_once else Effect.IDEMPOTENT


@node("http_request", config=HttpRequestConfig, effect=_effect, expressions=declared)
def http_request(config: HttpRequestConfig, context: StepContext) -> Output:
    """Send a request and give the answer's status, headers and body."""
    import httpx

    from shared import outbound

    url = _url(config, context)
    content, media_type = _body(config, context)
    headers = _headers(config, context, media_type)
    seconds = min(config.timeout_seconds, (context.deadline - context.now).total_seconds())
    if seconds <= 0:
        raise StepError("No time was left for the request.", kind="timeout", retryable=True)
    with outbound.client(timeout=seconds, max_bytes=NodeSettings.load().http_response_bytes) as client:
        try:
            request = client.build_request(config.method.value, url, headers=headers, content=content)
        except httpx.InvalidURL as error:
            raise _unusable(f"url: {error}") from None
        try:
            response = client.send(request, follow_redirects=config.follow_redirects)
        except outbound.BlockedAddress as error:
            raise StepError(error.detail, kind="blocked") from None
        except outbound.ResponseTooLarge as error:
            raise StepError(error.detail, kind="too_large") from None
        except httpx.TooManyRedirects as error:
            raise StepError(f"The service redirects too often: {error}.", kind="redirects") from None
        except httpx.DecodingError:
            raise StepError("The answer is not compressed as it says it is.", kind="bad_response") from None
        except httpx.TransportError as error:
            # At the first address, without a connection, surely nothing was sent; behind a redirect something was.
            unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and error.request is request
            raise StepError(
                _broken(error, seconds),
                kind="timeout" if isinstance(error, httpx.TimeoutException) else "network",
                retryable=unsent or not config.at_most_once,
            ) from None
    answer = _read(response)
    _check_status(config, answer, redirected=bool(response.history), now=context.now)
    return Output(answer)


def _broken(error: httpx.TransportError, seconds: float) -> str:
    import httpx

    if isinstance(error, httpx.ConnectTimeout):
        return f"The service did not take a connection in time: {error}."
    if isinstance(error, httpx.TimeoutException):
        return f"The whole answer did not come within {seconds:g} s."
    if isinstance(error, httpx.ConnectError):
        return f"The service cannot be reached: {error}."
    return f"The connection broke: {error or type(error).__name__}."
