"""Expressions compiled: the paths they name become variables of their own, and what was compiled is kept."""

from __future__ import annotations

import json
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shared.expressions.bounds import appended, survey
from shared.expressions.mistakes import ExpressionError, mistake
from shared.expressions.tree import Call, Constant, Fold, ListOf, MapOf, Name, Select, Tree, Unsupported, read, write
from shared.settings import ExpressionSettings

NAMES = ("trigger", "nodes", "variables", "execution")
ITEM_NAMES = ("item", "index", "accumulator")

_KEPT_PROGRAMS = 2048
_KEPT_SOURCE = 256 * 1024  #: characters of all kept programs together, each of which takes up to 100 bytes

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset({"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in"})
_RESERVED |= {"let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while"}


@dataclass(frozen=True, slots=True)
class Slot:
    """A path that the expression names, as one variable of the program."""

    name: str
    kind: str  #: value, has (a bool), size (an int)
    path: tuple[str | int, ...]

    @property
    def source(self) -> str:
        """The path as one would write it."""
        first, *rest = self.path
        return str(first) + "".join(
            f".{part}" if isinstance(part, str) and IDENTIFIER.match(part) else f"[{json.dumps(part)}]" for part in rest
        )


@dataclass(frozen=True, slots=True)
class Program:
    compiled: Any
    tree: Tree
    slots: tuple[Slot, ...]
    references: int  #: how often the tree names something
    grows: bool  #: whether it has loops, or functions that make more than they read
    portioned: str | None  #: the slot whose list may be handed over in portions


def check(source: str, names: Collection[str] = (*NAMES, *ITEM_NAMES)) -> None:
    """Raise :class:`ExpressionError` when ``source`` is not a valid expression over ``names``."""
    _compile(source, tuple(names))


