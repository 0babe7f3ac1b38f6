"""JSON as Postgres can hold it.

``jsonb`` refuses the character U+0000, halves of surrogate pairs, NaN and infinities, and both Python and Postgres have
a depth at which they give up. What comes from outside is read here, so that a caller hears which field is at fault
instead of a database error. RFC 8259 leaves all of these to the implementation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from shared.errors import BadRequest, Invalid

#: Objects and arrays inside each other. The deepest honest workflow we know has 11.
MAX_DEPTH = 64


def loads(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """The value in ``data``.

    Raises :class:`BadRequest` for what is no JSON, :class:`Invalid` with every path for what Postgres cannot hold.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: byte {error.start} cannot be read.") from error
    except json.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise Invalid("The body is nested too deeply.", remedy=f"At most {max_depth} levels are accepted.") from error
    except ValueError as error:  # NaN and its kin; an integer of thousands of digits
        raise BadRequest(f"The body is not JSON: {str(error).split(';')[0]}.") from error
    check(value, max_depth=max_depth)
    return value


def check(value: Any, *, max_depth: int = MAX_DEPTH) -> None:
    """Raise :class:`Invalid` with the path of every part of ``value`` that ``jsonb`` cannot hold, or for its depth."""
    sound = True
    level, depth = [value], 0
    while level:
        if depth > max_depth:
            raise Invalid("The body is nested too deeply.", remedy=f"At most {max_depth} levels are accepted.")
        below: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                below.extend(part.values())
                below.extend(part)
            elif isinstance(part, list):
                below.extend(part)
            elif _fault(part):
                sound = False
        level, depth = below, depth + 1
    if not sound:  # only now are the paths worth their price
        raise Invalid("The body holds what the database cannot.", errors=list(_faults("", value))[:20])


def _faults(path: str, part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        for key, inner in part.items():
            if fault := _fault(key):
                yield {"path": path, "message": f"a key {fault}"}
            yield from _faults(f"{path}.{key}" if path else key, inner)
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from _faults(f"{path}.{index}" if path else str(index), inner)
    elif fault := _fault(part):
        yield {"path": path[:300], "message": fault}


def _fault(part: Any) -> str | None:
    if isinstance(part, str):
        if "\x00" in part:
            return r"contains the character \u0000"
        if not part.isascii():
            try:
                part.encode()
            except UnicodeEncodeError:
                return "contains half of a surrogate pair"
    elif isinstance(part, float) and (part - part) != 0:  # 1e999 is read as infinity
        return "is a number too large to keep"
    return None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
