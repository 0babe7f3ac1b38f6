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
the bytes read; the work, by ``shared.expressions.bounds``, before anything runs: so much memory at most, and some
tenths of a second; the bytes of the result. A ``map`` or ``filter`` over a path goes through in portions, for the
evaluator takes quadratic time and memory to build a list.
"""

from __future__ import annotations

from shared.expressions.evaluation import evaluate
from shared.expressions.mistakes import ExpressionError
from shared.expressions.program import ITEM_NAMES, NAMES, check
from shared.expressions.templates import parts, render, sources
from shared.expressions.values import DEEPEST_VALUE

__all__ = [
    "DEEPEST_VALUE",
    "ITEM_NAMES",
    "NAMES",
    "ExpressionError",
    "check",
    "evaluate",
    "parts",
    "render",
    "sources",
]
