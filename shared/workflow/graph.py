"""From a saved ``graph_config`` to a graph that can be run, or every mistake in it at once.

Both shapes that the old system wrote are read: ``nodes`` as a list of ``{node_id, node_type, config}`` beside
``edges``, and ``nodes`` as a dict of id to ``{node_type, config, next}``. The result is what the engine drives: nodes
with typed config, and edges by their ends.

A run takes an edge when its source is done and the edge has no branch or the branch that the source chose; an edge with
branch ``error`` is taken instead of the others when its source failed for good. An edge not taken is dead. A node is
ready when each incoming edge is taken or dead and at least one was taken; it is dead itself when all are. So the graph
must be without cycles, and each node must be reachable from the entry.

Mistakes are ``{"path": where in graph_config, "message": what is wrong}``, with ``"node"`` where one is concerned.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from shared import expressions, strict_json
from shared.errors import Invalid
from shared.settings import GraphSettings
from shared.workflow import foreign
from shared.workflow.node import REGISTRY, Effect, NodeConfig, NodeType
from shared.workflow.nodes import operands  # the package registers the node types
from shared.workflow.retry import DEFAULT, RetryPolicy

#: The branch that is followed when a node failed after its last attempt. Every node has it; none may name its own so.
ERROR_BRANCH = "error"

LONGEST_TIMEOUT_SECONDS = 366 * 86_400

M = TypeVar("M", bound=BaseModel)

_GRAPH_KEYS = ("nodes", "edges", "entry_node_id", "timeout_seconds", "dependencies", "use_langgraph")
_NODE_KEYS = (
    *("node_id", "id", "node_type", "type", "config", "retry", "timeout_seconds", "next"),
    *("name", "label", "description", "position", "position_x", "position_y"),
)
_NODE_KEYS_IN_CONFIG = ("retry", "timeout_seconds")
_EDGE_KEYS = ("from", "source", "to", "target", "branch", "condition", "id", "label")
_NODE_PARTS = ("output", "branch", "status")  # what an expression finds under ``nodes.<id>``
_LOOPS = frozenset({"loop", "for", "while", "repeat"})
_NODE_ID = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
_ITEM_NAME = re.compile(rf"\b(?:{'|'.join(expressions.ITEM_NAMES)})\b")
_NODE_REFERENCE = re.compile(
    r"""(?<![\w.])nodes\s*(?:\.\s*(?P<name>[A-Za-z_]\w*)|\[\s*(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')\s*\])"""
    r"""(?:\s*\.\s*(?P<part>[A-Za-z_]\w*))?"""
    r"""|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""  # other text in quotes is passed over, whatever it says
)


#: More mistakes than these are counted, not listed.
MOST_MISTAKES = 100
MOST_SUGGESTIONS = 20
LONGEST_SUGGESTED = 64


class GraphError(Invalid):
    """The workflow's graph has mistakes."""


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node to another; ``branch`` None is followed whenever its source succeeded."""

    source: str
    target: str
    branch: str | None = None


@dataclass(eq=False, slots=True)
class Node:
    """One node, ready to be run."""

    id: str
    type: NodeType
    config: NodeConfig
    raw: dict[str, Any]  #: as it was saved
    retry: RetryPolicy
    timeout_seconds: float | None  #: of one attempt; None for the engine's own default
    effect: Effect
    outgoing: list[Edge] = field(default_factory=list)
    incoming: list[Edge] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Graph:
    """A validated graph."""

    nodes: dict[str, Node]
    entry: str
    timeout_seconds: float | None  #: of a whole run
    dependencies: tuple[str, ...]  #: ids of workflows this one says it depends on; kept as data


def parse(graph_config: Any, *, deployed: Collection[str] | None = None, limits: GraphSettings | None = None) -> Graph:
    """The graph that ``graph_config`` describes, or :class:`GraphError` with every mistake in ``errors``.

    ``deployed`` names the capabilities whose nodes may be used; None leaves that unchecked, as for a version that was
    checked when it was saved. ``limits`` are the process's own settings unless given.
    """
    return _Reader(limits or GraphSettings.load(), deployed).graph(graph_config)


class _Reader:
    """Reads one graph_config; what is wrong is noted and reading goes on."""

    def __init__(self, limits: GraphSettings, deployed: Collection[str] | None) -> None:
        self.limits = limits
        self.deployed = deployed
        self.mistakes: list[dict[str, Any]] = []
        self.declared: dict[str, str] = {}  # every node id, wrong nodes included, to its path
        self.nodes: dict[str, Node] = {}  # the right ones
        self.types: dict[str, str] = {}  # what each says its type is, wrong nodes included
        self.edges: dict[Edge, str] = {}  # each to its path; a repetition says nothing new
        self.referred: list[tuple[str, str, str]] = []  # node, path, source of each good expression

    def wrong(self, path: str, message: str, node: str | None = None) -> None:
        mistake = {"path": path, "message": message}
        if node is not None:
            mistake["node"] = node
        self.mistakes.append(mistake)

    def nearest(self, name: str, known: Iterable[str]) -> str:
        """What may have been meant, for the first few mistakes: comparing thousands of names takes minutes."""
        if len(self.mistakes) >= MOST_SUGGESTIONS or len(name) > LONGEST_SUGGESTED:
            return ""
        names = [one for one in known if abs(len(one) - len(name)) <= LONGEST_SUGGESTED // 4]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""

    def graph(self, config: Any) -> Graph:
        if not isinstance(config, dict):
            self.wrong("", "a graph is an object with `nodes` and `edges`")
            raise self.refusal()
        if not self.measured(config):
            raise self.refusal()
        for key in config:
            if key not in _GRAPH_KEYS:
                self.wrong(
                    str(key), f"unknown key{self.nearest(str(key), _GRAPH_KEYS)}; a graph has {_names(_GRAPH_KEYS)}"
                )
        self.read_nodes(config.get("nodes"))
        self.read_edges(config.get("edges"))
        timeout = self.timeout(config.get("timeout_seconds"), "timeout_seconds")
        dependencies = self.dependencies(config.get("dependencies"))
        if not isinstance(config.get("use_langgraph"), bool | None):
            self.wrong("use_langgraph", "must be true or false; it is kept and has no effect")
        for edge in self.edges:
            for node, ends in ((edge.source, "outgoing"), (edge.target, "incoming")):
                if node in self.nodes:
                    getattr(self.nodes[node], ends).append(edge)
        self.check_branches()
        self.check_references()
        entry = self.entry(config.get("entry_node_id"))
        self.check_paths(entry)
        if self.mistakes or entry is None:  # no entry is a mistake as well
            raise self.refusal()
        return Graph(self.nodes, entry, timeout, dependencies)

    def refusal(self) -> GraphError:
        count = len(self.mistakes)
        first = self.mistakes[0]
        shown = self.mistakes[:MOST_MISTAKES]
        if count > len(shown):
            shown = [*shown, {"path": "", "message": f"and {count - len(shown)} more"}]
        where = f"{first['path']}: " if first["path"] else ""
        others = f" (and {count - 1} more)" if count > 1 else ""
        return GraphError(f"The graph has mistakes. {where}{first['message']}{others}", errors=shown)

    # --- the whole

    def measured(self, config: dict[str, Any]) -> bool:
        """Whether the graph is JSON of a bearable size; otherwise nothing else about it is worth reading."""
        nodes, edges = config.get("nodes"), config.get("edges")
        for name, part, most in (("nodes", nodes, self.limits.graph_nodes), ("edges", edges, self.limits.graph_edges)):
            if isinstance(part, list | dict) and len(part) > most:
                self.wrong(name, f"a graph has at most {most} {name}, this one has {len(part)}")
        if self.mistakes:
            return False
        try:
            strict_json.check(config)
            size = len(json.dumps(config, separators=(",", ":")))
        except Invalid as error:
            for fault in error.errors or [{"path": "", "message": "is nested too deeply"}]:
                self.wrong(fault["path"], fault["message"])
        except (TypeError, ValueError) as error:
            self.wrong("", f"is not JSON: {error}")
        else:
            if size > self.limits.graph_bytes:
                self.wrong("", f"a graph takes at most {self.limits.graph_bytes} bytes, this one takes {size}")
        return not self.mistakes

    def timeout(self, value: Any, path: str, node: str | None = None) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_TIMEOUT_SECONDS:
            self.wrong(path, f"must be a number of seconds above 0, at most {LONGEST_TIMEOUT_SECONDS}", node)
            return None
        return float(value)

    def dependencies(self, value: Any) -> tuple[str, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            self.wrong("dependencies", "must be a list of workflow ids")
            return ()
        for index, item in enumerate(value):
            path = f"dependencies.{index}"
            try:
                UUID(item if isinstance(item, str) else "")
            except ValueError:
                self.wrong(path, "must be a workflow's id (a UUID)")
            else:
                if item in value[:index]:
                    self.wrong(path, f"{item} is named twice")
        return tuple(item for item in value if isinstance(item, str))

    # --- nodes

    def read_nodes(self, nodes: Any) -> None:
        if not isinstance(nodes, list | dict) or not nodes:
            self.wrong("nodes", "a graph needs at least one node: a list of {node_id, node_type, config}")
            return
        if isinstance(nodes, list):
            for index, raw in enumerate(nodes):
                path = f"nodes.{index}"
                if not isinstance(raw, dict):
                    self.wrong(path, "a node is an object with `node_id`, `node_type` and `config`")
                    continue
                self.read_node(self.either(raw, path, "node_id", "id"), raw, path)
        else:
            for node_id, raw in nodes.items():
                path = f"nodes.{node_id}"
                if not isinstance(raw, dict):
                    self.wrong(path, "a node is an object with `node_type`, `config` and `next`")
                    continue
                own = self.either(raw, path, "node_id", "id")
                if own is not None and own != node_id:
                    self.wrong(path, f"is named {own!r} inside; a node's key is its id", node_id)
                self.read_node(node_id, raw, path)

    def either(self, raw: dict[str, Any], path: str, name: str, other: str) -> Any:
        """What stands under ``name`` or under its other name."""
        value, second = raw.get(name), raw.get(other)
        if value is not None and second is not None and value != second:
            self.wrong(f"{path}.{other}", f"says other than `{name}`; keep one of them")
        return second if value is None else value

    def read_node(self, node_id: Any, raw: dict[str, Any], path: str) -> None:
        if not isinstance(node_id, str) or not _NODE_ID.fullmatch(node_id):
            self.wrong(f"{path}.node_id", "a node needs an id: text of 1 to 255 characters, without control characters")
            return
        if node_id in self.declared:  # its config is looked at all the same
            self.wrong(f"{path}.node_id", f"{node_id!r} is already the id of {self.declared[node_id]}", node_id)
        self.declared.setdefault(node_id, path)
        for key in raw:
            if key not in _NODE_KEYS:
                self.wrong(f"{path}.{key}", f"unknown key{self.nearest(key, _NODE_KEYS)}", node_id)
        self.read_next(node_id, raw.get("next"), path)

        kind = self.kind(node_id, self.either(raw, path, "node_type", "type"), path)
        config = raw.get("config")
        if config is None:
            config = {}
        if not isinstance(config, dict):
            self.wrong(f"{path}.config", "must be an object", node_id)
            return
        accepted = _accepted(kind.config) if kind else None
        retry = self.beside(node_id, raw, config, accepted, path, "retry")
        policy = self.model(RetryPolicy, retry[0], retry[1], node_id) if retry else DEFAULT
        timeout = self.beside(node_id, raw, config, accepted, path, "timeout_seconds")
        seconds = self.timeout(timeout[0], timeout[1], node_id) if timeout else None
        if kind is None or accepted is None:
            return
        # These two may stand in the config, as in the old system, without being the node type's own.
        own = {key: value for key, value in config.items() if key in accepted or key not in _NODE_KEYS_IN_CONFIG}
        typed = self.model(kind.config, own, f"{path}.config", node_id)
        if typed:
            as_written = {accepted[key]: key for key in own}
            sources = {_renamed(where, as_written): text for where, text in kind.expressions(typed).items()}
        else:
            sources = operands.written(kind.config, own)
        self.check_expressions(node_id, kind, sources, f"{path}.config")
        if typed is None or policy is None:
            return
        if ERROR_BRANCH in kind.branches(typed):
            message = f"a branch may not be named {ERROR_BRANCH!r}: that is the failed step's"
            self.wrong(f"{path}.config", message, node_id)
        self.nodes.setdefault(node_id, Node(node_id, kind, typed, raw, policy, seconds, kind.effect(typed)))

    def kind(self, node_id: str, name: Any, path: str) -> NodeType | None:
        if not isinstance(name, str):
            self.wrong(f"{path}.node_type", "a node needs a type", node_id)
            return None
        self.types.setdefault(node_id, name)
        kind = REGISTRY.get(name)
        if kind is None:
            reason = foreign.not_deployed(name) or f"unknown node type {name!r}{self.nearest(name, REGISTRY)}"
            self.wrong(f"{path}.node_type", reason, node_id)
        elif kind.capability and self.deployed is not None and kind.capability not in self.deployed:
            message = f"node type {name!r} needs the capability {kind.capability!r}, which is not deployed"
            self.wrong(f"{path}.node_type", message, node_id)
        return kind

    def beside(
        self,
        node_id: str,
        raw: dict[str, Any],
        config: dict[str, Any],
        accepted: Collection[str] | None,
        path: str,
        key: str,
    ) -> tuple[Any, str] | None:
        """What the node says under ``key``, on itself or in its config, and where; None if it does not."""
        inside = config.get(key) if accepted is not None and key not in accepted else None
        outside = raw.get(key)
        if inside is not None and outside is not None:
            self.wrong(f"{path}.{key}", f"is also in config.{key}; keep one of them", node_id)
        if outside is not None:
            return outside, f"{path}.{key}"
        return None if inside is None else (inside, f"{path}.config.{key}")

    def model(self, model: type[M], value: Any, path: str, node_id: str) -> M | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            found: dict[str, list[str]] = {}
            for problem in error.errors(include_url=False, include_context=False):
                key = problem["loc"][-1] if problem["loc"] else ""
                message = problem["msg"].removeprefix("Value error, ")
                if problem["type"] == "extra_forbidden":
                    message = self.unknown_key(model, str(key)) if len(problem["loc"]) == 1 else "unknown key"
                elif problem["type"] == "missing":
                    message = "is required"
                where = ".".join((path, *map(str, _written(problem["loc"], value))))
                found.setdefault(where, []).append(message)
            for where, messages in found.items():
                self.wrong(where, ", or ".join(dict.fromkeys(messages)), node_id)
            return None

    def unknown_key(self, model: type[BaseModel], key: str) -> str:
        accepted = _accepted(model)
        if key in accepted:
            return f"says the same as {accepted[key]!r}; keep one of them"
        nearest = self.nearest(key, accepted)
        return f"unknown key{nearest}" if nearest else f"unknown key; it takes {_names(model.model_fields)}"

    def check_expressions(self, node_id: str, kind: NodeType, sources: dict[str, str], path: str) -> None:
        for where, source in sources.items():
            try:
                expressions.check(source)
                if not kind.config.names and _ITEM_NAME.search(source):
                    expressions.check(source, expressions.NAMES)
            except expressions.ExpressionError as error:
                advice = foreign.remedy(source)
                self.wrong(f"{path}.{where}", f"{error.detail}; {advice}" if advice else error.detail, node_id)
            else:
                self.referred.append((node_id, f"{path}.{where}", source))

    def check_references(self) -> None:
        for node_id, path, source in self.referred:
            if "nodes" not in source:
                continue
            for name, part in dict.fromkeys(_references(source)):
                if name not in self.declared:
                    self.wrong(path, f"there is no node {name!r}{self.nearest(name, self.declared)}", node_id)
                elif part is not None and part not in _NODE_PARTS:
                    here = f"nodes.{name}" if name.isidentifier() else f"nodes[{name!r}]"
                    self.wrong(path, f"{here} has {_names(_NODE_PARTS)}; write {here}.output.{part}", node_id)

    # --- edges

    def read_next(self, node_id: str, value: Any, path: str) -> None:
        if value is None:
            return
        targets = value if isinstance(value, list) else [value]
        for index, target in enumerate(targets):
            where = f"{path}.next.{index}" if isinstance(value, list) else f"{path}.next"
            if isinstance(target, str):
                self.edges.setdefault(Edge(node_id, target), where)
            else:
                self.wrong(where, "must be a node's id", node_id)

    def read_edges(self, edges: Any) -> None:
        if edges is not None and not isinstance(edges, list):
            self.wrong("edges", "must be a list of {from, to, branch}")
            edges = []
        for index, raw in enumerate(edges or ()):
            path = f"edges.{index}"
            if not isinstance(raw, dict):
                self.wrong(path, "an edge is an object with `from`, `to` and, if need be, `branch`")
                continue
            for key in raw:
                if key not in _EDGE_KEYS:
                    self.wrong(f"{path}.{key}", f"unknown key{self.nearest(key, _EDGE_KEYS)}")
            source = self.either(raw, path, "from", "source")
            target = self.either(raw, path, "to", "target")
            branch = self.either(raw, path, "branch", "condition")
            if isinstance(branch, bool):
                branch = "true" if branch else "false"
            ends = (("from", source), ("to", target))
            unnamed = [name for name, value in ends if not isinstance(value, str)]
            for name in unnamed:
                self.wrong(f"{path}.{name}", "must be a node's id")
            if branch is not None and not isinstance(branch, str):
                self.wrong(f"{path}.branch", "must be a branch's name")
            elif not unnamed:
                self.edges.setdefault(Edge(source, target, branch or None), path)
        for edge, path in self.edges.items():
            inward = ".next" in path
            for end, value in (("from", edge.source), ("to", edge.target)):
                if value not in self.declared:
                    where = path if inward else f"{path}.{end}"
                    self.wrong(where, f"there is no node {value!r}{self.nearest(value, self.declared)}")
            if edge.source == edge.target:
                self.wrong(path, f"leads from {edge.source!r} to itself", edge.source)

    def check_branches(self) -> None:
        for edge, path in self.edges.items():
            node = self.nodes.get(edge.source)
            if node is None or edge.branch is None:
                continue
            branches = (*node.type.branches(node.config), ERROR_BRANCH)
            if edge.branch not in branches:
                takes = f"{node.id!r} ({node.type.name}) takes {_names(branches)}"
                self.wrong(
                    f"{path}.branch", f"{takes}, not {edge.branch!r}{self.nearest(edge.branch, branches)}", node.id
                )

    # --- paths

    def entry(self, named: Any) -> str | None:
        """Where a run begins: the node that is named so, else the one trigger, else the one node nothing leads to."""
        if named is not None:
            if isinstance(named, str) and named in self.declared:
                return named
            nearest = self.nearest(named, self.declared) if isinstance(named, str) else ""
            self.wrong("entry_node_id", f"there is no node {named!r}{nearest}")
            return None
        if not self.declared:
            return None
        triggers = [node for node, name in self.types.items() if name == "trigger"]
        targets = {edge.target for edge in self.edges}
        candidates = triggers or [node for node in self.declared if node not in targets]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            what = "triggers" if triggers else "nodes that no edge leads to"
            why = f"there are {len(candidates)} {what}: {_names(candidates)}"
        else:
            why = "there is no trigger, and an edge leads to every node"
        self.wrong("entry_node_id", f"where does a run begin? {why}; name one in `entry_node_id`")
        return None

    def check_paths(self, entry: str | None) -> None:
        following: dict[str, list[str]] = {node: [] for node in self.declared}
        for edge in self.edges:
            if edge.source in following and edge.target in following and edge.source != edge.target:
                following[edge.source].append(edge.target)
        paths = {(edge.source, edge.target): path for edge, path in self.edges.items()}
        for cycle in _cycles(following):
            if any(self.types.get(node) in _LOOPS for node in cycle):
                continue  # such a cycle is a loop's own way back, and the loop is refused already
            path = paths[cycle[-1], cycle[0]]
            middle = cycle if len(cycle) <= 20 else [*cycle[:10], "…", *cycle[-9:]]
            way = " -> ".join(map(repr, (*middle, cycle[0])))
            self.wrong(path, f"closes a cycle outside a loop: {way}", cycle[-1])
        if entry is None:
            return
        reached = {entry}
        waiting = deque(reached)
        while waiting:
            for target in following[waiting.popleft()]:
                if target not in reached:
                    reached.add(target)
                    waiting.append(target)
        for node, path in self.declared.items():
            if node not in reached:
                self.wrong(path, f"{node!r} cannot be reached from {entry!r}, where a run begins", node)


def _cycles(following: dict[str, list[str]]) -> Iterator[list[str]]:
    """One cycle for each edge that leads back onto the way it came; none exactly when there are none."""
    done: set[str] = set()
    for start in following:
        if start in done:
            continue
        way = [start]  # how we came to where we are, and beside it what is still to be followed from each
        place = {start: 0}
        rest = [iter(following[start])]
        while way:
            target = next(rest[-1], None)
            if target is None:
                rest.pop()
                left = way.pop()
                del place[left]
                done.add(left)
            elif target in place:
                yield way[place[target] :]
            elif target not in done:
                place[target] = len(way)
                way.append(target)
                rest.append(iter(following[target]))


def _references(source: str) -> Iterator[tuple[str, str | None]]:
    """The node ids that an expression names as ``nodes.id`` or ``nodes["id"]``, each with what it selects of them."""
    for match in _NODE_REFERENCE.finditer(source):
        if match["name"]:
            yield match["name"], match["part"]
        elif match["quoted"] and "\\" not in match["quoted"]:
            yield match["quoted"][1:-1], match["part"]


def _accepted(model: type[BaseModel]) -> dict[str, str]:
    """Every key that a model takes, old names included, with the field each is."""
    known = _ACCEPTED.get(model)
    if known is None:
        known = {}
        for name, info in model.model_fields.items():
            known[name] = name
            for alias in getattr(info.validation_alias, "choices", ()):
                known[str(alias)] = name
        _ACCEPTED[model] = known
    return known


_ACCEPTED: dict[type[BaseModel], dict[str, str]] = {}


def _written(location: Iterable[int | str], value: Any) -> Iterator[int | str]:
    """The parts of a pydantic location that are in the written value; it also names the alternatives of a union."""
    for part in location:
        if isinstance(value, dict) and isinstance(part, str):
            if part in value:
                value = value[part]
                yield part
            else:
                yield part
                return
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
            yield part


def _renamed(path: str, names: dict[str, str]) -> str:
    """``path`` with its first part under the name that stands in the config, which may be an old one."""
    first, dot, rest = path.partition(".")
    return f"{names.get(first, first)}{dot}{rest}"


def _names(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every if len(every) <= 20 else [*every[:20], f"and {len(every) - 20} more"])
