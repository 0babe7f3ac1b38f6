"""CEL expressions over a run's data: what a condition, a filter or a ``{{ template }}`` says.

CEL (https://github.com/google/cel-spec) ends always, has no host objects and no side effects; ``cel-expr-python``, of
the same project, evaluates it. Offered are CEL's standard functions and macros and its string and math extensions, but
for ``format``.

**Names.** ``trigger``, ``nodes``, ``variables``, ``execution``; inside map, filter and reduce also ``item``, ``index``
and ``accumulator``. Any other key of the context that is an identifier is a name too.

**Numbers.** A JSON number that is whole and fits 64 bits is an ``int`` however it was written (``3``, ``3.0``,
``3e0``), any other a ``double``. Beyond CEL, ``+ - * /`` take an int and a double together and give a double, for
whether a price is 3 or 2.5 is an accident of data. Two ints divide to an int.

**Values.** A timestamp comes out as RFC 3339, a duration as ``3.5s``, bytes as base64, an int key as a string, as in
protobuf's JSON. A value that JSON or Postgres cannot hold (NaN, ``\\u0000``, a type) is an error.

**Cost.** An expression is compiled once and kept. The paths it names (``nodes.http.output.body``) are looked up in
Python, and only what lies at their ends is handed over: evaluating costs microseconds however large the context is, and
the context may be any mapping of JSON values, changed freely between calls. ``has`` and ``size`` of a path hand over
nothing but their answer.

**Bounds** (``ExpressionSettings``). The source's length and the evaluator's own limits (nesting 32, iterations 10,000);
the bytes read; the work, by ``shared.expression_bounds``, before anything runs: so much memory at most, and some tenths
of a second; the bytes of the result. A ``map`` or ``filter`` over a path goes through in portions, for the evaluator
takes quadratic time and memory to build a list.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shared import strict_json
from shared.errors import Invalid
from shared.expression_bounds import SCALAR, Extent, Meter, TooMuch, appended, survey
from shared.expression_tree import Call, Constant, Fold, ListOf, MapOf, Name, Select, Tree, Unsupported, read, write
from shared.settings import ExpressionSettings

Json = Any  #: what ``json.loads`` gives

NAMES = ("trigger", "nodes", "variables", "execution")
ITEM_NAMES = ("item", "index", "accumulator")

DEEPEST_VALUE = strict_json.MAX_DEPTH + 16  #: lists and maps inside each other: as deep as may come in, in ours

_PORTIONS_WORK = 4  #: times the work of one, by all portions of a list together: their memory is given back in between

_KEPT_PROGRAMS = 2048
_KEPT_SOURCE = 256 * 1024  #: characters of all kept programs together, each of which takes up to 100 bytes
_PORTION = 64  #: elements of a list that one evaluation of a map or filter sees
_NO_METER = 256 * 1024  #: bytes of all that is named, below which an expression without loops may do as it likes

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset({"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in"})
_RESERVED |= {"let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while"}
_INT_LEAST, _INT_MOST = -(2**63), 2**63 - 1


class ExpressionError(Invalid):
    """The expression is not valid, or has no value over this data."""

    slug = "invalid-expression"


class _Missing(Exception):
    """There is nothing at a path."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """A path that the expression names, as one variable of the program."""

    name: str
    kind: str  #: value, has (a bool), size (an int)
    path: tuple[str | int, ...]

    @property
    def source(self) -> str:
        """The path as one would write it."""
        first, *rest = self.path
        return str(first) + "".join(
            f".{part}" if isinstance(part, str) and _IDENTIFIER.match(part) else f"[{json.dumps(part)}]"
            for part in rest
        )


@dataclass(frozen=True, slots=True)
class _Program:
    compiled: Any
    tree: Tree
    slots: tuple[_Slot, ...]
    references: int  #: how often the tree names something
    grows: bool  #: whether it has loops, or functions that make more than they read
    portioned: str | None  #: the slot whose list may be handed over in portions


# -- evaluating -----------------------------------------------------------------------------------------------------


def evaluate(source: str, context: Mapping[str, Json]) -> Json:
    """The JSON value of ``source`` over ``context``, or :class:`ExpressionError` with what is wrong."""
    program = _program(source, tuple(context))
    data: dict[str, Json] = {}
    extents: dict[str, Extent] = {}
    total = largest = 0
    for slot in program.slots:
        try:
            value, extent = _bind(slot, context)
        except _Missing:
            continue  # an error only if the expression comes to look at it
        data[slot.name] = value
        extents[slot.name] = extent
        size = int(extent.size)
        total += size
        largest = max(largest, size)
    bounds = ExpressionSettings.load()
    if total > bounds.expression_input_bytes:
        raise _reads_too_much(bounds.expression_input_bytes)
    if isinstance(program.tree, Name) and program.tree.name in data:
        return data[program.tree.name]  # as it is, looked at already; nothing is made of it
    if program.portioned is not None and extents.get(program.portioned, _SCALAR_EXTENT).length > _PORTION:
        return _in_portions(program, data, extents)
    if program.grows or program.references * largest > _NO_METER:
        _measure_work(program, extents, Meter(bounds.expression_work_bytes))
    value = _run(program, data)
    if value is None or type(value) is bool or type(value) is int:
        return value
    return _Export().value(value)


def _run(program: _Program, data: dict[str, Json]) -> Any:
    """The program's value as the evaluator gives it."""
    try:
        result = program.compiled.eval(data=data)
        value = result.plain_value()
    except (RuntimeError, ValueError, OverflowError) as error:
        raise ExpressionError(_explain(str(error), program)) from None
    if type(value) is str and result.type().name() == "ERROR":
        raise ExpressionError(_explain(value, program))
    return value