class Programs:
    """The programs used last, bounded by their number and the length of their sources."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], Program] = OrderedDict()
        self._length = 0
        self._lock = threading.Lock()

    def get(self, source: str, names: tuple[str, ...]) -> Program:
        key = (source, names)
        with self._lock:
            program = self._kept.get(key)
            if program is not None:
                self._kept.move_to_end(key)
                return program
        program = _compile(source, _with_defaults(names))
        with self._lock:
            if key not in self._kept:
                self._length += len(source)
            self._kept[key] = program
            while len(self._kept) > _KEPT_PROGRAMS or self._length > _KEPT_SOURCE:
                (dropped, _), _ = self._kept.popitem(last=False)
                self._length -= len(dropped)
        return program


_programs = Programs()
#: The program of a source over these names; the default names are always known.
program_of = _programs.get


@lru_cache(maxsize=256)
def _with_defaults(names: tuple[str, ...]) -> tuple[str, ...]:
    others = (name for name in names if IDENTIFIER.match(name) and name not in _RESERVED)
    return tuple(sorted({*NAMES, *ITEM_NAMES, *others}))


@lru_cache(maxsize=64)
def _environment(names: tuple[str, ...]) -> Any:
    from cel_expr_python import cel  # type: ignore[import-untyped]
    from cel_expr_python.ext import ext_math, ext_strings  # type: ignore[import-untyped]

    def mixed(function: str, name: str, apply: Any) -> Any:
        int_, double = cel.Type.INT, cel.Type.DOUBLE
        return cel.FunctionDecl(
            function,
            [
                cel.Overload(f"{name}_{left.name()}_{right.name()}".lower(), double, [left, right], impl=apply)
                for left, right in ((int_, double), (double, int_))
            ],
        )

    numbers = cel.CelExtension(
        "numbers",
        [
            mixed("_+_", "add", lambda left, right: float(left) + float(right)),
            mixed("_-_", "subtract", lambda left, right: float(left) - float(right)),
            mixed("_*_", "multiply", lambda left, right: float(left) * float(right)),
            mixed("_/_", "divide", lambda left, right: _divide(float(left), float(right))),
        ],
    )
    return cel.NewEnv(
        variables=dict.fromkeys(names, cel.Type.DYN),
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath(), numbers],
    )


def _divide(left: float, right: float) -> float:
    """As IEEE 754 has it, and CEL with it."""
    if right:
        return left / right
    return math.nan if left == 0 or left != left else math.copysign(math.inf, left) * math.copysign(1, right)


def _compile(source: str, names: tuple[str, ...]) -> Program:
    longest = ExpressionSettings.load().expression_characters
    if len(source) > longest:
        raise ExpressionError(f"An expression has at most {longest} characters; this has {len(source)}.")
    if not source.strip():
        raise ExpressionError("The expression is empty.")
    if "\0" in source:
        raise ExpressionError("The expression holds the character \\u0000.")
    try:
        source.encode()
    except UnicodeEncodeError:
        raise ExpressionError("The expression holds half of a surrogate pair.") from None
    environment = _environment(names)
    try:
        checked = environment.compile(source)
    except RuntimeError as error:
        raise mistake(str(error), names) from None
    paths = _Paths(frozenset(names))
    try:
        tree = paths.rewrite(read(checked.serialize()), frozenset())
        references, grows = survey(tree)
    except Unsupported as error:
        raise ExpressionError(f"Expressions do not offer {error}.") from None
    return Program(
        compiled=environment.deserialize(write(tree)),
        tree=tree,
        slots=tuple(paths.slots.values()),
        references=references,
        grows=grows,
        portioned=_portioned(tree),
    )


class _Paths:
    """Replaces each path over a variable by a variable of its own."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self.slots: dict[tuple[Any, ...], Slot] = {}

    def rewrite(self, tree: Tree, bound: frozenset[str]) -> Tree:
        """``tree`` over slots; ``bound`` are the loop variables around it, which hide ours of the same name."""
        path = self._path(tree, bound)
        if path is not None:
            return self._slot("value", path)
        match tree:
            case Select(operand, field, test):
                path = self._path(operand, bound) if test else None
                if path is not None:
                    return self._slot("has", (*path, field))
                return Select(self.rewrite(operand, bound), field, test)
            case Call(function, target, arguments):
                if function == "size":
                    path = self._path(tree.operands[0], bound)
                    if path is not None:
                        return self._slot("size", path)
                return Call(
                    function,
                    None if target is None else self.rewrite(target, bound),
                    tuple(self.rewrite(each, bound) for each in arguments),
                )
            case ListOf(elements):
                return ListOf(tuple(self.rewrite(each, bound) for each in elements))
            case MapOf(entries):
                return MapOf(tuple((self.rewrite(key, bound), self.rewrite(value, bound)) for key, value in entries))
            case Fold(variable, items, accumulator, initial, condition, step, result):
                inside = bound | {variable, accumulator}
                return Fold(
                    variable,
                    self.rewrite(items, bound),
                    accumulator,
                    self.rewrite(initial, bound),
                    self.rewrite(condition, inside),
                    self.rewrite(step, inside),
                    self.rewrite(result, inside),
                )
        return tree

    def _path(self, tree: Tree, bound: frozenset[str]) -> tuple[str | int, ...] | None:
        parts: list[str | int] = []
        while True:
            match tree:
                case Name(name):
                    return (name, *reversed(parts)) if name in self._names and name not in bound else None
                case Select(operand, field, False):
                    parts.append(field)
                    tree = operand
                case Call("_[_]", None, (operand, Constant(value=str() | int() as part))) if not (
                    isinstance(part, int) and part < 0
                ):
                    parts.append(part)
                    tree = operand
                case _:
                    return None

    def _slot(self, kind: str, path: tuple[str | int, ...]) -> Name:
        slot = self.slots.setdefault((kind, *path), Slot(f"@{len(self.slots)}", kind, path))
        return Name(slot.name)


def _portioned(tree: Tree) -> str | None:
    """The slot over which ``tree`` is a map, a filter or a row of them, if it is named nowhere else in it."""
    inner = tree
    while isinstance(inner, Fold) and appended(inner) is not None:
        inner = inner.items
    if isinstance(inner, Name) and inner is not tree and inner.name.startswith("@") and _count(tree, inner.name) == 1:
        return inner.name
    return None


def _count(tree: Tree, name: str) -> int:
    match tree:
        case Name():
            return int(tree.name == name)
        case Select():
            return _count(tree.operand, name)
        case Call():
            return sum(_count(each, name) for each in tree.operands)
        case ListOf():
            return sum(_count(each, name) for each in tree.elements)
        case MapOf():
            return sum(_count(each, name) for entry in tree.entries for each in entry)
        case Fold():
            return sum(_count(each, name) for each in (tree.items, tree.condition, tree.step))
        case _:
            return 0
