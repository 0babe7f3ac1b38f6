"""How much an expression may handle, known before it runs.

CEL ends, but not soon enough: ``[s].map(b, b + b).map(b, b + b)…`` doubles a string with each of its few letters, and
lists that share their parts are compared part by part. The evaluator bounds iterations, not bytes. So the work of an
expression is bounded from above beforehand, from its tree and the true sizes of the data it reads: each operation
counts the bytes that it reads or makes. What might exceed the limit is refused without being run.

The bound of a loop rests on one observation: everything counted here grows with the size of an element as a sum of
products, so it is convex. Over elements of total size S the sum is then at most that of one element of size S and the
others empty, which takes two looks at the body instead of one for each element.

Sizes are of values in memory, and as trees: a part that is shared counts as often as it is seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from shared.expressions.tree import Call, Constant, Fold, ListOf, MapOf, Name, Select, Tree, Unsupported

SCALAR = 16  #: bytes of a number, a bool, null, and beside the bytes of anything else

_STEP = 64  #: what looking at any node costs, in bytes handled: about a tenth of a microsecond
_ARITHMETIC = 256  #: int and double mixed go through Python
_ZONE = 4096  #: a time zone is looked up by name

_PATTERN_STEP = 64  #: compiling one instruction of a regular expression, in bytes handled
_PATTERN_LARGEST = 300_000  #: instructions; RE2 gives up about there
_REPEATED = re.compile(r"\{(\d+)(?:,(\d*))?\}")

#: Loops inside loops; each level doubles the looks at the innermost body.
DEEPEST = 6


class TooMuch(Exception):
    """The work may exceed the limit."""


class Extent(NamedTuple):
    """An upper bound of a value: its bytes, and how many elements it has if it is a list or map."""

    size: float
    length: float


_ONE = Extent(SCALAR, 0)

#: Functions that give a number, a bool, a timestamp or the like, whatever they read.
_SCALAR = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_&&_", "_||_", "!_", "@in", "@not_strictly_false"})
_SCALAR |= {"size", "contains", "startsWith", "endsWith", "indexOf", "lastIndexOf"}
_SCALAR |= {"int", "uint", "double", "bool", "timestamp", "duration"}
_SCALAR |= {"math.@max", "math.@min", "math.abs", "math.ceil", "math.floor", "math.round", "math.trunc", "math.sign"}
_SCALAR |= {"math.sqrt", "math.isNaN", "math.isInf", "math.isFinite"}
_SCALAR |= {"math.bitAnd", "math.bitOr", "math.bitXor", "math.bitNot", "math.bitShiftLeft", "math.bitShiftRight"}
_ARITHMETICAL = frozenset({"_-_", "_*_", "_/_", "_%_", "-_"})
_TIMES = frozenset({"getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"})
_TIMES |= {"getHours", "getMinutes", "getSeconds", "getMilliseconds"}
#: Functions whose result is no larger than twice their first operand, and a little.
_SAME = frozenset({"dyn", "type", "string", "bytes", "lowerAscii", "upperAscii", "trim", "charAt", "substring"})
_SAME |= {"reverse", "strings.quote"}
_OTHERS = frozenset({"_+_", "_?_:_", "_[_]", "matches", "split", "join", "replace"})

FUNCTIONS = _SCALAR | _ARITHMETICAL | _TIMES | _SAME | _OTHERS

#: Functions whose result may be larger than what they read together.
_GROWING = frozenset({"split", "join", "replace", "matches"})


def survey(tree: Tree) -> tuple[int, bool]:
    """How often ``tree`` names something, and whether its work may grow beyond that times what it names.

    Raises :class:`Unsupported` for a function or a form of loop that the bounds do not know, and loops too deep.
    """
    return _survey(tree, 0)


def _survey(tree: Tree, loops: int) -> tuple[int, bool]:
    match tree:
        case Constant():
            return 0, False
        case Name():
            return 1, False
        case Select(operand=operand):
            return _survey(operand, loops)
        case Call(function=function):
            if function not in FUNCTIONS:
                raise Unsupported(f"the function {function}")
            parts = [_survey(each, loops) for each in tree.operands]
            return sum(count for count, _ in parts), function in _GROWING or any(grows for _, grows in parts)
        case ListOf(elements=elements):
            parts = [_survey(each, loops) for each in elements]
            return sum(count for count, _ in parts), any(grows for _, grows in parts)
        case MapOf(entries=entries):
            parts = [_survey(each, loops) for entry in entries for each in entry]
            return sum(count for count, _ in parts), any(grows for _, grows in parts)
        case Fold():
            if loops >= DEEPEST:
                raise Unsupported(f"more than {DEEPEST} loops inside each other")
            appended(tree)
            for each in (tree.condition, tree.step):
                _survey(each, loops + 1)
            _survey(tree.items, loops)
            return 1, True


def appended(fold: Fold) -> Tree | None:
    """What a ``map`` or ``filter`` adds to its list for an element; None for a loop that makes a scalar.

    Raises :class:`Unsupported` for any other loop.
    """
    if isinstance(fold.initial, ListOf) and not fold.initial.elements:
        step = fold.step
        if isinstance(step, Call) and step.function == "_?_:_" and step.arguments[2] == Name(fold.accumulator):
            step = step.arguments[1]
        match step:
            case Call("_+_", None, (Name(name), ListOf() as addition)) if name == fold.accumulator:
                return addition
    elif isinstance(fold.initial, Constant):
        return None
    raise Unsupported("this kind of loop")


class Meter:
    """Counts the work of one evaluation, over one tree or several, against ``limit`` bytes."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.spent = 0.0

    def add(self, tree: Tree, extents: Mapping[str, Extent]) -> None:
        """Count ``tree`` over values of these extents by name; :class:`TooMuch` when the limit may be exceeded.

        Its value counts too, for that is copied out, shared parts as often as they are seen.
        """
        self._spend(self._extent(tree, extents).size)

    def _spend(self, size: float) -> None:
        self.spent += size
        if self.spent > self.limit:
            raise TooMuch

    def _extent(self, tree: Tree, extents: Mapping[str, Extent]) -> Extent:
        self._spend(_STEP)
        match tree:
            case Constant(message=message):
                return Extent(SCALAR + len(message), 0)
            case Name(name=name):
                return extents.get(name, _ONE)
            case Select(operand=operand, test=test):
                size = self._extent(operand, extents).size
                return _ONE if test else _part(size)
            case Call():
                return self._call(tree, [self._extent(each, extents) for each in tree.operands])
            case ListOf(elements=elements):
                parts = [self._extent(each, extents).size for each in elements]
                self._spend(SCALAR * len(parts))
                return Extent(SCALAR + sum(parts), len(parts))
            case MapOf(entries=entries):
                parts = [self._extent(each, extents).size for entry in entries for each in entry]
                self._spend(SCALAR * len(parts))
                return Extent(SCALAR + sum(parts), len(entries))
            case Fold():
                return self._fold(tree, extents)

    def _call(self, call: Call, operands: list[Extent]) -> Extent:
        sizes = [operand.size for operand in operands]
        function = call.function
        if function == "_?_:_":
            return Extent(max(sizes[1:]), max(operands[1].length, operands[2].length))
        if function == "_[_]":
            return _part(sizes[0])
        read = sum(sizes)
        self._spend(read)
        if function in _SCALAR:
            return _ONE
        if function in _ARITHMETICAL:
            self._spend(_ARITHMETIC)
            return _ONE
        if function in _TIMES:
            self._spend(_ZONE if len(sizes) > 1 else _STEP)
            return _ONE
        match function:
            case "matches":
                self._spend(_PATTERN_STEP * _instructions(call.operands[1]))
                return _ONE
            case "_+_":
                self._spend(_ARITHMETIC)
                made = Extent(read, operands[0].length + operands[1].length)
            case "split":  # at worst each byte becomes a string of its own
                made = Extent((SCALAR * 2 + 1) * sizes[0], sizes[0])
            case "join":
                made = Extent(SCALAR + sizes[0] + operands[0].length * (sizes[1] if len(sizes) > 1 else 0), 0)
            case "replace":  # at worst an empty string is replaced, between any two bytes
                made = Extent((sizes[0] + 1) * (sizes[2] + 1), 0)
            case _:  # one of _SAME, as survey() has made sure
                made = _part(SCALAR * 4 + 2 * sizes[0])
        self._spend(made.size)
        return made

    def _fold(self, fold: Fold, extents: Mapping[str, Extent]) -> Extent:
        items = self._extent(fold.items, extents)
        if items.length == 0:
            return Extent(SCALAR, 0)
        before = self.spent
        empty = self._once(fold, extents, Extent(0, 0))
        least = self.spent - before
        full = self._once(fold, extents, _part(items.size))
        self._spend(max(0, items.length - 2) * least)  # one empty element is counted already, and the full one
        if appended(fold) is None:
            return _ONE
        # The evaluator copies the list for each element that it appends.
        self._spend(SCALAR * items.length * items.length)
        return Extent(SCALAR + max(0, items.length - 1) * empty + full, items.length)

    def _once(self, fold: Fold, extents: Mapping[str, Extent], element: Extent) -> float:
        """The size of what one round of the loop appends; its work is counted."""
        inside = {**extents, fold.variable: element, fold.accumulator: _ONE}
        self._extent(fold.condition, inside)
        made = self._extent(fold.step, inside).size
        return max(SCALAR, made - 2 * SCALAR)  # without the accumulator, and the list around the element


def _part(size: float) -> Extent:
    """Something in a value of this size, or the value, of which no more is known."""
    return Extent(size, size / SCALAR)


def _instructions(pattern: Tree) -> float:
    """An upper bound of a regular expression's program, which is compiled at each call."""
    text = pattern.value if isinstance(pattern, Constant) else None
    if not isinstance(text, str):
        return _PATTERN_LARGEST
    size = len(text) + 300.0 * (text.count("\\p") + text.count("\\P"))
    for least, most in _REPEATED.findall(text[:1000]):
        size *= max(1, int(least), int(most or 0))
        if size > _PATTERN_LARGEST:
            break
    return min(size, _PATTERN_LARGEST)
