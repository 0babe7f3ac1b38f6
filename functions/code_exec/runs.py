"""What a worker does with a job of kind ``code``: find out what to run, have it run, keep what came of it.

Running code has no effect outside its sandbox, so an attempt that was lost is simply made again: it runs the same
version of the same tool and writes its files to the same places.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from functions.code_exec import artifacts
from functions.code_exec.schemas import mistakes
from shared import code_runtime, jobs, statements, strict_json
from shared.database import Database
from shared.errors import Invalid, TooLarge, Unavailable
from shared.invocation import FunctionFailed, Functions
from shared.models.code import CodeOutcome, CodeRequest, Language, Limit, Limits, RunStatus
from shared.models.code_runs import JobInput, SandboxLimits
from shared.settings import CodeSettings
from shared.storage import Storage

SQL = statements.load("code_exec")

#: Times that a function which broke down over a run is tried with it.
BREAKDOWNS = 2

_LIMITS = {
    Limit.WALL: "It ran longer than {limits.wall_seconds:g} s.",
    Limit.MEMORY: "It needed more than {limits.memory_mb} MB of memory.",
    Limit.OUTPUT: "It printed more than {limits.output_bytes} bytes.",
    Limit.FILES: "It left more than {limits.files} files, or {limits.file_bytes} bytes in them.",
    Limit.RESULT: "Its result is no JSON, or has more than {limits.result_bytes} bytes.",
    Limit.RECURSION: "Its calls were inside each other too deeply.",
    Limit.CODE_SIZE: "The code is longer than {limits.code_bytes} bytes.",
    Limit.INPUT_SIZE: "The input has more than {limits.input_bytes} bytes as JSON.",
}


class Runner:
    """Does one job at a time: ``Runner(...).perform`` is what a worker's face is given."""

    def __init__(self, database: Database, functions: Functions, storage: Storage, settings: CodeSettings) -> None:
        self.database = database
        self.functions = functions
        self.storage = storage
        self.settings = settings

    def perform(self, job: jobs.Claimed) -> Any:
        """The job's result, or :class:`JobError` whose kind names what ended it."""
        asked = _read(job.input)
        if asked.registers is not None:
            from functions.code_exec.registration import run_tests

            self._prepared(job, asked)
            return run_tests(self, asked.registers, self.settings.code_test_seconds)
        plan = self._prepared(job, asked)
        tool = plan["tool"]
        if tool is not None and (wrong := mistakes(tool["input_schema"] or {}, asked.input_data)):
            said = f"The input is not what {tool['tool_id']} {tool['version']} takes: {_said(wrong)}"
            raise jobs.JobError(said, kind="invalid_input", output={"errors": wrong})
        request = request_for(asked, plan)
        outcome = self.invoke(request, job.attempt)
        told = self._kept(job, outcome)
        if outcome.status is not RunStatus.COMPLETED:
            raise failure(outcome, request.limits, told)
        if tool is not None and (wrong := mistakes(tool["output_schema"] or {}, outcome.result)):
            said = f"The result is not what {tool['tool_id']} {tool['version']} gives: {_said(wrong)}"
            raise jobs.JobError(said, kind="invalid_result", output={**told, "errors": wrong})
        return told

    def _prepared(self, job: jobs.Claimed, asked: JobInput) -> dict[str, Any]:
        """The tool and the sandbox that the job names, once its owner may run more."""
        plan = self.database.call(SQL["prepare_code"], {"id": job.id, "epoch": job.epoch})[0]["plan"]
        if plan is None:
            raise jobs.JobError("The job went to another worker.", kind="lost")
        used, most = plan["used"], self.settings
        if used["runs"] >= most.code_runs_per_hour or used["cpu_seconds"] >= most.code_cpu_seconds_per_hour:
            said = (
                f"The code of this owner ran {used['runs']} times and {used['cpu_seconds']:.0f} processor seconds in "
                f"the last hour; {most.code_runs_per_hour} and {most.code_cpu_seconds_per_hour} are allowed."
            )
            raise jobs.JobError(said, kind="too_many")
        if asked.tool is not None and plan["tool"] is None:
            raise jobs.JobError(f"There is no tool {asked.tool[:100]!r} in that version.", kind="not_found")
        if asked.sandbox is not None and plan["sandbox"] is None:
            raise jobs.JobError(f"There is no sandbox {asked.sandbox[:100]!r}.", kind="not_found")
        if refused := code_runtime.refused_requirement(asked.requirements, asked.language):
            raise jobs.JobError(f"The requirements are not met: {refused}.", kind="requirements")
        return dict(plan)

    def invoke(self, request: CodeRequest, attempt: int) -> CodeOutcome:
        """What the sandbox makes of ``request``. It is another function: nothing foreign runs in this one."""
        try:
            answer = self.functions.invoke(
                code_runtime.FUNCTION, request.model_dump(mode="json"), request.limits.wall_seconds
            )
            return CodeOutcome.model_validate(answer)
        except TooLarge as error:
            raise jobs.JobError(error.detail, kind="too_large") from None
        except Unavailable as error:
            raise jobs.JobError(error.detail, kind="unavailable", retryable=True) from None
        except FunctionFailed as error:
            # Time over: the sandbox's own limit should have struck first, and would not next time either.
            again = error.type != "Sandbox.Timedout" and attempt < BREAKDOWNS
            raise jobs.JobError(f"The sandbox broke down: {error}", kind="sandbox", retryable=again) from None
        except ValidationError as error:
            said = f"The sandbox gave an answer that is none ({error.error_count()} mistakes)."
            raise jobs.JobError(said, kind="sandbox") from None

    def _kept(self, job: jobs.Claimed, outcome: CodeOutcome) -> dict[str, Any]:
        """The outcome as rows and the next step hold it; its files are stored, unless somebody else has the job."""
        files = () if job.lost.is_set() else outcome.artifacts
        try:
            kept = artifacts.keep(self.storage, job.owner_id, job.id, files)
        except Unavailable as error:
            raise jobs.JobError(f"Its files cannot be stored: {error.detail}", kind="storage", retryable=True) from None
        return {**told(outcome), "artifacts": [one.model_dump() for one in kept]}


