"""Code that users run, and tools made of it."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator

from shared.models.base import Json, Row, UtcDatetime

MEGABYTE = 1024 * 1024


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"is not base64: {error}") from None


#: Bytes that are base64 wherever they stand in JSON.
Content = Annotated[
    bytes,
    BeforeValidator(_from_base64, json_schema_input_type=str),
    PlainSerializer(lambda value: base64.b64encode(value).decode(), return_type=str, when_used="json"),
]


class Language(StrEnum):
    """What the sandbox can run."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"


class Limit(StrEnum):
    """Which bound ended a run."""

    WALL = "wall"  #: ``wall_seconds`` passed
    MEMORY = "memory"  #: ``memory_mb`` were used
    OUTPUT = "output"  #: more than ``output_bytes`` were printed
    FILES = "files"  #: more than ``files`` files, or ``file_bytes`` in all of them
    RESULT = "result"  #: the result is no JSON, or larger than ``result_bytes``
    RECURSION = "recursion"  #: calls inside each other
    CODE_SIZE = "code_size"  #: the code is longer than ``code_bytes``
    INPUT_SIZE = "input_size"  #: ``input_data`` is larger than ``input_bytes``


class RunStatus(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"  #: the code raised, does not parse, or called ``exit`` with another code than 0
    LIMIT = "limit"  #: it hit the bound that ``limit`` names


class Limits(BaseModel):
    """What one run may take. Over a bound it ends with status ``limit``; a bound over the ceiling is refused here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_seconds: float = Field(default=5.0, gt=0, le=60, description="Time from start to end, sleeping included.")
    memory_mb: int = Field(default=256, ge=32, le=1024, description="Memory of the program, its interpreter included.")
    output_bytes: int = Field(default=256 * 1024, ge=0, le=2 * MEGABYTE, description="Of stdout and stderr together.")
    result_bytes: int = Field(default=MEGABYTE, ge=16, le=4 * MEGABYTE, description="Of the result, as JSON.")
    files: int = Field(default=32, ge=0, le=1000, description="Files and folders that there may be, those given too.")
    file_bytes: int = Field(default=2 * MEGABYTE, ge=0, le=4 * MEGABYTE, description="Of all files together.")
    recursion: int = Field(default=500, ge=50, le=2000, description="Python calls inside each other.")
    code_bytes: int = Field(default=256 * 1024, ge=1, le=MEGABYTE, description="Of the code, in UTF-8.")
    input_bytes: int = Field(default=2 * MEGABYTE, ge=16, le=4 * MEGABYTE, description="Of the input, as JSON.")


class CodeFile(BaseModel):
    """A file that the program finds in its folder, or left there (an artifact)."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(min_length=1, max_length=255, description="Relative to the folder, `/` between its parts.")
    content: Content = Field(description="In JSON: base64.")

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if any(part in ("", ".", "..") for part in path.split("/")) or "\x00" in path:
            raise ValueError("a path is relative and has no empty, `.` or `..` parts")
        return path


class CodeRequest(BaseModel):
    """A program and all that it gets to know: nothing comes from anywhere else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Language
    code: str = Field(max_length=4 * MEGABYTE)
    input_data: Json | None = Field(default=None, description="What the program sees as `input_data`.")
    files: tuple[CodeFile, ...] = Field(default=(), max_length=1000)
    variables: dict[str, str] = Field(default_factory=dict, max_length=100, description="Its environment. No secrets.")
    limits: Limits = Field(default_factory=Limits)
    clock: float | None = Field(
        default=None,
        ge=0,
        le=253_402_300_799,
        description="Fixed time in seconds since 1970, which only sleeping moves, at once; else the real time.",
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="Makes all randomness repeatable.")


class CodeError(BaseModel):
    """What went wrong in the program, in its language's words."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="`ValueError`, `SyntaxError`, `Exit` for a code other than 0, …")
    message: str
    line: int | None = Field(default=None, description="In the given code, from 1; unknown where None.")


class CodeUsage(BaseModel):
    """What a run took."""

    model_config = ConfigDict(frozen=True)

    wall_ms: float = Field(default=0.0, description="From the caller's view, waiting for a free place left out.")
    cpu_ms: float = Field(default=0.0, description="Of the run's process.")
    memory_bytes: int = Field(default=0, description="Most that the program's memory was, its interpreter included.")
    output_bytes: int = Field(default=0, description="Printed, also beyond what was kept.")


class CodeOutcome(BaseModel):
    """What came of a program."""

    model_config = ConfigDict(frozen=True)

    status: RunStatus
    result: Json | None = Field(default=None, description="The value of the variable `result` at the end.")
    error: CodeError | None = None
    limit: Limit | None = Field(default=None, description="Set if, and only if, the status is `limit`.")
    stdout: str = ""
    stderr: str = ""
    artifacts: tuple[CodeFile, ...] = Field(default=(), description="Files that are new or changed.")
    usage: CodeUsage = Field(default_factory=CodeUsage)
    runtime: str = Field(default="", description="What ran it: `CPython 3.12.0 (wasm)`, `QuickJS 2026 (wasm)`.")


class CodeExecutionRow(Row):
    """One run of a piece of code."""

    table = "codeexecution"

    id: UUID
    runtime: str
    language: str
    code: str
    input_data: Json | None
    output_data: Json | None
    status: str
    exit_code: int | None
    duration_ms: int
    memory_mb: int | None
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error_message: str | None
    owner_id: UUID | None
    decision: Json | None
    tool_id: str | None
    tool_version: str | None
    sandbox_id: UUID | None
    limit_hit: str | None
    error: Json | None
    stdout: str | None
    stderr: str | None
    artifacts: Json
    usage: Json | None


class CodeToolRegistryRow(Row):
    """A version of a tool; unique by owner, ``tool_id`` and ``version``."""

    table = "codetoolregistry"

    id: UUID
    tool_id: str
    name: str
    version: str
    description: str | None
    code: str
    input_schema: Json | None
    output_schema: Json | None
    runtime: str
    owner_id: UUID
    usage_count: int
    is_deprecated: bool
    created_at: UtcDatetime
    updated_at: UtcDatetime
    language: str
    tests: Json
    deprecation_message: str | None


class CodeSandboxRow(Row):
    """A named setting in which code runs."""

    table = "codesandbox"

    id: UUID
    name: str
    runtime: str
    config: Json | None
    owner_id: UUID
    created_at: UtcDatetime
