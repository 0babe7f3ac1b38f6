"""What the tests of the three intakes share: events as AWS sends them, and a workflow to start."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from tests.cluster import TestDatabase, User

EVENTS = Path(__file__).parent / "events"


def event(name: str) -> Any:
    """A payload that AWS or a provider sends, from ``tests/events``."""
    return json.loads((EVENTS / f"{name}.json").read_text())


class Context:
    """Of an invocation, what the face reads."""

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def make_workflow(db: TestDatabase, user: User, **columns: Any) -> uuid.UUID:
    """An active workflow with one saved version: a trigger and a node after it."""
    id_, version = uuid.uuid4(), uuid.uuid4()
    graph = {
        "nodes": [
            {"node_id": "start", "node_type": "trigger", "config": {}},
            {"node_id": "next", "node_type": "set_variable", "config": {"variable_name": "x", "variable_value": 1}},
        ],
        "edges": [{"from": "start", "to": "next"}],
    }
    row: dict[str, Any] = {
        "id": id_, "owner_id": user.id, "name": "w", "is_active": True, "version": 1, "graph_config": graph,
        "trigger_config": {"type": "webhook"},
    } | columns  # fmt: skip
    names = ", ".join(row)
    marks = ", ".join(f"%({name})s" for name in row)
    db.owner.execute(f"insert into workflow ({names}) values ({marks})", row)
    db.owner.execute(
        "insert into workflowversion (id, owner_id, workflow_id, version, graph) values (%s, %s, %s, 1, %s)",
        [version, user.id, id_, graph],
    )
    db.owner.execute("update workflow set version_id = %s where id = %s", [version, id_])
    return id_