def _in_portions(program: _Program, data: dict[str, Json], extents: dict[str, Extent]) -> Json:
    """A map or filter over a long list: the results over its portions, one after the other.

    For each element these look at that element alone, so nothing tells them the portion from the list.
    """
    assert program.portioned is not None
    elements = data[program.portioned]
    most = ExpressionSettings.load().expression_work_bytes
    work = 0.0
    export = _Export()
    result: list[Json] = []
    for start in range(0, len(elements), _PORTION):
        portion = elements[start : start + _PORTION]
        meter = Meter(min(most, _PORTIONS_WORK * most - work))
        _measure_work(program, {**extents, program.portioned: Extent(_survey(portion)[0], len(portion))}, meter)
        work += meter.spent
        result += export.value(_run(program, {**data, program.portioned: portion}))
    return result


def _measure_work(program: _Program, extents: Mapping[str, Extent], meter: Meter) -> None:
    try:
        meter.add(program.tree, extents)
    except TooMuch:
        raise ExpressionError(
            "The expression may take too much time or memory over this data.",
            remedy="Do it in steps, with map, filter or reduce nodes.",
        ) from None


def _bind(slot: _Slot, context: Mapping[str, Json]) -> tuple[Json, Extent]:
    """What the program gets for a path, with its extent; _Missing when there is nothing."""
    path = slot.path
    try:
        value = context[path[0]]  # type: ignore[index]  # the first part is a name
    except KeyError:
        raise _Missing from None
    last = path[-1]
    for part in path[1:-1] if slot.kind == "has" else path[1:]:
        value = _at(value, part)
    if slot.kind == "value":
        return _imported(value)
    if slot.kind == "size":
        if isinstance(value, str | list | tuple | dict):
            return len(value), _SCALAR_EXTENT
        raise _Missing
    if isinstance(value, dict):
        return last in value, _SCALAR_EXTENT
    raise _Missing


_SCALAR_EXTENT = Extent(SCALAR, 0)


def _at(value: Json, part: str | int) -> Json:
    if isinstance(value, dict):
        if isinstance(part, str) and part in value:
            return value[part]
    elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
        return value[part]
    raise _Missing


# -- values on their way in and out -----------------------------------------------------------------------------------


def _imported(value: Json) -> tuple[Json, Extent]:
    """A JSON value as the evaluator takes it, by the rule for numbers, and its extent in memory."""
    kind = type(value)
    if kind is bool or value is None:
        return value, _SCALAR_EXTENT
    if kind is str:
        return value, Extent(_text_size(value), 0)
    if kind is int or kind is float:
        return _number(value), _SCALAR_EXTENT
    size, exact = _survey(value)
    return (value if exact else _rebuilt(value)), Extent(size, len(value))


def _number(value: float) -> float:
    if isinstance(value, int):
        try:
            return value if _INT_LEAST <= value <= _INT_MOST else float(value)
        except OverflowError:
            raise ExpressionError("A number is too large.") from None
    if value - value != 0:
        raise ExpressionError("NaN and infinity are no JSON numbers.")
    return int(value) if value.is_integer() and _INT_LEAST <= value <= _INT_MOST else value


def _text_size(value: str) -> int:
    if "\0" in value:  # the evaluator would take the string to end there
        raise ExpressionError("The data holds the character \\u0000, which cannot be kept.")
    if value.isascii():
        return SCALAR + len(value)
    try:
        return SCALAR + len(value.encode())
    except UnicodeEncodeError:
        raise ExpressionError("The data holds half of a surrogate pair.") from None