def _read(given: Any) -> JobInput:
    try:
        return JobInput.model_validate(given)
    except ValidationError as error:
        wrong = [
            {"path": ".".join(map(str, one["loc"]))[:300], "message": str(one["msg"]).removeprefix("Value error, ")}
            for one in error.errors(include_url=False, include_input=False, include_context=False)[:20]
        ]
        raise jobs.JobError(
            f"The request for a run is not valid: {_said(wrong)}", kind="invalid", output={"errors": wrong}
        ) from None


def request_for(asked: JobInput, plan: dict[str, Any]) -> CodeRequest:
    """What goes to the sandbox function."""
    tool, sandbox = plan["tool"], plan["sandbox"] or {}
    config: dict[str, Any] = sandbox["config"] if isinstance(sandbox.get("config"), dict) else {}
    limits = Limits()
    if isinstance(config.get("limits"), dict):
        known = {key: value for key, value in config["limits"].items() if key in SandboxLimits.model_fields}
        try:
            limits = SandboxLimits.model_validate(known).over(limits)
        except ValidationError:
            raise jobs.JobError("The sandbox has limits that are none; change it.", kind="invalid_sandbox") from None
    if asked.timeout_seconds is not None:
        limits = limits.model_copy(update={"wall_seconds": asked.timeout_seconds})
    variables = config.get("variables")
    try:
        return CodeRequest(
            language=Language(tool["language"]) if tool is not None else asked.language,
            code=str(tool["code"]) if tool is not None else asked.code or "",
            input_data=asked.input_data,
            files=tuple(asked.files),
            variables=variables if isinstance(variables, dict) else {},
            limits=limits,
        )
    except ValueError as error:  # a row of the old system, or a file's path
        raise jobs.JobError(f"This cannot be run: {error}", kind="invalid") from None


def told(outcome: CodeOutcome) -> dict[str, Any]:
    """The outcome as JSON that Postgres holds, without its files."""
    try:
        strict_json.check(outcome.result)
        result = outcome.result
    except Invalid as error:
        faults = "; ".join(f"{one['path']}: {one['message']}" for one in error.errors[:3])
        said = f"The result cannot be kept: {faults or error.detail}"
        raise jobs.JobError(said, kind="invalid_result") from None
    return {
        "result": result,
        "stdout": plain(outcome.stdout),
        "stderr": plain(outcome.stderr),
        "artifacts": [],
        "usage": outcome.usage.model_dump(mode="json"),
        "limit": outcome.limit.value if outcome.limit is not None else None,
        "exit_code": 0 if outcome.status is RunStatus.COMPLETED else 1,
        "runtime": outcome.runtime,
    }


def failure(outcome: CodeOutcome, limits: Limits, output: dict[str, Any]) -> jobs.JobError:
    """Why a run did not complete; the kind is ``limit_<limit>`` or ``code_failed``."""
    if outcome.limit is not None:
        message = _LIMITS[outcome.limit].format(limits=limits)
        return jobs.JobError(message, kind=f"limit_{outcome.limit.value}", output=output)
    if outcome.error is None:
        return jobs.JobError("The code failed.", kind="code_failed", output=output)
    where = f" (line {outcome.error.line})" if outcome.error.line is not None else ""
    message = plain(f"{outcome.error.type}: {outcome.error.message}"[:2000]) + where
    error = {"type": plain(outcome.error.type), "message": plain(outcome.error.message[:2000])}
    return jobs.JobError(message, kind="code_failed", output={**output, "error": {**error, "line": outcome.error.line}})


def _said(wrong: list[dict[str, Any]]) -> str:
    return "; ".join(f"{one['path'] or 'the value'}: {one['message']}" for one in wrong[:3])


def plain(text: str) -> str:
    """Text as Postgres holds it."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
