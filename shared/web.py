"""What every HTTP face shares: one way to read a request, to know the caller, to refuse, and to be called by AWS.

An ``api.py`` declares routes whose first argument is ``allow(Scope.…)``, makes its app of them with :func:`create_app`,
and ends with ``handler = asgi_handler(app)``. Every refusal is a problem document (RFC 9457) that names the field and
the remedy.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute, APIRouter
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from shared import strict_json
from shared.errors import BY_SQLSTATE, BadRequest, Conflict, Invalid, MillraceError, NotFound, TooLarge, Unauthenticated
from shared.scopes import Scope
from shared.settings import LimitSettings
from shared.telemetry import logger, observed
from shared.tenant import REMEDY, Tenant, gate

PROBLEM = "application/problem+json"
Handler = Callable[[Any, Any], dict[str, Any]]


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = PROBLEM

    def render(self, content: Any) -> bytes:
        """ASCII only: what is quoted from a hostile request may not be encodable otherwise."""
        return json.dumps(content, separators=(",", ":")).encode()


def problem(error: MillraceError, instance: str | None = None) -> ProblemResponse:
    """The document that tells ``error`` to the caller: type, title, status, detail, and what there is of the rest."""
    body: dict[str, Any] = {
        "type": f"urn:millrace:problem:{error.slug}",
        "title": (type(error).__doc__ or "").strip().split("\n")[0].rstrip("."),
        "status": error.status,
        "detail": error.detail,
    }
    if error.remedy:
        body["remedy"] = error.remedy
    if error.errors:
        body["errors"] = error.errors
    if instance:
        body["instance"] = instance
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == Unauthenticated.status:
        headers["www-authenticate"] = "Bearer"
    return ProblemResponse(body, status_code=error.status, headers=headers)


# Reading --------------------------------------------------------------------------------------------------------------


class StrictRoute(APIRoute):
    """A route whose body is bounded and is JSON that Postgres can hold, before anything else looks at it."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            body = await _read(request, LimitSettings.load().body_limit_bytes)
            if body:
                kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind != "application/json" and not kind.endswith("+json"):
                    raise BadRequest(
                        f"The body's content type is {kind[:100] or 'not given'}.", remedy="Send application/json."
                    )
                # Where Starlette keeps what it has read: FastAPI then does not read it again, and less strictly.
                request._json = strict_json.loads(body)
            response: Response = await handle(request)
            return response

        return strict


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(
                f"The body is larger than {limit} bytes.",
                remedy="Store large values as an object first (POST /api/v1/storage/upload) and send its address.",
            )
    request._body = bytes(body)
    return request._body


# The caller -----------------------------------------------------------------------------------------------------------

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A Supabase access token, or a platform token (mr_…) made at POST /api/v1/users/me/tokens.",
)