def _survey(value: Json) -> tuple[int, bool]:
    """The size of a list or map in memory, and whether the evaluator may have it as it is.

    Raises :class:`ExpressionError` for what is no JSON, too large, or too deep. It goes level by level, so that depth
    costs no stack.
    """
    most = ExpressionSettings.load().expression_input_bytes
    size, exact = 0, True
    level: list[Json] = [value]
    for _ in range(DEEPEST_VALUE):
        below: list[Json] = []
        for part in level:
            kind = type(part)
            if kind is str:
                size += _text_size(part)
            elif kind is dict:
                size += SCALAR
                below += part.values()
                for key in part:
                    if type(key) is not str:
                        raise ExpressionError("A map's key is not a string.")
                    size += _text_size(key)
            elif kind is list:
                size += SCALAR
                below += part
            else:
                size += SCALAR
                if kind is float:
                    exact = exact and not (part.is_integer() and _INT_LEAST <= part <= _INT_MOST) and part - part == 0
                elif kind is int:
                    exact = exact and _INT_LEAST <= part <= _INT_MOST
                elif kind is tuple:
                    below += part
                    exact = False
                elif kind is not bool and part is not None:
                    raise ExpressionError(f"{kind.__name__} is no JSON value.")
        if size > most:
            raise _reads_too_much(most)
        if not below:
            return size, exact
        level = below
    raise ExpressionError(f"The data is nested more than {DEEPEST_VALUE} deep.")


