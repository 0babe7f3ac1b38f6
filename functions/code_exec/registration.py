"""A tool's own tests, run before it registers: every one must come out as it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from functions.code_exec.runs import plain
from functions.code_exec.schemas import mistakes
from shared.jobs import JobError
from shared.models.code import CodeOutcome, CodeRequest, Limits, RunStatus
from shared.models.code_runs import ToolInput, ToolTest

if TYPE_CHECKING:
    from functions.code_exec.runs import Runner

MOST_DIFFERENCES = 10
_SHOWN = 200


def run_tests(runner: Runner, tool: ToolInput, seconds: float) -> dict[str, Any]:
    """The report as the job's result; :class:`JobError` of kind ``tests_failed`` unless all passed.

    One after another, each in a sandbox of its own, ``seconds`` for all of them.
    """
    until = time.monotonic() + seconds
    report: list[dict[str, Any]] = []
    wall = cpu = 0.0
    memory = 0
    for test in tool.tests:
        left = until - time.monotonic()
        if left <= 0:
            report.append({"name": test.name, "passed": False, "why": "there was no time left for it"})
            continue
        passed, why, outcome = _tried(runner, tool, test, left)
        report.append({"name": test.name, "passed": passed, **({"why": plain(why)} if why else {})})
        if outcome is not None:
            wall, cpu = wall + outcome.usage.wall_ms, cpu + outcome.usage.cpu_ms
            memory = max(memory, outcome.usage.memory_bytes)
    failed = [one for one in report if not one["passed"]]
    told = {
        "result": {"tests": report, "passed": len(report) - len(failed), "failed": len(failed)},
        "usage": {"wall_ms": wall, "cpu_ms": cpu, "memory_bytes": memory, "output_bytes": 0},
        "exit_code": 1 if failed else 0,
    }
    if failed:
        said = "; ".join(f"{one['name']}: {one['why']}" for one in failed[:3])
        raise JobError(f"{len(failed)} of {len(report)} tests failed: {said}"[:2000], kind="tests_failed", output=told)
    return told


def _tried(runner: Runner, tool: ToolInput, test: ToolTest, left: float) -> tuple[bool, str | None, CodeOutcome | None]:
    """Whether a test came out as it says, and why not."""
    if wrong := mistakes(tool.input_schema, test.input):
        if test.fails:
            return True, None, None
        return False, f"the input schema refuses its input: {_first(wrong)}", None
    limits = Limits()
    limits = limits.model_copy(update={"wall_seconds": min(limits.wall_seconds, max(left, 0.1))})
    request = CodeRequest(language=tool.language, code=tool.code, input_data=test.input, limits=limits)
    outcome = runner.invoke(request, attempt=1)
    if outcome.status is not RunStatus.COMPLETED:
        if test.fails:
            return True, None, outcome
        ended = f"the limit {outcome.limit.value}" if outcome.limit is not None else _error(outcome)
        return False, f"it ended by {ended}", outcome
    if wrong := mistakes(tool.output_schema, outcome.result):
        return test.fails, None if test.fails else f"the output schema refuses its result: {_first(wrong)}", outcome
    if test.fails:
        return False, f"it gave {_shown(outcome.result)} where it must fail", outcome
    if "expect" in test.model_fields_set:
        found = list(differences(test.expect, outcome.result))
        return not found, "; ".join(found[:MOST_DIFFERENCES]) or None, outcome
    return True, None, outcome


def differences(expected: Any, got: Any, path: str = "result") -> Iterator[str]:
    """Where two JSON values differ, each place in a sentence."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted(expected.keys() | got.keys()):
            where = f"{path}.{key}"
            if key not in got:
                yield f"{where} is missing, {_shown(expected[key])} was expected"
            elif key not in expected:
                yield f"{where} is {_shown(got[key])}, which was not expected"
            else:
                yield from differences(expected[key], got[key], where)
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{path} has {len(got)} items, {len(expected)} were expected"
        for index, (one, other) in enumerate(zip(expected, got, strict=False)):
            yield from differences(one, other, f"{path}.{index}")
    elif expected != got or isinstance(expected, bool) != isinstance(got, bool):
        yield f"{path} is {_shown(got)}, {_shown(expected)} was expected"


def _first(wrong: list[dict[str, Any]]) -> str:
    return f"{wrong[0]['path'] or 'the value'} {wrong[0]['message']}"


def _error(outcome: CodeOutcome) -> str:
    return f"{outcome.error.type}: {outcome.error.message[:_SHOWN]}" if outcome.error is not None else "an error"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
