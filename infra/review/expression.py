"""Expressions as Postgres deparses them, brought to one form.

A rule that went through `pg_dump`, or through one of our remedies, is parsed anew, and Postgres then writes the same
rule otherwise: chains of AND lose their inner parentheses, and the cast of a list of words moves to each word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = r"'(?:[^']|'')*'"
_CAST_LIST = re.compile(rf"\((ARRAY\[(?:{_WORD}::character varying(?:, )?)+\])\)::text\[\]")
_CAST_WORD = re.compile(rf"\(({_WORD})::character varying\)::text")
_TOKEN = re.compile(rf'{_WORD}|"(?:[^"]|"")*"|[()]|[^\s()\'"]+')

_Tree = list["str | _Tree"]


def settled(text: str) -> str:
    """``text`` in the one form: equal for two rules that differ only in how they were written down."""
    text = _CAST_LIST.sub(lambda match: match[1].replace("::character varying", "::text"), text)
    text = _CAST_WORD.sub(r"\1::text", text)
    return " ".join(_written(_flat(_parsed(iter(_TOKEN.findall(text))))))


def _parsed(tokens: Iterator[str]) -> _Tree:
    tree: _Tree = []
    for part in tokens:
        if part == ")":
            break
        tree.append(_parsed(tokens) if part == "(" else part)
    return tree


def _flat(tree: _Tree) -> _Tree:
    """The same without parentheses that say nothing: a group in a group, an AND in an AND, an OR in an OR."""
    made: _Tree = []
    for part in tree:
        if isinstance(part, str):
            made.append(part)
            continue
        inner = _flat(part)
        if len(inner) == 1 and isinstance(inner[0], list):
            inner = inner[0]
        made.append(inner)
    joined = _joined(made)
    if joined is None:
        return made
    return [one for part in made for one in (part if isinstance(part, list) and _joined(part) == joined else [part])]


def _joined(tree: _Tree) -> str | None:
    """AND or OR, when that alone joins what is on this level: groups, or single words."""
    if len(tree) < 3 or len(tree) % 2 == 0:
        return None
    joints = set(map(str, tree[1::2]))
    groups = all(isinstance(part, list) or part not in ("AND", "OR", "NOT") for part in tree[::2])
    return joints.pop() if groups and joints in ({"AND"}, {"OR"}) else None


def _written(tree: _Tree) -> Iterator[str]:
    for part in tree:
        if isinstance(part, str):
            yield part
        else:
            yield "("
            yield from _written(part)
            yield ")"