def _rebuilt(value: Json) -> Json:
    """A copy of a list or map, already surveyed, in which numbers keep the rule."""
    if isinstance(value, dict):
        return {key: _rebuilt(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rebuilt(part) for part in value]
    return _number(value) if type(value) is float or type(value) is int else value


def _reads_too_much(most: int) -> ExpressionError:
    return ExpressionError(f"The expression reads more than {most} bytes.", remedy="Read less, or in steps.")


class _Export:
    """Results as JSON that Postgres can hold, all of them together within the largest result."""

    def __init__(self) -> None:
        self._most = self._left = ExpressionSettings.load().expression_result_bytes

    def value(self, value: Any, depth: int = 0) -> Json:
        """``value`` as JSON; :class:`ExpressionError` when there is none, or no room for it."""
        self._take(SCALAR)
        kind = type(value)
        if value is None or kind is bool or kind is int:
            return value
        if kind is str:
            self._take(len(value))
            if "\0" in value:
                raise ExpressionError("The result holds the character \\u0000, which cannot be kept.")
            return value
        if kind is float:
            if value - value != 0:
                raise ExpressionError("The result is NaN or infinite, which JSON cannot hold.")
            return value
        if kind is list or kind is dict:
            if depth >= DEEPEST_VALUE:
                raise ExpressionError(f"The result is nested more than {DEEPEST_VALUE} deep.")
            if kind is list:
                return [self.value(each, depth + 1) for each in value]
            return {self.value(_key(key)): self.value(each, depth + 1) for key, each in value.items()}
        if isinstance(value, bytes | bytearray):
            return self.value(base64.b64encode(value).decode())
        if isinstance(value, datetime.datetime):
            return value.isoformat().replace("+00:00", "Z")
        if isinstance(value, datetime.timedelta):
            return _seconds(value)
        raise ExpressionError("The result is a type, not a value.")

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ExpressionError(f"The result has more than {self._most} bytes.", remedy="Make it in steps.")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return str(key).lower() if isinstance(key, bool) else str(key)


def _seconds(duration: datetime.timedelta) -> str:
    micros = duration // datetime.timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}{micros // 1_000_000}.{micros % 1_000_000:06}".rstrip("0").rstrip(".") + "s"


# -- compiling --------------------------------------------------------------------------------------------------------


def check(source: str, names: Collection[str] = (*NAMES, *ITEM_NAMES)) -> None:
    """Raise :class:`ExpressionError` when ``source`` is not a valid expression over ``names``."""
    _compile(source, tuple(names))


class _Programs:
    """The programs used last, bounded by their number and the length of their sources."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], _Program] = OrderedDict()
        self._length = 0
        self._lock = threading.Lock()

    def get(self, source: str, names: tuple[str, ...]) -> _Program:
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


_programs = _Programs()
_program = _programs.get


@lru_cache(maxsize=256)
def _with_defaults(names: tuple[str, ...]) -> tuple[str, ...]:
    others = (name for name in names if _IDENTIFIER.match(name) and name not in _RESERVED)
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


def _compile(source: str, names: tuple[str, ...]) -> _Program:
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
        raise _mistake(str(error), names) from None
    paths = _Paths(frozenset(names))
    try:
        tree = paths.rewrite(read(checked.serialize()), frozenset())
        references, grows = survey(tree)
    except Unsupported as error:
        raise ExpressionError(f"Expressions do not offer {error}.") from None
    return _Program(
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
        self.slots: dict[tuple[Any, ...], _Slot] = {}

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
        slot = self.slots.setdefault((kind, *path), _Slot(f"@{len(self.slots)}", kind, path))
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


# -- saying what is wrong ---------------------------------------------------------------------------------------------

_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_STATUS = re.compile(r"\A(?:[A-Z_]+: )?(.*?)(?: \[[A-Z_]+\])?\Z", re.DOTALL)
_UNBOUND = re.compile(r'No value with name "(@\d+)" found in Activation')
_OVERLOAD = re.compile(r"No matching overloads found : (?:_?)(.*?)(?:_?)\((.*)\)\Z")


def _mistake(message: str, names: tuple[str, ...]) -> ExpressionError:
    """A compiler's complaint in one line, with the remedy where there is one."""
    remedy = None
    if "undeclared reference" in message:
        remedy = f"Known here: {', '.join(names)}."
    if "recursion" in message:
        return ExpressionError("The expression is nested too deeply.", remedy="Do it in steps, or use fewer operators.")
    places = _PLACE.findall(message)
    if not places:
        return ExpressionError(_STATUS.sub(r"\1", message)[:500])
    line, column, said = places[0]
    said = said.replace(" (in container '')", "").removesuffix(" [INVALID_ARGUMENT]")
    return ExpressionError(f"{said[:300]} (at {line}:{column}).", remedy=remedy)


def _explain(message: str, program: _Program) -> str:
    """An evaluator's complaint, with paths for slots and CEL's names for types."""
    sources = {slot.name: slot.source for slot in program.slots}
    if unbound := _UNBOUND.search(message):
        return f"There is no {sources.get(unbound[1], 'such value')}."
    said = _STATUS.sub(r"\1", message).strip()
    if "jump_condition" in said:
        return "A condition is neither true nor false."
    if "Iteration budget exceeded" in said:
        return "The expression loops more than 10,000 times."
    if overload := _OVERLOAD.match(said):
        operator = overload[1].replace("_", " ").strip()
        return f"{operator} does not take ({overload[2].replace('int64', 'int')})."
    said = re.sub(r"@\d+", lambda found: sources.get(found[0], found[0]), said)
    return f"{said[:300]}."


# -- templates --------------------------------------------------------------------------------------------------------


def parts(template: str) -> list[tuple[bool, str]]:
    """``template`` cut into ``(is an expression, text)``; ``{{`` without its ``}}`` is an :class:`ExpressionError`."""
    found: list[tuple[bool, str]] = []
    position = 0
    while True:
        start = template.find("{{", position)
        if start < 0:
            if position < len(template):
                found.append((False, template[position:]))
            return found
        if start > position:
            found.append((False, template[position:start]))
        end = _closing(template, start + 2)
        found.append((True, template[start + 2 : end].strip()))
        position = end + 2


def _closing(template: str, position: int) -> int:
    """Where the ``}}`` is that ends an expression: outside CEL's strings and its own braces."""
    depth = 0
    while position < len(template):
        char = template[position]
        if char in "\"'":
            position = _string_end(template, position)
            continue
        if char == "{":
            depth += 1
        elif char == "}":
            if depth:
                depth -= 1
            elif template.startswith("}}", position):
                return position
        position += 1
    raise ExpressionError("A template's {{ has no }}.")


def _string_end(template: str, start: int) -> int:
    """The position after the CEL string that begins at ``start``: one or three quotes, perhaps raw (``r'\\'``)."""
    quote = template[start]
    if template.startswith(quote * 3, start):
        quote *= 3
    prefix = template[max(0, start - 2) : start].lower()
    raw = prefix.endswith("r") or prefix == "rb"
    position = start + len(quote)
    while position < len(template):
        if template[position] == "\\" and not raw:
            position += 2
        elif template.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    return position


def render(value: Json, context: Mapping[str, Json]) -> Json:
    """``value`` with every ``{{ expression }}`` replaced, in depth; keys stay.

    A string that is one expression and nothing else becomes that expression's value, of any type. Elsewhere a string
    goes in as it is, null as nothing, anything else as JSON, a whole double without its ``.0``.
    """
    if isinstance(value, str):
        if "{{" not in value:
            return value
        pieces = parts(value)
        if len(pieces) == 1:
            return evaluate(pieces[0][1], context)
        return "".join(_text(evaluate(text, context)) if is_source else text for is_source, text in pieces)
    if isinstance(value, dict):
        return {key: render(item, context) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, context) for item in value]
    return value


def _text(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def sources(value: Json, path: str = "") -> list[tuple[str, str]]:
    """``(dotted path, source)`` of every expression in a templated value."""
    return list(_sources(value, path))


def _sources(value: Json, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if "{{" in value:
            yield from ((path, text) for is_source, text in parts(value) if is_source)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _sources(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _sources(item, f"{path}.{index}" if path else str(index))
