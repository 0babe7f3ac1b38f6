"""Sandboxes: named ways to run code, with limits and an environment that holds no secrets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from shared import statements
from shared.errors import Invalid, NotFound
from shared.ids import uuid7
from shared.models.api import Page, page_of, read_cursor
from shared.models.code_runs import SandboxInput, SandboxLimits, SandboxOutput, SandboxPatch
from shared.telemetry import redact
from shared.tenant import Caller

SQL = statements.load("code_exec")


def list_sandboxes(caller: Caller, cursor: str | None, limit: int) -> Page[SandboxOutput]:
    """The caller's sandboxes, a page at a time."""
    (after,) = read_cursor(cursor, UUID)
    rows = caller.call(SQL["list_sandboxes"], {"after": after, "limit": limit + 1})
    return page_of(SandboxOutput, rows, limit, "id")


def create_sandbox(caller: Caller, new: SandboxInput) -> SandboxOutput:
    """A new sandbox of the caller's; :class:`~shared.errors.Conflict` when the name is taken."""
    _no_secrets(new.variables)
    config = {"limits": _limits(new.limits), "variables": new.variables}
    changes = {"name": new.name, "runtime": new.runtime, "config": config}
    [row] = caller.call(SQL["write_sandbox"], {"id": uuid7(), "new": True, "changes": changes})
    return SandboxOutput(**row)


def read_sandbox(caller: Caller, name: str) -> SandboxOutput:
    """One sandbox by id or name, or :class:`NotFound`."""
    rows = caller.call(SQL["read_sandbox"], {"sandbox": name})
    if not rows:
        raise NotFound("There is no such sandbox, or it is not yours.")
    return SandboxOutput(**rows[0])


def update_sandbox(caller: Caller, id_: UUID, patch: SandboxPatch) -> SandboxOutput:
    """The sandbox with its changes; limits and variables are replaced as a whole."""
    changes: dict[str, Any] = {key: value for key, value in patch.changes().items() if key in ("name", "runtime")}
    config: dict[str, Any] = {}
    if patch.limits is not None:
        config["limits"] = _limits(patch.limits)
    if patch.variables is not None:
        _no_secrets(patch.variables)
        config["variables"] = patch.variables
    [row] = caller.call(SQL["write_sandbox"], {"id": id_, "new": False, "changes": {**changes, "config": config}})
    return SandboxOutput(**row)


def delete_sandbox(caller: Caller, id_: UUID) -> None:
    """Nothing, or :class:`NotFound`."""
    caller.call(SQL["delete_sandbox"], {"id": id_})


def _limits(limits: SandboxLimits) -> dict[str, Any]:
    return limits.model_dump(exclude_none=True)


def _no_secrets(variables: dict[str, str]) -> None:
    """Refuse what looks like a secret, by its name or its value: all code in the sandbox could read it."""
    shown = redact(variables)
    wrong = [
        {"path": f"variables.{name}", "message": "looks like a secret"}
        for name, value in variables.items()
        if shown.get(name) != value
    ]
    if wrong:
        raise Invalid(
            "A sandbox keeps no secrets: the code in it reads all its variables.",
            remedy="Do what needs the secret in a node of its own (http_request) and give the code the data.",
            errors=wrong,
        )
