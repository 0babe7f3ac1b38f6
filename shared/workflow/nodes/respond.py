"""Answer the caller that waits."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from shared.workflow.node import NodeConfig, Output, StepContext, StepError, node
from shared.workflow.nodes.operands import Template, declared, old, render

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
#: What belongs to the connection, to the gateway or to our own origin.
_NOT_OURS = frozenset(
    {"connection", "content-length", "keep-alive", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade"}
)


class RespondConfig(NodeConfig):
    """The answer."""

    status: int = Field(
        default=200, ge=200, le=599, validation_alias=old("status", "status_code"), description="of HTTP"
    )
    headers: Template = Field(default={}, description="an object of names and templates")
    body: Template = Field(default=None, description="JSON, a template")

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: Any) -> Any:
        if not isinstance(headers, dict):
            raise ValueError("must be an object of names and values")
        for name in headers:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            if name.lower() in _NOT_OURS:
                raise ValueError(f"{name!r} is not the workflow's to set")
        return headers


@node("respond", config=RespondConfig, expressions=declared)
def respond(config: RespondConfig, context: StepContext) -> Output:
    """Shape the answer to the webhook's caller that waits for this run; the run goes on."""
    headers = {}
    for name, value in render(context, config.headers, "headers").items():
        text = value if isinstance(value, str) else str(value)
        if not _VALUE.fullmatch(text):
            raise StepError(f"headers.{name}: a header's value is one line of Latin-1", kind="input")
        headers[name] = text
    answer = {"status": config.status, "headers": headers, "body": render(context, config.body, "body")}
    return Output(answer, respond=answer)
