"""Runs of code, tools and sandboxes: what callers send and are told, and the job that stands between."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared import code_runtime
from shared.models.api import Input, Output, Patch
from shared.models.base import Json, UtcDatetime
from shared.models.code import MEGABYTE, CodeFile, CodeUsage, Language, Limits

CODE_BYTES = 256 * 1024
LONGEST_SECONDS = 60.0
#: What a caller may wait for: less than the 29 s that a function behind the gateway has.
LONGEST_WAIT = 25.0

TOOL_ID = r"^[a-z0-9][a-z0-9_-]*[a-z0-9]$"
#: semver.org's own expression, less build metadata's names being captured.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)


def _version(value: str) -> str:
    if not _SEMVER.fullmatch(value):
        raise ValueError("is no version of the form 1.2.3 (semver.org)")
    return value


def _language(value: Any) -> Any:
    return code_runtime.choose_language(value) if isinstance(value, str) else value


def _runtime(value: str) -> str:
    code_runtime.choose_runtime(value)
    return value


def _inside(code: str) -> str:
    if len(code.encode("utf-8", "surrogatepass")) > CODE_BYTES:
        raise ValueError(f"is longer than {CODE_BYTES} bytes")
    return code


Code = Annotated[
    str, Field(min_length=1, max_length=CODE_BYTES, examples=["result = input_data['n'] * 2"]), AfterValidator(_inside)
]
LanguageName = Annotated[
    Language, BeforeValidator(_language, json_schema_input_type=str), Field(description="`python` or `javascript`.")
]
RuntimeName = Annotated[
    str,
    AfterValidator(_runtime),
    Field(max_length=100, examples=["wasm"], description="`wasm`, or an old name for which it stands in."),
]
Version = Annotated[str, AfterValidator(_version), Field(max_length=50, examples=["1.0.0"])]
ToolId = Annotated[str, Field(min_length=2, max_length=255, pattern=TOOL_ID, examples=["add-vat"])]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS, description="Time of the run, in seconds. Default 5.")]
Wait = Annotated[
    float,
    Field(
        ge=0,
        le=LONGEST_WAIT,
        examples=[0],
        description="Seconds to wait for the end; a run that takes longer is answered with 202.",
    ),
]
SandboxName = Annotated[str, Field(min_length=1, max_length=255, description="A sandbox of yours, by id or name.")]


class ExecuteOptions(Input):
    """What a run may be told beside its code."""

    timeout_seconds: Seconds | None = Field(default=None, description="Time of the run, at most 60; 5 if not said.")
    files: list[CodeFile] = Field(default=[], max_length=100, description="Files that the code finds in its folder.")
    wait: Wait = LONGEST_WAIT


class SandboxExecuteInput(ExecuteOptions):
    """Code to run."""

    code: Code = Field(description="A program that reads `input_data` and sets `result`.")
    language: LanguageName = Language.PYTHON
    runtime: RuntimeName | None = Field(
        default=None, description="`wasm`, which there is, or an old name for which it stands in."
    )
    input_data: Json | None = Field(
        default=None, examples=[{"n": 21}], description="What the code sees as `input_data`."
    )
    requirements: list[Annotated[str, Field(max_length=200)]] = Field(
        default=[], max_length=50, description="Modules it needs; refused unless the sandbox carries them."
    )


class ExecuteInput(SandboxExecuteInput):
    """Code to run."""

    sandbox: SandboxName | None = Field(default=None, description="A sandbox of yours, by id or name.")


class CallInput(ExecuteOptions):
    """A call of a tool."""

    input: Json | None = Field(
        default=None, examples=[{"n": 21}], description="What the tool's input schema describes."
    )
    version: Version | None = Field(default=None, description="Default: the highest release that is not deprecated.")
    sandbox: SandboxName | None = Field(default=None, description="A sandbox of yours, by id or name.")


class Artifact(BaseModel):
    """A file that a run left."""

    name: str
    bytes: int
    media_type: str
    sha256: str
    bucket: str
    key: str


class ExecutionSummary(Output):
    """A run of code."""

    id: UUID
    status: str = Field(description="`queued`, `running`, `completed`, `failed`, `timed_out` or `cancelled`.")
    runtime: str
    language: str
    tool_id: str | None
    tool_version: str | None
    sandbox_id: UUID | None
    limit: str | None = Field(description="The limit that ended it: `wall`, `memory`, `output`, …")
    error_message: str | None
    duration_ms: int
    memory_mb: int | None
    started_at: UtcDatetime
    completed_at: UtcDatetime | None


class ExecutionOutput(ExecutionSummary):
    """A run of code, with all that came of it."""

    code: str
    input_data: Json | None
    output_data: Json | None = Field(description="The value of `result` at the end.")
    exit_code: int | None
    error: Json | None
    stdout: str | None
    stderr: str | None
    decision: Json | None = Field(description="The runtime that was asked for, the one that was chosen, and why.")
    artifacts: list[Artifact]
    usage: CodeUsage | None


class ArtifactLink(Artifact):
    """A file that a run left, and where it can be had for a while."""

    url: str
    expires_in: int


class RuntimeOutput(BaseModel):
    """What can be run here."""

    language: str
    runtime: str
    carried: list[str] = Field(description="Modules that code may import, and `requirements` may name.")


class ToolTest(Input):
    """An example that a tool must get right before it registers."""

    name: str = Field(min_length=1, max_length=100)
    input: Json | None = None
    expect: Json | None = Field(default=None, description="The result that must come, exactly.")
    fails: bool = Field(default=False, description="The call must fail instead.")


class ToolInput(Input):
    """A version of a tool."""

    tool_id: ToolId = Field(description="Your name for it, in lower case.")
    version: Version = Field(description="SemVer; it never changes.")
    name: str = Field(min_length=1, max_length=255, examples=["Add VAT"])
    description: str | None = Field(default=None, max_length=10_000)
    code: Code = Field(description="A program that reads `input_data` and sets `result`.")
    language: LanguageName = Language.PYTHON
    runtime: RuntimeName = code_runtime.RUNTIME
    input_schema: Json = Field(default_factory=dict, description="JSON Schema (2020-12) of the input.")
    output_schema: Json = Field(default_factory=dict, description="JSON Schema (2020-12) of the result.")
    tests: list[ToolTest] = Field(default=[], max_length=20)
    wait: Wait = LONGEST_WAIT


class DeprecateInput(Input):
    """Why a tool should not be used any more."""

    message: str = Field(min_length=1, max_length=1000, examples=["Use add-tax instead."])
    version: Version | None = Field(default=None, description="Only this version; else all there are.")


class ToolSummary(Output):
    """A version of a tool."""

    id: UUID
    tool_id: str
    version: str
    name: str
    description: str | None
    language: str
    runtime: str
    usage_count: int
    is_deprecated: bool
    deprecation_message: str | None
    created_at: UtcDatetime
    updated_at: UtcDatetime


class ToolOutput(ToolSummary):
    """A version of a tool, whole."""

    code: str
    input_schema: Json | None
    output_schema: Json | None
    tests: Json


VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Variables = Annotated[dict[VariableName, Annotated[str, Field(max_length=4096)]], Field(max_length=50)]


class SandboxLimits(Input):
    """What a run may take; what is not said is as everywhere."""

    wall_seconds: float | None = Field(default=None, gt=0, le=LONGEST_SECONDS)
    memory_mb: int | None = Field(default=None, ge=32, le=1024)
    output_bytes: int | None = Field(default=None, ge=0, le=2 * MEGABYTE)
    result_bytes: int | None = Field(default=None, ge=16, le=4 * MEGABYTE)
    files: int | None = Field(default=None, ge=0, le=1000)
    file_bytes: int | None = Field(default=None, ge=0, le=4 * MEGABYTE)

    def over(self, limits: Limits) -> Limits:
        """``limits`` with what is said here in its place."""
        return limits.model_copy(update=self.model_dump(exclude_none=True))


class SandboxInput(Input):
    """A named way to run code."""

    name: str = Field(min_length=1, max_length=255, examples=["reports"])
    runtime: RuntimeName = code_runtime.RUNTIME
    limits: SandboxLimits = Field(default_factory=SandboxLimits)
    variables: Variables = Field(default={}, description="Its environment. No secrets: whoever writes code reads it.")


class SandboxPatch(Patch):
    """A change of a sandbox."""

    name: str | None = Field(default=None, min_length=1, max_length=255)
    runtime: RuntimeName | None = None
    limits: SandboxLimits | None = None
    variables: Variables | None = None


class SandboxOutput(Output):
    """A named way to run code."""

    id: UUID
    name: str
    runtime: str
    config: Json | None
    created_at: UtcDatetime


class JobInput(BaseModel):
    """The input of a job of kind ``code``, whoever made it; what else stands there is for the database's triggers."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: Code | None = None
    language: LanguageName = Language.PYTHON
    input_data: Json | None = None
    requirements: list[str] = Field(default=[], max_length=50)
    timeout_seconds: Seconds | None = None
    files: list[CodeFile] = Field(default=[], max_length=100)
    sandbox: str | None = None
    tool: str | None = None
    registers: ToolInput | None = None

    @model_validator(mode="after")
    def _one_source(self) -> JobInput:
        if sum(source is not None for source in (self.code, self.tool, self.registers)) != 1:
            raise ValueError("exactly one of code and tool is run")
        return self
