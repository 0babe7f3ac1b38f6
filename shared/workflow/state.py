"""Where a run stands: which steps ended, which are open, which come next.

Everything here follows from the graph, the steps that ended and the frontier, so it is rebuilt at each claim and never
stored. The rule of joins: an edge is taken or dead once its source ended; a node is ready when all its incoming edges
are decided and one of them is taken, and dead, with all its edges, when none is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.workflow.graph import ERROR_BRANCH, Graph
from shared.workflow.node import Json


@dataclass(slots=True)
class OpenStep:
    """A step that began and has not ended; the frontier keeps it by its node's id."""

    attempt: int = 1
    iteration: int = 0
    due: datetime | None = None  #: call (again) at this time
    signal: str | None = None  #: or when a signal of this type comes
    state: dict[str, Json] | None = None  #: what the node kept when it began to wait
    job: str | None = None  #: the job that does the work
    since: datetime | None = None  #: when the step first began, where that is not this invocation
    started: bool = False  #: an at-most-once effect may be under way
    in_doubt: bool = False  #: its worker was lost while it was; a person decides

    def to_json(self) -> dict[str, Json]:
        kept: dict[str, Json] = {"attempt": self.attempt}
        for name in ("iteration", "signal", "state", "job", "started", "in_doubt"):
            if value := getattr(self, name):
                kept[name] = value
        for name in ("due", "since"):
            if value := getattr(self, name):
                kept[name] = value.isoformat()
        return kept

    @classmethod
    def from_json(cls, kept: dict[str, Json]) -> OpenStep:
        step = cls(**kept)
        step.due = datetime.fromisoformat(kept["due"]) if "due" in kept else None
        step.since = datetime.fromisoformat(kept["since"]) if "since" in kept else None
        return step

    def callable(self, now: datetime) -> bool:
        """Whether its node may be called (again): it is due, or never had to wait."""
        if self.in_doubt:
            return False
        if self.due is not None:
            return self.due <= now
        return self.signal is None and self.job is None


@dataclass(slots=True)
class RunState:
    """A run's position in its graph. ``steps`` are rows of ``executionstep``, in order."""

    graph: Graph
    open: dict[str, OpenStep] = field(default_factory=dict)
    nodes: dict[str, dict[str, Json]] = field(default_factory=dict)  #: ended: {output, branch, status}, for expressions
    variables: dict[str, Json] = field(default_factory=dict)
    ready: deque[str] = field(default_factory=deque)
    seq: int = 0  #: of the last step that ended
    last: str | None = None  #: node that ended last
    _undecided: dict[str, int] = field(default_factory=dict)  #: incoming edges not yet decided, by node id
    _taken: dict[str, list[str]] = field(default_factory=dict)  #: sources of taken edges, by target

    @classmethod
    def restore(cls, graph: Graph, steps: list[dict[str, Any]], frontier: dict[str, Any]) -> RunState:
        run = cls(graph)
        run._undecided = {id_: len(node.incoming) for id_, node in graph.nodes.items()}
        run.ready.append(graph.entry)
        for step in steps:
            run.seq = max(run.seq, step["seq"])
            run.variables.update(step["variables"] or {})
            if step["status"] == "completed" or step["branch"] == ERROR_BRANCH:
                run.end(step["node_id"], step["output"], step["branch"], step["status"])
        run.open = {id_: OpenStep.from_json(kept) for id_, kept in frontier.items()}
        run.ready = deque(id_ for id_ in run.ready if id_ not in run.nodes and id_ not in run.open)
        return run

    def end(self, node_id: str, output: Json, branch: str | None, status: str) -> None:
        """A step ended: decide its edges, and append to ``ready`` what became ready."""
        self.nodes[node_id] = {"output": output, "branch": branch, "status": status}
        self.last = node_id
        self.open.pop(node_id, None)
        failed = branch == ERROR_BRANCH and status == "failed"
        self._decide(
            (
                edge.target,
                node_id if (edge.branch == ERROR_BRANCH) == failed and edge.branch in (None, branch) else None,
            )
            for edge in self.graph.nodes[node_id].outgoing
        )

    def _decide(self, edges: Any) -> None:
        decided = deque(edges)
        while decided:
            target, source = decided.popleft()
            if source is not None:
                self._taken.setdefault(target, []).append(source)
            self._undecided[target] -= 1
            if self._undecided[target]:
                continue
            if self._taken.get(target):
                self.ready.append(target)
            else:
                decided.extend((edge.target, None) for edge in self.graph.nodes[target].outgoing)

    def inputs(self, node_id: str) -> dict[str, Json]:
        """Output of each node with a taken edge into this one, by node id, in the order of its incoming edges."""
        taken = self._taken.get(node_id, ())
        return {
            edge.source: self.nodes[edge.source]["output"]
            for edge in self.graph.nodes[node_id].incoming
            if edge.source in taken
        }

    def output(self) -> Json:
        """What the run gives: the output of its last node; by node id where it ended in several places."""
        ends = {
            id_: kept["output"]
            for id_, kept in self.nodes.items()
            if not any(edge.target in self.nodes for edge in self.graph.nodes[id_].outgoing)
        }
        return next(iter(ends.values())) if len(ends) == 1 else ends

    def frontier(self) -> dict[str, Json]:
        return {id_: step.to_json() for id_, step in self.open.items()}

    def due(self) -> datetime | None:
        """When the first open step wants to be called again, if any does without news."""
        return min(
            (step.due for step in self.open.values() if step.due is not None and not step.in_doubt), default=None
        )
