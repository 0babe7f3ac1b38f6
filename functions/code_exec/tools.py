"""Tools: versions of code with schemas for what goes in and out, and examples that they got right to be there."""

from __future__ import annotations

from typing import Any

from shared import code_runtime, statements
from shared.errors import Conflict, Invalid, NotFound
from shared.models.api import Page, page_of, read_cursor, write_cursor
from shared.models.code_runs import DeprecateInput, ToolInput, ToolOutput, ToolSummary
from shared.tenant import Caller

SQL = statements.load("code_exec")


def list_tools(caller: Caller, cursor: str | None, limit: int) -> Page[ToolSummary]:
    """The caller's tools, each in the version that a call would take."""
    (after,) = read_cursor(cursor, str)
    rows = caller.call(SQL["list_tools"], {"after": after, "limit": limit + 1})
    return page_of(ToolSummary, rows, limit, "tool_id")


def read_tool(caller: Caller, tool_id: str, version: str | None) -> ToolOutput:
    """A version, or the one that stands for the tool: the highest release that is not deprecated, if there is one."""
    rows = caller.call(SQL["read_tool"], {"tool": tool_id, "version": version})
    if not rows:
        raise NotFound("There is no such tool or version, or it is not yours.")
    return ToolOutput(**rows[0])


def read_version(caller: Caller, tool_id: str, version: str | None) -> ToolOutput:
    """The version that a call takes; a pre-release only where it is named."""
    found = read_tool(caller, tool_id, version)
    if version is None and "-" in found.version.partition("+")[0]:
        raise NotFound(f"The tool {found.tool_id} has pre-releases only.", remedy="Name the version to call.")
    return found


def list_versions(caller: Caller, tool_id: str, cursor: str | None, limit: int) -> Page[ToolSummary]:
    """All versions of a tool, the highest first; :class:`NotFound` when there is none."""
    (offset,) = read_cursor(cursor, int)
    offset = max(0, offset or 0)
    rows = caller.call(SQL["list_versions"], {"tool": tool_id, "limit": limit + 1, "offset": min(offset, 10**6)})
    if not rows and not offset:
        raise NotFound("There is no such tool, or it is not yours.")
    following = write_cursor(offset + limit) if len(rows) > limit else None
    return Page[ToolSummary](items=[ToolSummary(**row) for row in rows[:limit]], next=following)


def check_tool(caller: Caller, new: ToolInput) -> None:
    """Raise :class:`Invalid` for schemas and tests that are none, :class:`Conflict` for a version that is there."""
    from functions.code_exec.schemas import check

    errors = check(new.input_schema, "input_schema") + check(new.output_schema, "output_schema")
    for index, test in enumerate(new.tests):
        if test.fails and "expect" in test.model_fields_set:
            errors.append({"path": f"tests.{index}.expect", "message": "a call that fails gives nothing to expect"})
    names = [test.name for test in new.tests]
    errors += [
        {"path": f"tests.{index}.name", "message": "is another test's name too"}
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    if errors:
        raise Invalid("The tool is not valid.", errors=errors)
    if caller.call(SQL["read_tool"], {"tool": new.tool_id, "version": new.version}):
        raise Conflict(
            f"Version {new.version} of the tool {new.tool_id} is there already.",
            remedy="A version never changes: give the new one another number.",
        )


def register_tool(caller: Caller, new: ToolInput) -> ToolOutput:
    """A tool without tests, registered at once."""
    [row] = caller.call(SQL["register_tool"], {"tool": written(new)})
    return ToolOutput(**row)


def registration(new: ToolInput) -> dict[str, Any]:
    """The input of the job that runs the tool's tests and, when all of them pass, registers it."""
    choice = code_runtime.choose(new.runtime, new.language)
    return {
        "registers": written(new),
        "language": choice.language.value,
        "runtime": choice.runtime,
        "decision": choice.to_json(),
    }


def written(new: ToolInput) -> dict[str, Any]:
    """The tool as ``millrace.write_tool`` takes it."""
    choice = code_runtime.choose(new.runtime, new.language)
    tool = new.model_dump(mode="json", exclude={"wait"})
    return {**tool, "language": choice.language.value, "runtime": choice.runtime}


def deprecate_tool(caller: Caller, tool_id: str, why: DeprecateInput) -> ToolOutput:
    """The tool, marked: it still runs, and whoever looks at it is told why it should not."""
    caller.call(SQL["deprecate_tool"], {"tool": tool_id, "version": why.version, "message": why.message})
    return read_tool(caller, tool_id, why.version)
