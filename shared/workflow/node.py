"""The contract of a node type: typed config, a declared effect, one function.

A node type is one small module in ``shared/workflow/nodes``. It names itself with :func:`node`, and its function takes
the validated config and a :class:`StepContext` and returns one of the outcomes below. The engine
(``shared.workflow.run``) alone talks to the database: a node never does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

Json = Any  #: what ``json.loads`` gives


class Effect(StrEnum):
    """What repeating a step would do; it decides when the engine writes a checkpoint."""

    PURE = "pure"  #: computes only; pure steps in a row share one checkpoint
    IDEMPOTENT = "idempotent"  #: may be repeated under its stable key
    AT_MOST_ONCE = "at_most_once"  #: its start is recorded first; a worker lost in the middle leaves the step in doubt


class NodeConfig(BaseModel):
    """Base of every node's config: unknown keys are mistakes, old names come in as aliases."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    names: ClassVar[tuple[str, ...]] = ()  #: what its expressions may name besides the run: item, index, accumulator


class StepContext(Protocol):
    """What a node's function may ask of the engine while its step runs."""

    key: str  #: stable for this step through every attempt: ``<execution id>/<node id>/<iteration>``
    attempt: int  #: 1 for the first
    now: datetime  #: aware, UTC
    deadline: datetime  #: the step's own: its timeout or what is left of the invocation, whichever is sooner
    inputs: dict[str, Json]  #: output of each node with a taken edge into this one, by node id
    state: Json  #: what this step kept in its last :class:`Wait`, else None

    def evaluate(self, source: str, /, **extra: Json) -> Json:
        """The value of a CEL expression over ``trigger``, ``nodes``, ``variables``, ``execution`` and ``extra``.

        Raises ``shared.expressions.ExpressionError``.
        """

    def render(self, value: Json, /) -> Json:
        """``value`` with every ``{{ expression }}`` replaced, in depth.

        A string that is one expression and nothing else becomes that expression's value, of any type.
        """

    def variable(self, name: str, default: Json = None, /) -> Json:
        """A workflow variable's present value."""


@dataclass(frozen=True, slots=True)
class Output:
    """The step is done."""

    value: Json = None
    branch: str | None = None  #: follow the edges of this branch (and those without one)
    variables: dict[str, Json] = field(default_factory=dict)  #: workflow variables to set
    respond: Json = None  #: ``{"status": int, "headers": {}, "body": json}`` for the webhook's waiting caller


@dataclass(frozen=True, slots=True)
class Wait:
    """Call again at ``until`` (aware), or when a signal of type ``signal`` comes, whichever is first.

    When it is called again, ``context.state`` is ``state`` here, with ``{"signal": {...}}`` merged in if a signal came.
    """

    until: datetime | None = None
    signal: str | None = None
    state: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """Hand the work to a capability; the job's result becomes the step's output."""

    kind: str
    input: Json


@dataclass(frozen=True, slots=True)
class End:
    """End the whole run now, as completed (``error`` None) or failed."""

    value: Json = None
    error: str | None = None


Outcome = Output | Wait | Job | End


class StepError(Exception):
    """The step failed. ``kind`` is its error class, which retry policies match; ``retryable`` is the node's own view.

    ``retry_after`` is in seconds: no attempt sooner, for the other side asked so.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "error",
        retryable: bool = False,
        output: Json = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.retryable = retryable
        self.output = output
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class NodeType:
    """One registered node type."""

    name: str
    aliases: tuple[str, ...]
    config: type[NodeConfig]
    effect: Callable[[Any], Effect]  #: of the config, for a few depend on it
    function: Callable[[Any, StepContext], Outcome]
    branches: Callable[[Any], tuple[str, ...]]  #: the branch names it may take; empty when it does not branch
    expressions: Callable[[Any], dict[str, str]]  #: config path to CEL source, checked when the workflow is saved
    capability: str | None  #: the capability folder whose worker it needs, if any
    summary: str  #: first line of the function's docstring


REGISTRY: dict[str, NodeType] = {}  #: by name and by alias; filled by importing ``shared.workflow.nodes``


def node(
    name: str,
    *aliases: str,
    config: type[NodeConfig],
    effect: Effect | Callable[[Any], Effect] = Effect.PURE,
    branches: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = (),
    expressions: Callable[[Any], dict[str, str]] | None = None,
    capability: str | None = None,
) -> Callable[[Callable[[Any, StepContext], Outcome]], Callable[[Any, StepContext], Outcome]]:
    """Register a node type under its name and aliases. A name taken twice is a ValueError."""

    def register(function: Callable[[Any, StepContext], Outcome]) -> Callable[[Any, StepContext], Outcome]:
        kind = NodeType(
            name=name,
            aliases=aliases,
            config=config,
            effect=effect if not isinstance(effect, Effect) else lambda _config: effect,
            function=function,
            branches=branches if callable(branches) else lambda _config: branches,
            expressions=expressions or (lambda _config: {}),
            capability=capability,
            summary=(function.__doc__ or "").strip().split("\n")[0],
        )
        for key in (name, *aliases):
            if key in REGISTRY:
                raise ValueError(f"node type {key!r} is registered twice")
            REGISTRY[key] = kind
        return function

    return register
