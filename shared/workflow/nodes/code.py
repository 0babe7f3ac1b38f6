"""Run code, or a tool made of it, in the sandbox.

The node only asks: a worker has the code run by a function that can do nothing else, and the next node gets
``{result, stdout, stderr, artifacts, usage}``. The code itself is never a template, for data pasted into it would be
code; what it needs to know goes into ``input_data``. A run that fails or hits a limit fails the step with a kind that
names it (``code_failed``, ``limit_wall``, ``limit_memory``, …), and an error branch is given what it printed.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from shared import code_runtime
from shared.models.code import Language
from shared.models.code_runs import Code, SandboxName, Seconds, ToolId, Version
from shared.workflow.node import Effect, Job, NodeConfig, StepContext, node
from shared.workflow.nodes.operands import Template, declared, render


def _language(value: Any) -> Any:
    return code_runtime.choose_language(value) if isinstance(value, str) else value


def _runtime(value: str | None) -> str | None:
    code_runtime.choose_runtime(value)
    return value


class CodeConfig(NodeConfig):
    """What runs, and on what: `code` or `tool`."""

    code: Code | None = Field(
        default=None, description="a program that reads `input_data` and sets `result`; never a template"
    )
    language: Annotated[Language, BeforeValidator(_language)] = Field(
        default=Language.PYTHON, description="`python` or `javascript`"
    )
    runtime: Annotated[str | None, AfterValidator(_runtime)] = Field(
        default=None, max_length=100, description="`wasm`; the old names are taken, and `wasm` stands in for them"
    )
    input_data: Template = Field(
        default=None, description="a template of any shape; left out, it is what leads into the node"
    )
    requirements: list[str] = Field(
        default=[], max_length=50, description="modules it needs; refused unless the sandbox carries them"
    )
    timeout_seconds: Seconds | None = Field(default=None, description="of the run, at most 60; 5 if it is not said")
    tool: ToolId | None = Field(default=None, description="a registered tool's id, instead of code")
    tool_version: Version | None = Field(
        default=None, description="left out, the highest release that is not deprecated"
    )
    sandbox: SandboxName | None = Field(default=None, description="a sandbox of yours, by id or name")

    @field_validator("requirements", mode="before")
    @classmethod
    def _lines(cls, given: Any) -> Any:
        """The old builder's text field: one requirement a line, or with commas between."""
        if isinstance(given, str):
            return [part.strip() for part in given.replace(",", "\n").splitlines() if part.strip()]
        return [] if given is None else given

    @model_validator(mode="after")
    def _one_of_them(self) -> CodeConfig:
        if (self.code is None) == (self.tool is None):
            raise ValueError("give either `code` or `tool`")
        if self.tool_version is not None and self.tool is None:
            raise ValueError("`tool_version` is of a `tool`")
        if refused := code_runtime.refused_requirement(self.requirements, self.language):
            raise ValueError(f"requirements: {refused}")
        return self


def _input(config: CodeConfig, context: StepContext) -> Any:
    if "input_data" in config.model_fields_set and config.input_data is not None:
        return render(context, config.input_data, "input_data")
    inputs = list(context.inputs.values())
    return inputs[0] if len(inputs) == 1 else dict(context.inputs)


@node("code", config=CodeConfig, effect=Effect.IDEMPOTENT, expressions=declared, capability="code_exec")
def code(config: CodeConfig, context: StepContext) -> Job:
    """Run code in the sandbox and give its result, output and files."""
    choice = code_runtime.choose(config.runtime, config.language)
    asked = {
        "code": config.code,
        "tool": config.tool,
        "tool_version": config.tool_version,
        "language": choice.language.value,
        "runtime": choice.runtime,
        "decision": choice.to_json(),
        "input_data": _input(config, context),
        "requirements": config.requirements,
        "timeout_seconds": config.timeout_seconds,
        "sandbox": config.sandbox,
    }
    return Job("code", {name: value for name, value in asked.items() if value is not None})