def allow(scope: Scope) -> Any:
    """The route's caller, who must hold ``scope``; 401 without good credentials, 403 without the scope."""

    def tenant(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Tenant:
        if credentials is None:
            raise Unauthenticated("The request carries no credentials.", remedy=REMEDY)
        caller = gate().admit(credentials.credentials)
        caller.require(scope)
        return caller

    tenant.scope = scope  # type: ignore[attr-defined]  # read by the API's description
    return Depends(tenant)


# Refusing -------------------------------------------------------------------------------------------------------------


async def _refused(request: Request, error: MillraceError) -> Response:
    if error.status >= MillraceError.status:
        logger.warning("%s %s: %s", request.method, request.url.path, error.detail)
    return problem(error, request.url.path)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """Every mistake by its path, which begins with query, path or header outside the body. Never the input."""
    errors = []
    for mistake in error.errors():
        place = [str(part) for part in mistake["loc"]]
        if place and place[0] == "body":
            place = place[1:]
        message = str(mistake["msg"]).removeprefix("Value error, ")
        errors.append({"path": ".".join(place)[:300], "message": message})
    return problem(Invalid("The request is not valid.", errors=errors), request.url.path)


async def _unrouted(request: Request, error: HTTPException) -> Response:
    """What Starlette itself refuses: an address or a method that no route has."""
    if error.status_code == NotFound.status:
        return problem(NotFound("There is nothing at this address."), request.url.path)
    response = ProblemResponse(
        {
            "type": "about:blank",
            "title": error.detail,
            "status": error.status_code,
            "detail": f"{request.method} {request.url.path[:300]}: {error.detail}.",
        },
        status_code=error.status_code,
    )
    response.headers.update(error.headers or {})
    return response


class Edge:
    """Outermost: refuses addresses with U+0000, turns whatever is not expected into a logged 500, and sets headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                names = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in _HEADERS if name not in names),
                ]
            await send(message)

        try:
            if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
                raise BadRequest(r"The address contains the character \u0000.")
            await self.app(scope, receive, answer)
        except MillraceError as error:
            await problem(error)(scope, receive, answer)
        except Exception as error:
            if started:
                raise
            refusal = _from_database(error)
            if refusal is None:
                logger.exception("%s %s failed", scope["method"], scope["path"])
                refusal = MillraceError("Something went wrong here; it has been logged.")
            await problem(refusal, scope["path"])(scope, receive, answer)


_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


def _from_database(error: Exception) -> MillraceError | None:
    """What Postgres refused although nobody foresaw it: a value it cannot hold, or a rule of its tables."""
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith("22"):
        return Invalid("A value is not one that the database can hold.")
    if state.startswith("23"):
        return Conflict("That contradicts what is already stored.")
    return None


# The app --------------------------------------------------------------------------------------------------------------


class Api(FastAPI):
    """A FastAPI app that knows its routes, and whose description tells each one's scope and its problems truly."""

    declared: list[tuple[str, str, APIRoute]]  #: every described route as (path, method, route)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            from shared.models import api, attributes  # only who asks for the description pays for it

            description = super().openapi()
            schemas = description.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = _PROBLEM_SCHEMA
            attributes.describe(schemas, api.Input, api.Output)
            for path, method, route in self.declared:
                if scope := scope_of(route):
                    operation = description["paths"][path][method.lower()]
                    said = operation.get("description", "")
                    operation["description"] = f"{said}\n\nNeeds the scope `{scope}`.".strip()
        return super().openapi()


def create_app(title: str, prefix: str, *routers: APIRouter, description: str = "") -> Api:
    """An app with ``routers`` under ``prefix``, described there at ``openapi.json`` and, for people, at ``docs``."""
    app = Api(
        title=title,
        version="1",
        description=description,
        openapi_url=f"{prefix}/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=problems(401, 403, 422, 503),
        generate_unique_id_function=lambda route: route.name,
        exception_handlers={
            MillraceError: _refused,
            RequestValidationError: _invalid,
            HTTPException: _unrouted,
        },
    )
    app.add_middleware(Edge)

    @app.get(f"{prefix}/docs", include_in_schema=False)
    def docs() -> Response:
        from shared.reference_page import render  # only people ask for it

        return HTMLResponse(render(app.openapi()), headers={"content-security-policy": _PAGE_POLICY})

    app.declared = []
    for router in routers:
        app.include_router(router, prefix=prefix)
        app.declared += [
            (prefix + route.path_format, method, route)
            for route in router.routes
            if isinstance(route, APIRoute)
            for method in sorted(route.methods or ())
        ]
    return app


_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def scope_of(route: APIRoute) -> Scope | None:
    """The scope that a route asks for."""
    for dependency in route.dependant.dependencies:
        if (scope := getattr(dependency.call, "scope", None)) is not None:
            return Scope(scope)
    return None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route or app that may answer with these problems."""
    said = {error.status: (error.__doc__ or "").strip() for error in BY_SQLSTATE.values()}
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": said[status], "content": content} for status in statuses}


_PROBLEM_SCHEMA: Mapping[str, Any] = {
    "title": "Problem",
    "description": "A problem document (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:millrace:problem:invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong this time."},
        "remedy": {"type": "string", "description": "What to do about it."},
        "errors": {
            "type": "array",
            "description": "Every mistake, with the dotted path of the field.",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "instance": {"type": "string"},
    },
}


# AWS ------------------------------------------------------------------------------------------------------------------


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The process's event loop: a function serves one request at a time."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def asgi_handler(app: FastAPI) -> Handler:
    """The Lambda entry point of ``app`` for API Gateway's HTTP API (payload format 2.0)."""
    logging.getLogger("mangum.http").setLevel(logging.WARNING)  # the gateway has a line for each request already

    @functools.cache
    def adapter() -> Mangum:  # at the first call: it wants an event loop, and whoever imports a face may have another
        return Mangum(app, lifespan="off", text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, PROBLEM])

    @observed
    def handler(event: Any, context: Any) -> dict[str, Any]:
        asyncio.set_event_loop(_loop())  # Mangum takes the current one, which others may have closed
        try:
            return adapter()(event, context)
        except Exception:
            # The app answers for its own failures, so this one is in the event: a foreign shape, or broken base64.
            logger.warning("an event is no HTTP request of API Gateway, payload format 2.0", exc_info=True)
            refusal = problem(BadRequest("The event is not a request that this function understands."))
            return {
                "statusCode": refusal.status_code,
                "headers": {"content-type": PROBLEM},
                "body": bytes(refusal.body).decode(),
                "isBase64Encoded": False,
            }

    return handler
