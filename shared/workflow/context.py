"""What a node's function sees of its run: the engine's :class:`shared.workflow.node.StepContext`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared import expressions
from shared.workflow.node import Json


@dataclass(slots=True)
class Step:
    """One attempt of one step. ``names`` are what expressions see; nothing here changes the run."""

    key: str
    attempt: int
    now: datetime
    deadline: datetime
    inputs: dict[str, Json]
    state: Json
    names: dict[str, Json]

    def evaluate(self, source: str, /, **extra: Json) -> Json:
        return expressions.evaluate(source, {**self.names, **extra} if extra else self.names)

    def render(self, value: Json, /) -> Json:
        return expressions.render(value, self.names)

    def variable(self, name: str, default: Json = None, /) -> Json:
        return self.names["variables"].get(name, default)
