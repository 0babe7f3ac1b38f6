"""What becomes of the old workflows: each keeps what it holds as its first version, and those that can run, do.

The old engine fell back to the rows of ``workflownode`` when a graph listed no nodes; so such a workflow's first
version gets its nodes from there. A graph with mistakes stays as it is, and its workflow is switched off, so that
nothing starts what could only fail: its owner corrects and enables it. What the old system only stored and never did
is told, not done: a schedule in ``trigger_config`` starts when the workflow is saved again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.adopt.database import Connection, exists, has_column
from shared.workflow.graph import GraphError, parse

_WORKFLOWS = """
    select
        workflow.id,
        workflow.name,
        workflow.owner_id,
        workflow.is_active,
        workflow.graph_config,
        workflow.trigger_config,
        {version},
        case
            when jsonb_typeof(workflow.graph_config -> 'nodes') in ('array', 'object')
                and workflow.graph_config -> 'nodes' not in ('[]', '{{}}')
            then null
            else (
                select jsonb_agg(
                    jsonb_build_object(
                        'node_id', node.node_id,
                        'node_type', node.node_type,
                        'config', coalesce(node.config, '{{}}'),
                        'position_x', node.position_x,
                        'position_y', node.position_y
                    )
                    order by node.position_x, node.position_y, node.node_id
                )
                from public.workflownode as node
                where node.workflow_id = workflow.id
            )
        end as legacy_nodes
    from public.workflow
    {join}
    order by workflow.name, workflow.id
"""

_VERSION = "version.graph as present, version.id as version_id"
_JOIN = "left join public.workflowversion as version on version.id = workflow.version_id"
_NO_VERSION = "null::jsonb as present, null::uuid as version_id"

#: Only a first version that no run has used: versions never change.
_FILL = """
    update public.workflowversion as version
    set graph = %(graph)s
    where version.id = %(version_id)s
        and not exists (
            select
            from public.workflowexecution as execution
            where execution.workflow_id = version.workflow_id
                and execution.version_id = version.id
        )
"""


@dataclass(frozen=True)
class Definition:
    """An old workflow, and how it stands."""

    id: uuid.UUID
    name: str
    owner: uuid.UUID
    active: bool
    version: uuid.UUID | None
    graph: dict[str, Any]  #: what its version is to hold, if that is not what it holds
    fill: bool  #: the version holds something else, because the nodes were in a table of their own
    mistakes: list[dict[str, Any]] = field(default_factory=list)
    cron: str | None = None  #: the schedule it asks for, which the old system never ran


def read(connection: Connection) -> Iterator[Definition]:
    """Every workflow, checked."""
    if not exists(connection, "public.workflow"):
        return
    versioned = has_column(connection, "public.workflow", "version_id")
    query = _WORKFLOWS.format(version=_VERSION if versioned else _NO_VERSION, join=_JOIN if versioned else "")
    scheduled = _scheduled(connection)
    with connection.transaction(), connection.cursor("adopt_workflows") as cursor:
        for row in cursor.execute(query):
            legacy = row["legacy_nodes"] is not None and not _has_nodes(row["present"])
            base = row["graph_config"] if isinstance(row["graph_config"], dict) else {}
            graph = {**base, "nodes": row["legacy_nodes"]} if legacy else row["present"] or row["graph_config"] or {}
            trigger = row["trigger_config"] if isinstance(row["trigger_config"], dict) else {}
            cron = trigger.get("cron") or trigger.get("cron_expression")
            yield Definition(
                row["id"],
                row["name"],
                row["owner_id"],
                row["is_active"],
                row["version_id"],
                graph if legacy else {},
                legacy,
                mistakes(graph),
                str(cron) if cron and row["id"] not in scheduled else None,
            )


def _has_nodes(graph: Any) -> bool:
    return isinstance(graph, dict) and bool(graph.get("nodes"))


def _scheduled(connection: Connection) -> frozenset[uuid.UUID]:
    if not exists(connection, "public.workflowschedule"):
        return frozenset()
    return frozenset(
        row["workflow_id"] for row in connection.execute("select workflow_id from public.workflowschedule")
    )


def mistakes(graph: Any) -> list[dict[str, Any]]:
    """What is wrong with a graph, by path; nothing when it can run."""
    try:
        parse(graph)
    except GraphError as error:
        return error.errors
    return []


def settle(connection: Connection, definitions: list[Definition], progress: Callable[[int], None]) -> tuple[int, int]:
    """Fill the versions whose nodes were elsewhere and switch off what cannot run; how many of each."""
    from psycopg.types.json import Jsonb

    filled = stopped = 0
    for number, one in enumerate(definitions, 1):
        if one.fill and one.version is not None and not one.mistakes:
            filled += connection.execute(_FILL, {"graph": Jsonb(one.graph), "version_id": one.version}).rowcount
        if one.mistakes and one.active:
            stopped += connection.execute(
                "update public.workflow set is_active = false where id = %s and is_active", [one.id]
            ).rowcount
        progress(number)
    return filled, stopped
