"""What a subscription asks of a delivery beyond its signature: headers, a method, and filters."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from shared.expressions import ExpressionError, evaluate

METHODS = ("POST", "PUT", "PATCH")


def methods(only: str | None) -> tuple[str, ...]:
    """The methods taken: the one that the workflow's trigger names, ``ANY``, or those that carry a body."""
    if only in (None, ""):
        return METHODS
    return ("GET", *METHODS, "DELETE") if only == "ANY" else (str(only),)


def header_fault(required: Mapping[str, str | None], headers: Mapping[str, str]) -> str | None:
    """The name of the first required header that is missing or has another value; None when all are as they must be.

    The values are compared in constant time: they may be shared secrets.
    """
    for name, wanted in required.items():
        found = headers.get(name)
        if found is None or (wanted is not None and not hmac.compare_digest(found.encode(), wanted.encode())):
            return name
    return None


def filter_fault(filters: Mapping[str, Any], expression: str | None, trigger: Mapping[str, Any]) -> str | None:
    """Why the filters do not let this delivery through; None when they do."""
    for path, wanted in filters.items():
        if not _same(_at(trigger["payload"], path), wanted):
            return f"filter: {path} is not the value asked for"
    if expression is not None:
        try:
            verdict = evaluate(expression, {"trigger": trigger})
        except ExpressionError as error:
            return f"filter_expression: {error.detail}"
        if verdict is not True:
            return "filter_expression is not true"
    return None


_ABSENT = object()


def _at(value: Any, path: str) -> Any:
    """The part of ``value`` at a dotted path of keys and indexes."""
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _ABSENT
    return value


def _same(found: Any, wanted: Any) -> bool:
    """Equality of JSON values: ``true`` is not 1."""
    return found is not _ABSENT and isinstance(found, bool) == isinstance(wanted, bool) and bool(found == wanted)
