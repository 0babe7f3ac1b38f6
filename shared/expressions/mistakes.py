"""What is wrong with an expression, in the words of the one who wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.errors import Invalid

_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_STATUS = re.compile(r"\A(?:[A-Z_]+: )?(.*?)(?: \[[A-Z_]+\])?\Z", re.DOTALL)
_UNBOUND = re.compile(r'No value with name "(@\d+)" found in Activation')
_OVERLOAD = re.compile(r"No matching overloads found : (?:_?)(.*?)(?:_?)\((.*)\)\Z")


class ExpressionError(Invalid):
    """The expression is not valid, or has no value over this data."""

    slug = "invalid-expression"


def mistake(message: str, names: tuple[str, ...]) -> ExpressionError:
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


def explain(message: str, sources: Mapping[str, str]) -> str:
    """An evaluator's complaint, with CEL's names for types; ``sources`` are the paths that its variables stand for."""
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
