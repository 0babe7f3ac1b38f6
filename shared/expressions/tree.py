"""A compiled CEL expression as a small tree that we may read and change.

``cel-expr-python`` parses and checks an expression and hands it out, and takes it back, as a serialized
``cel.expr.CheckedExpr`` (https://github.com/google/cel-spec, proto/cel/expr/{checked,syntax}.proto, wrapped in an
``Any``). The messages used are few, so that their wire format is read and written here and no protobuf runtime is
needed. Macros are already expanded: ``exists``, ``map`` and their kin arrive as :class:`Fold`.

Type and reference maps are left out when writing: the runtime then resolves functions by their arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_TYPE = b"type.googleapis.com/cel.expr.CheckedExpr"


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: ``message`` is its ``cel.expr.Constant``, ``value`` what Python makes of a string or an int."""

    message: bytes
    value: str | int | None


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.field``, or with ``test`` whether it is there: ``has(operand.field)``."""

    operand: Tree
    field: str
    test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments)``; a method's receiver is ``target``. Operators are functions too: ``_+_``, ``_[_]``."""

    function: str
    target: Tree | None
    arguments: tuple[Tree, ...]

    @property
    def operands(self) -> tuple[Tree, ...]:
        return self.arguments if self.target is None else (self.target, *self.arguments)


@dataclass(frozen=True, slots=True)
class ListOf:
    elements: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    entries: tuple[tuple[Tree, Tree], ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """A loop over ``items``: ``accumulator`` starts as ``initial`` and is ``step`` after each, while ``condition``."""

    variable: str
    items: Tree
    accumulator: str
    initial: Tree
    condition: Tree
    step: Tree
    result: Tree


Tree = Constant | Name | Select | Call | ListOf | MapOf | Fold


class Unsupported(Exception):
    """The expression uses a form that we do not offer; the message names it."""


def read(serialized: bytes) -> Tree:
    """The tree of ``Expression.serialize()``, or :class:`Unsupported`."""
    return _read(_message(_message(serialized, 2), 4))


def write(tree: Tree) -> bytes:
    """What ``Env.deserialize`` takes."""
    return _bytes(1, _TYPE) + _bytes(2, _bytes(4, _Writer().expression(tree)))


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """``(number, varint value, bytes value)`` of each field in order."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        match key & 7:
            case 0:
                number, position = _varint(message, position)
                yield key >> 3, number, b""
            case 1:
                yield key >> 3, 0, message[position : position + 8]
                position += 8
            case 2:
                length, position = _varint(message, position)
                yield key >> 3, 0, message[position : position + length]
                position += length
            case wire:
                raise Unsupported(f"an expression in wire type {wire}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7


def _message(message: bytes, wanted: int) -> bytes:
    return next((value for number, _, value in _fields(message) if number == wanted), b"")


def _read(expression: bytes) -> Tree:
    for number, _, message in _fields(expression):
        match number:
            case 2:  # the node's id
                continue
            case 3:
                return _constant(message)
            case 4:
                return Name(_message(message, 1).decode())
            case 5:
                return _select(message)
            case 6:
                return _call(message)
            case 7:
                return _list(message)
            case 8:
                return _map(message)
            case 9:
                return _fold(message)
    raise Unsupported("an empty expression")


def _constant(message: bytes) -> Constant:
    value: str | int | None = None
    for number, varint, data in _fields(message):
        if number == 3:
            value = varint - (1 << 64) if varint >> 63 else varint
        elif number == 6:
            value = data.decode()
    return Constant(message, value)


def _select(message: bytes) -> Select:
    operand: Tree | None = None
    field, test = "", False
    for number, varint, data in _fields(message):
        if number == 1:
            operand = _read(data)
        elif number == 2:
            field = data.decode()
        elif number == 3:
            test = bool(varint)
    assert operand is not None
    return Select(operand, field, test)


def _call(message: bytes) -> Call:
    target: Tree | None = None
    function = ""
    arguments = []
    for number, _, data in _fields(message):
        if number == 1:
            target = _read(data)
        elif number == 2:
            function = data.decode()
        elif number == 3:
            arguments.append(_read(data))
    return Call(function, target, tuple(arguments))


def _list(message: bytes) -> ListOf:
    elements = []
    for number, _, data in _fields(message):
        if number != 1:
            raise Unsupported("optional list elements")
        elements.append(_read(data))
    return ListOf(tuple(elements))


def _map(message: bytes) -> MapOf:
    entries = []
    for number, _, data in _fields(message):
        if number != 2:
            raise Unsupported("protobuf messages")
        key: Tree | None = None
        value: Tree | None = None
        for part, _, content in _fields(data):
            if part == 3:
                key = _read(content)
            elif part == 4:
                value = _read(content)
            elif part != 1:
                raise Unsupported("protobuf messages and optional entries")
        assert key is not None
        assert value is not None
        entries.append((key, value))
    return MapOf(tuple(entries))


def _fold(message: bytes) -> Fold:
    names = {1: "", 3: ""}
    trees: dict[int, Tree] = {}
    for number, _, data in _fields(message):
        if number in names:
            names[number] = data.decode()
        elif number in (2, 4, 5, 6, 7):
            trees[number] = _read(data)
        else:
            raise Unsupported("macros with two variables")
    return Fold(names[1], trees[2], names[3], trees[4], trees[5], trees[6], trees[7])


def _number(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _bytes(number: int, value: bytes) -> bytes:
    return _number(number << 3 | 2) + _number(len(value)) + value


class _Writer:
    """Writes expressions, numbering the nodes as it goes (the runtime wants ids, and wants them distinct)."""

    def __init__(self) -> None:
        self.id = 0

    def expression(self, tree: Tree) -> bytes:
        self.id += 1
        head = b"\x10" + _number(self.id)
        match tree:
            case Constant(message):
                return head + _bytes(3, message)
            case Name(name):
                return head + _bytes(4, _bytes(1, name.encode()))
            case Select(operand, field, test):
                body = _bytes(1, self.expression(operand)) + _bytes(2, field.encode())
                return head + _bytes(5, body + (b"\x18\x01" if test else b""))
            case Call(function, target, arguments):
                body = b"" if target is None else _bytes(1, self.expression(target))
                body += _bytes(2, function.encode())
                return head + _bytes(6, body + b"".join(_bytes(3, self.expression(each)) for each in arguments))
            case ListOf(elements):
                return head + _bytes(7, b"".join(_bytes(1, self.expression(each)) for each in elements))
            case MapOf(entries):
                return head + _bytes(8, b"".join(_bytes(2, self._entry(key, value)) for key, value in entries))
            case Fold():
                return head + _bytes(9, self._fold(tree))

    def _entry(self, key: Tree, value: Tree) -> bytes:
        self.id += 1
        return b"\x08" + _number(self.id) + _bytes(3, self.expression(key)) + _bytes(4, self.expression(value))

    def _fold(self, fold: Fold) -> bytes:
        return b"".join(
            (
                _bytes(1, fold.variable.encode()),
                _bytes(2, self.expression(fold.items)),
                _bytes(3, fold.accumulator.encode()),
                _bytes(4, self.expression(fold.initial)),
                _bytes(5, self.expression(fold.condition)),
                _bytes(6, self.expression(fold.step)),
                _bytes(7, self.expression(fold.result)),
            )
        )
