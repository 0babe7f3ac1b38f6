"""The sandbox as a function of its own, called by ``code_exec`` and by nobody else.

The event is a ``CodeRequest`` as JSON, the answer a ``CodeOutcome``. Nothing is written to the disk: the files of a run
are in the memory of its process, and gone with it.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from functions.code_sandbox import sandbox
from shared.errors import BadRequest, TooLarge
from shared.models.code import CodeError, CodeOutcome, CodeRequest, Limit, RunStatus
from shared.settings import SandboxSettings, TelemetrySettings
from shared.telemetry import observed

#: Lambda's quota for one request and one answer, less what goes around them. Source: AWS Lambda Developer Guide.
MAX_BYTES = 6 * 1024 * 1024 - 4096


class Settings(SandboxSettings, TelemetrySettings):
    """What the sandbox is told."""


@observed
def handler(event: Any, context: Any) -> dict[str, Any]:
    """The AWS entry point."""
    Settings.load()
    if len(json.dumps(event)) > MAX_BYTES:
        raise TooLarge("A request to the sandbox is at most 6 MB, files as base64 included.")
    try:
        request = CodeRequest.model_validate(event)
    except ValidationError as error:
        faults = [{"path": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
        raise BadRequest("This function runs code; the event is no request to.", errors=faults) from None
    return answer(sandbox.run(request))


def answer(outcome: CodeOutcome) -> dict[str, Any]:
    """The outcome as JSON; what would be too large for an answer is left out and becomes the limit that was hit."""
    shown: dict[str, Any] = outcome.model_dump(mode="json")
    if len(json.dumps(shown)) <= MAX_BYTES:
        return shown
    sizes = {
        Limit.FILES: len(json.dumps(shown["artifacts"])),
        Limit.RESULT: len(json.dumps(shown["result"])),
        Limit.OUTPUT: len(json.dumps([shown["stdout"], shown["stderr"]])),
    }
    limit = max(sizes, key=sizes.__getitem__)
    error = CodeError(
        type="Limit", message=f"all that a run gives back must fit 6 MB; its {limit} took {sizes[limit]} bytes"
    )
    left: dict[str, Any] = {"status": RunStatus.LIMIT, "limit": limit, "error": error, "result": None, "artifacts": ()}
    if limit == Limit.OUTPUT:
        left |= {"stdout": "", "stderr": ""}
    less: dict[str, Any] = outcome.model_copy(update=left).model_dump(mode="json")
    return less if len(json.dumps(less)) <= MAX_BYTES else less | {"stdout": "", "stderr": ""}
