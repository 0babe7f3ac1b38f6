"""Values on their way into the evaluator and out of it."""

from __future__ import annotations

import base64
import datetime
from typing import Any

from shared import strict_json
from shared.expressions.bounds import SCALAR, Extent
from shared.expressions.mistakes import ExpressionError
from shared.settings import ExpressionSettings

Json = Any  #: what ``json.loads`` gives

DEEPEST_VALUE = strict_json.MAX_DEPTH + 16  #: lists and maps inside each other: as deep as may come in, in ours

_INT_LEAST, _INT_MOST = -(2**63), 2**63 - 1
SCALAR_EXTENT = Extent(SCALAR, 0)


def imported(value: Json) -> tuple[Json, Extent]:
    """A JSON value as the evaluator takes it, by the rule for numbers, and its extent in memory."""
    kind = type(value)
    if kind is bool or value is None:
        return value, SCALAR_EXTENT
    if kind is str:
        return value, Extent(_text_size(value), 0)
    if kind is int or kind is float:
        return _number(value), SCALAR_EXTENT
    size, exact = measure(value)
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


def measure(value: Json) -> tuple[int, bool]:
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
            raise reads_too_much(most)
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


def reads_too_much(most: int) -> ExpressionError:
    return ExpressionError(f"The expression reads more than {most} bytes.", remedy="Read less, or in steps.")


class Export:
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
