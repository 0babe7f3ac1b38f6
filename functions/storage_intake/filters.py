"""Whether triggers' filters let an object through: CEL over what the run would see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.telemetry import logger


def judge(trigger: Mapping[str, Any], expressions: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """A verdict for each of ``expressions`` (by the trigger's id) over the trigger data ``trigger``.

    A verdict names its expression, says whether it ``holds``, and when it gave neither true nor false the ``error``.
    """
    return {id_: _verdict(dict(trigger) | {"storage_trigger_id": id_}, source) for id_, source in expressions.items()}


def _verdict(trigger: dict[str, Any], source: str) -> dict[str, Any]:
    from shared.expressions import ExpressionError, evaluate  # the evaluator: only for who has filters

    holds, error = False, None
    try:
        value = evaluate(source, {"trigger": trigger})
        if isinstance(value, bool):
            holds = value
        else:
            error = f"The filter must give true or false, not {_kind(value)}."
    except ExpressionError as refused:
        error = refused.detail
    except Exception:
        # One owner's filter must not cost another's files: they come in the same batch.
        logger.exception("a filter broke the evaluator")
        error = "The filter could not be evaluated."
    return {"expression": source, "holds": holds, "error": error}


def _kind(value: Any) -> str:
    kinds = {str: "a string", list: "a list", dict: "a map", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
