"""Graphs for tests: only the interesting part is written out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from shared.workflow.graph import GraphError, parse


def node(id_: str, type_: str = "get_variable", **config: Any) -> dict[str, Any]:
    """A node as the builder saves it; without a type, one that is always right."""
    if type_ == "get_variable":
        config.setdefault("name", "any")
    return {"node_id": id_, "node_type": type_, "position_x": 0, "position_y": 0, "config": config}


def edge(source: str, target: str, branch: Any = None) -> dict[str, Any]:
    """An edge as the builder saves it."""
    return {"from": source, "to": target} | ({} if branch is None else {"branch": branch})


def chain(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A graph in which each node leads to the next."""
    ids = [one["node_id"] for one in nodes]
    return {"nodes": list(nodes), "edges": [edge(a, b) for a, b in pairwise(ids)], **more}


def mistakes(config: Any, **options: Any) -> dict[str, str]:
    """Every mistake in a graph: path to message; empty when it has none."""
    try:
        parse(config, **options)
    except GraphError as error:
        found: dict[str, str] = {}
        for mistake in error.errors:
            found[mistake["path"]] = "\n".join(filter(None, (found.get(mistake["path"]), mistake["message"])))
        return found
    return {}
