"""From what a process said, and how it ended, to the outcome that the caller is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from functions.code_sandbox.child import Ended
from functions.code_sandbox.runtimes import RUNTIMES
from shared import strict_json
from shared.errors import MillraceError
from shared.models.code import (
    CodeError,
    CodeFile,
    CodeOutcome,
    CodeRequest,
    CodeUsage,
    Limit,
    RunStatus,
)

#: Errors of the languages that mean a bound: type, a part of the message, the bound.
_BOUNDS = (
    ("MemoryError", "", Limit.MEMORY),
    ("InternalError", "out of memory", Limit.MEMORY),
    ("RecursionError", "", Limit.RECURSION),
    ("RangeError", "call stack size", Limit.RECURSION),
    ("InternalError", "stack overflow", Limit.RECURSION),
    ("NotJson", "", Limit.RESULT),
)
_NEARLY = 0.9  #: of the memory: an interpreter that dies with so much was refused the rest


class Done(BaseModel):
    """A process's own words about the end of its run."""

    ended: Literal["exit", "limit", "trap"]
    code: int = 0  #: the program's, where it came to its exit
    limit: Limit = Limit.WALL
    message: str = ""
    overflow: bool = False  #: calls inside each other filled a stack
    cpu_seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    memory_bytes: int = Field(default=0, ge=0)
    said: int = Field(default=0, ge=0)  #: bytes printed, also those that were not handed on


@dataclass
class Heard:
    """All that a process said."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    report: bytes = b""
    artifacts: list[tuple[str, bytes]] = field(default_factory=list)
    done: Done | None = None
    ended: Ended | None = None  #: what the system says about it
    late: bool = False  #: it was killed, for its time was over
    flooded: bool = False  #: it was killed, for it said more than any run may
    confused: bool = False  #: it was killed, for what it said is not what our processes say
    wall_seconds: float = 0.0


def outcome(request: CodeRequest, heard: Heard) -> CodeOutcome:
    """What to tell the caller."""
    limit, error, result = _judge(request, heard)
    ended = RunStatus.COMPLETED if error is None else RunStatus.FAILED
    status = ended if limit is None else RunStatus.LIMIT
    done = heard.done or Done(
        ended="trap", cpu_seconds=heard.ended.cpu_seconds if heard.ended is not None else heard.wall_seconds
    )
    printed = len(heard.stdout) + len(heard.stderr)
    return CodeOutcome(
        status=status,
        result=result,
        error=error,
        limit=limit,
        stdout=_text(heard.stdout),
        stderr=_text(heard.stderr),
        artifacts=_files(heard),
        usage=CodeUsage(
            wall_ms=round(heard.wall_seconds * 1000, 3),
            cpu_ms=round(done.cpu_seconds * 1000, 3),
            memory_bytes=done.memory_bytes,
            output_bytes=max(printed, done.said),
        ),
        runtime=RUNTIMES[request.language].name,
    )


def refused(request: CodeRequest, limit: Limit, message: str) -> CodeOutcome:
    """The outcome of what is not even tried."""
    error = CodeError(type="Limit", message=message)
    return CodeOutcome(status=RunStatus.LIMIT, limit=limit, error=error, runtime=RUNTIMES[request.language].name)


def _judge(request: CodeRequest, heard: Heard) -> tuple[Limit | None, CodeError | None, Any]:
    """The bound that was hit, what went wrong, the result."""
    limits = request.limits
    if heard.late:
        return Limit.WALL, CodeError(type="Limit", message=f"it ran for more than {limits.wall_seconds:g} s"), None
    if heard.flooded:
        return Limit.OUTPUT, CodeError(type="Limit", message="it said more than a run may say"), None
    done = heard.done
    if done is None or heard.confused:
        if (
            not heard.confused and heard.ended is not None and heard.ended.signal == 9
        ):  # not we: the system ran out of memory
            return Limit.MEMORY, CodeError(type="Limit", message="the system ended it for want of memory"), None
        which = "" if heard.ended is None else f" (signal {heard.ended.signal})"
        return None, CodeError(type="Crashed", message=f"the process of the run ended without an answer{which}"), None
    if done.ended == "limit":
        return done.limit, CodeError(type="Limit", message=done.message), None
    full = done.memory_bytes >= _NEARLY * limits.memory_mb * 1024 * 1024
    if done.ended == "trap":
        if done.overflow:
            return Limit.RECURSION, CodeError(type="Limit", message="calls inside each other fill the stack"), None
        return Limit.MEMORY if full else None, CodeError(type="Crashed", message=done.message), None
    return _read(heard.report, done.code, full, limits.result_bytes)


def _read(report: bytes, code: int, full: bool, most: int) -> tuple[Limit | None, CodeError | None, Any]:
    """What the program said about its result. It may have been made up: whatever it is, it must make sense."""
    kind, content = report[:1], report[1:]
    if kind == b"R":
        if len(content) > most:
            return Limit.RESULT, CodeError(type="Limit", message=f"the result is larger than {most} bytes"), None
        try:
            return None, None, strict_json.loads(content)
        except MillraceError as fault:
            details = "; ".join(f"{part['path'] or 'the whole'}: {part['message']}" for part in fault.errors[:3])
            message = f"the result is no JSON that can be kept: {details or fault.detail.replace('The body', 'it')}"
            return Limit.RESULT, CodeError(type="NotJson", message=message), None
    if kind == b"E":
        try:
            error = CodeError.model_validate(json.loads(content))
        except (ValidationError, ValueError, RecursionError):
            return None, CodeError(type="Error", message="what the program says about its error makes no sense"), None
        error = error.model_copy(update={"type": _plain(error.type)[:200], "message": _plain(error.message)[:4000]})
        for name, part, limit in _BOUNDS:
            if error.type == name and part in error.message:
                return limit, error, None
        return None, error, None
    if full:
        return Limit.MEMORY, CodeError(type="Limit", message="no memory was left to go on"), None
    return None, CodeError(type="Exit", message=f"the program ended itself with code {code}, and has no result"), None


def _files(heard: Heard) -> tuple[CodeFile, ...]:
    """The artifacts whose names can be names elsewhere too."""
    kept = []
    for path, content in heard.artifacts:
        try:
            kept.append(CodeFile(path=_plain(path), content=content))
        except ValidationError:  # a name of nothing but what a path may not have
            heard.stderr += f"[{path!r} is no name for an artifact: left out]\n".encode()
    return tuple(kept)


def _text(printed: bytes | bytearray) -> str:
    return printed.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
