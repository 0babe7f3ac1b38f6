"""The HTTP face: API Gateway's event in, its answer out.

The other HTTP faces are FastAPI apps behind Mangum; this one reads the event itself. It has one route, whose path,
query and body belong to its senders, so an app would validate and document nothing, and it is the hot path: measured
with a signed GitHub push, FastAPI and Mangum added 0.10 ms to the 0.26 ms of CPU that a delivery takes, 150 ms to a
cold start of 240 ms and 8 MB to each process (Starlette and Mangum: 0.06 ms, 30 ms, 2 MB).
"""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Any

from functions.webhook_intake.answer import Answer, problem
from functions.webhook_intake.intake import Intake, Limits
from functions.webhook_intake.request import Request
from shared.errors import BadRequest, MillraceError
from shared.settings import (
    ApiSettings,
    DatabaseSettings,
    DoorbellSettings,
    ExpressionSettings,
    IntakeSettings,
    LimitSettings,
    SecretSettings,
    StorageSettings,
)
from shared.telemetry import logger, observed

PREFIXES = ("/hooks/", "/api/v1/workflows/webhooks/")
#: Kept of the invocation's time for the answer to be sent.
MARGIN_SECONDS = 2.0


class Settings(
    ApiSettings,
    DatabaseSettings,
    DoorbellSettings,
    ExpressionSettings,
    IntakeSettings,
    LimitSettings,
    SecretSettings,
    StorageSettings,
):
    """What the intake of webhooks is told."""


@observed
def handler(event: Any, context: Any) -> dict[str, Any]:
    """The AWS entry point."""
    try:
        answer = intake().receive(read(event), context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS)
    except MillraceError as error:
        answer = problem(error)
    except Exception:
        logger.exception("a delivery could not be taken in")
        answer = problem(MillraceError("Something went wrong here; it has been logged."))
    return write(answer)


@functools.cache
def intake() -> Intake:
    """The process's own, made at the first request."""
    from shared import payloads, secrets, storage
    from shared.database import database
    from shared.doorbell import doorbell

    settings = Settings.load()
    return Intake(
        database(),
        doorbell(),
        secrets.opener(settings),
        payloads.keeper(storage.storage, settings.payload_inline_bytes),
        Limits(
            body_bytes=settings.body_limit_bytes,
            cache_seconds=settings.webhook_cache_seconds,
            refusals_per_minute=settings.webhook_refusals_per_minute,
            waiters=settings.webhook_waiters,
        ),
    )


def read(event: Any) -> Request:
    """The request in an event of API Gateway's HTTP API (payload format 2.0). Raises :class:`BadRequest`."""
    try:
        http = event["requestContext"]["http"]
        path, method = event["rawPath"], http["method"]
        headers, query, body = event["headers"], event.get("rawQueryString") or "", event.get("body") or ""
        content = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
        hook = _hook(path)
        host = headers.get("host", event["requestContext"].get("domainName", ""))
        base = ApiSettings.load().public_url or f"{headers.get('x-forwarded-proto', 'https')}://{host}"
    except (KeyError, TypeError, AttributeError, binascii.Error, UnicodeEncodeError) as error:
        logger.warning("an event is no HTTP request of API Gateway, payload format 2.0", exc_info=True)
        raise BadRequest("The event is not a request that this function understands.") from error
    url = f"{base}{path}?{query}" if query else f"{base}{path}"
    return Request(method, hook, headers, query, content, url, http.get("sourceIp"))


def write(answer: Answer) -> dict[str, Any]:
    """The answer as API Gateway wants it."""
    return {
        "statusCode": answer.status,
        "headers": answer.headers,
        "body": answer.body,
        "isBase64Encoded": False,
    }


def _hook(path: str) -> str:
    """The hook's own path: what follows the route's prefix, and the stage's name if it has one."""
    for prefix in PREFIXES:
        before, found, after = path.partition(prefix)
        if found and before.count("/") <= 1:
            return "/" + after
    raise BadRequest("The address is no webhook's.", remedy="Webhooks are at /hooks/<path>.")
