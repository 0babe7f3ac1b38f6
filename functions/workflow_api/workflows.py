"""Workflows and their versions. A change of graph or trigger is a new version; runs stay on theirs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from functions.workflow_api.listing import below, only
from shared import statements
from shared.errors import PreconditionFailed
from shared.ids import uuid7
from shared.models.api import Page, page_of, read_cursor
from shared.models.workflow import (
    TriggerInput,
    VersionOutput,
    VersionSummary,
    WorkflowInput,
    WorkflowOutput,
    WorkflowPatch,
    WorkflowSummary,
)
from shared.tenant import Caller

SQL = statements.load("workflow_api")


def list_workflows(
    caller: Caller, name: str | None, is_active: bool | None, cursor: str | None, limit: int
) -> Page[WorkflowSummary]:
    """The caller's workflows, newest first, a page at a time."""
    at, before = read_cursor(cursor, datetime, UUID)
    rows = caller.call(
        SQL["list_workflows"],
        {"name": name, "is_active": is_active, "at": at, "before": before, "limit": limit + 1},
    )
    return page_of(WorkflowSummary, rows, limit, "created_at", "id")


def create_workflow(caller: Caller, new: WorkflowInput, deployed: frozenset[str]) -> WorkflowOutput:
    """A new workflow at version 1, or :class:`~shared.workflow.graph.GraphError` with every mistake in its graph."""
    check_graph(new.graph_config, deployed)
    trigger = new.trigger_config.model_dump(mode="json", exclude_unset=True)
    [row] = caller.call(
        SQL["create_workflow"],
        {
            "id": uuid7(),
            "name": new.name,
            "description": new.description,
            "is_active": new.is_active,
            "graph": new.graph_config,
            "trigger": trigger,
            "schedule": trigger_schedule(trigger),
        },
    )
    return WorkflowOutput(**row)


def read_workflow(caller: Caller, id_: UUID) -> WorkflowOutput:
    """One workflow."""
    return WorkflowOutput(**only(caller.call(SQL["read_workflow"], {"id": id_}), "workflow"))


def update_workflow(
    caller: Caller, id_: UUID, patch: WorkflowPatch, expected: int | None, deployed: frozenset[str]
) -> WorkflowOutput:
    """The workflow with its changes.

    ``expected`` (the If-Match header) and ``patch.version`` say which version the change is based on;
    :class:`PreconditionFailed` when it is another by now.
    """
    changes = patch.changes()
    named = changes.pop("version", None)
    if expected is not None and named is not None and expected != named:
        raise PreconditionFailed("If-Match and version name different versions.", remedy="Send one of them.")
    if patch.graph_config is not None:
        check_graph(patch.graph_config, deployed)
    if patch.trigger_config is not None:
        changes["trigger_config"] = patch.trigger_config.model_dump(mode="json", exclude_unset=True)
        changes["schedule"] = trigger_schedule(changes["trigger_config"])
    [row] = caller.call(
        SQL["update_workflow"],
        {"id": id_, "changes": changes, "expected": expected if expected is not None else named},
    )
    return WorkflowOutput(**row)


def delete_workflow(caller: Caller, id_: UUID, force: bool) -> None:
    """The workflow is gone, with its versions, triggers and runs."""
    caller.call(SQL["delete_workflow"], {"id": id_, "force": force})


def list_versions(caller: Caller, id_: UUID, cursor: str | None, limit: int) -> Page[VersionSummary]:
    """A workflow's versions, newest first, a page at a time."""
    (before,) = read_cursor(cursor, int)
    rows = caller.call(SQL["list_versions"], {"workflow": id_, "before": before, "limit": limit + 1})
    return page_of(VersionSummary, below(rows, "version", "workflow"), limit, "version")


def read_version(caller: Caller, id_: UUID, version: int) -> VersionOutput:
    """One version."""
    rows = caller.call(SQL["read_version"], {"workflow": id_, "version": version})
    return VersionOutput(**only(rows, "version"))


def restore_version(
    caller: Caller, id_: UUID, version: int, expected: int | None, deployed: frozenset[str]
) -> WorkflowOutput:
    """The workflow with an old version's graph and trigger, as a new version. What no longer passes is not restored."""
    old = read_version(caller, id_, version)
    check_graph(old.graph_config, deployed)
    [row] = caller.call(
        SQL["restore_version"],
        {"id": id_, "version": version, "expected": expected, "schedule": trigger_schedule(old.trigger_config)},
    )
    return WorkflowOutput(**row)


def check_graph(graph_config: Any, deployed: frozenset[str]) -> tuple[str, int, int]:
    """The entry and the number of nodes and edges of a graph without mistakes.

    Raises :class:`~shared.workflow.graph.GraphError` with the path of every mistake from ``graph_config`` on.
    """
    from shared.workflow.graph import GraphError, parse  # all node types with it: only for who saves a graph

    try:
        graph = parse(graph_config, deployed=deployed)
    except GraphError as error:
        for mistake in error.errors:
            mistake["path"] = f"graph_config.{mistake['path']}" if mistake["path"] else "graph_config"
        raise
    return graph.entry, len(graph.nodes), sum(len(node.outgoing) for node in graph.nodes.values())


def trigger_schedule(trigger: Any) -> dict[str, Any] | None:
    """What ``millrace.keep_trigger_schedule`` takes: the schedule that a trigger_config asks for, or None."""
    from shared.cron import next_fire

    if not isinstance(trigger, Mapping) or trigger.get("type") != "schedule" or not trigger.get("cron"):
        return None
    wanted = TriggerInput.model_validate(trigger)
    assert wanted.cron is not None
    return {
        "id": str(uuid7()),
        "cron_expression": wanted.cron,
        "timezone": wanted.timezone,
        "next_run_at": next_fire(wanted.cron, wanted.timezone, datetime.now(UTC)).isoformat(),
    }
