"""A workflow as a file: YAML or JSON (which is YAML), with the line of every part, to point at mistakes."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.cli.exits import Exit, Failure

#: The file's own keys; the API's body has the same names.
KEYS = frozenset({"name", "description", "is_active", "graph_config", "trigger_config"})


class JsonLoader(yaml.SafeLoader):
    """YAML that means what JSON would: ``on`` and ``2026-01-01`` are strings, only true and false are booleans."""


JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("bool", "timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
JsonLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), ["t", "f"])


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """The decoded file. ``lines`` maps dotted paths (``graph_config.nodes.2.config.url``) to line numbers from 1."""

    name: str  #: of the file, as it was given
    body: dict[str, Any]
    lines: dict[str, int]

    def where(self, path: str) -> str:
        """``file:line path`` for the nearest part of ``path`` that stands in the file."""
        probe = path
        while probe not in self.lines and "." in probe:
            probe = probe.rpartition(".")[0]
        line = self.lines.get(probe)
        return f"{self.name}:{line} {path}" if line else f"{self.name} {path}"


def read_workflow(path: Path) -> WorkflowFile:
    """Read and decode ``path`` (``-`` is standard input). Anything unreadable is a usage :class:`Failure`."""
    name = "standard input" if str(path) == "-" else str(path)
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Failure(f"{name} cannot be read: {reason}.", exit_code=Exit.USAGE) from error
    try:
        tree = yaml.compose(text, Loader=JsonLoader)
        body = yaml.load(text, Loader=JsonLoader)  # noqa: S506 (a SafeLoader that knows fewer types)
        json.dumps(body, allow_nan=False)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise Failure(
            f"{where} is neither YAML nor JSON: {getattr(error, 'problem', None) or error}.", exit_code=Exit.USAGE
        ) from error
    except (RecursionError, TypeError, ValueError) as error:  # too deep, a set, NaN, an alias to what contains it
        raise Failure(f"{name} holds what JSON cannot: {error}.", exit_code=Exit.USAGE) from error
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        raise Failure(
            f"{name} is not a workflow: it has no `name`.",
            remedy="A workflow file has the keys name, graph_config and, if wanted, description, trigger_config, "
            "is_active.",
            exit_code=Exit.USAGE,
        )
    lines: dict[str, int] = {}
    _note_lines(tree, "", lines, set())
    if unknown := sorted(set(body) - KEYS):
        raise Failure(
            f"{name} has keys that a workflow does not: {', '.join(map(str, unknown))}.",
            remedy=f"Known keys: {', '.join(sorted(KEYS))}.",
            errors=[
                {"where": f"{name}:{lines.get(str(key), 1)}", "message": f"unknown key {key!r}"} for key in unknown
            ],
            exit_code=Exit.USAGE,
        )
    return WorkflowFile(name, body, lines)


def _note_lines(tree: yaml.Node | None, path: str, lines: dict[str, int], met: set[int]) -> None:
    """Note the line of ``tree`` and of everything in it. What an alias repeats is noted where it is first met."""
    if tree is None or id(tree) in met:
        return
    met.add(id(tree))
    lines.setdefault(path, tree.start_mark.line + 1)
    prefix = f"{path}." if path else ""
    if isinstance(tree, yaml.MappingNode):
        for key, value in tree.value:
            lines[f"{prefix}{key.value}"] = key.start_mark.line + 1
            _note_lines(value, f"{prefix}{key.value}", lines, met)
    elif isinstance(tree, yaml.SequenceNode):
        for index, value in enumerate(tree.value):
            _note_lines(value, f"{prefix}{index}", lines, met)
