"""What the local stack may be told by ``MILLRACE_LOCAL_…`` variables."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from shared.settings import Settings


def _decoded(value: Any) -> Any:
    """A list or an object comes from the environment as JSON."""
    return json.loads(value) if isinstance(value, str) else value


class StackSettings(Settings):
    """How the local stack runs its functions."""

    prefix: ClassVar[str] = "MILLRACE_LOCAL_"

    concurrency: Annotated[int, Field(default=4, ge=1, le=64, description="Most processes of one function at a time.")]
    function_concurrency: Annotated[
        dict[str, int],
        BeforeValidator(_decoded),
        Field(
            default={"webhook-intake": 24, "workflow-run": 2},
            description='The same for single functions, as JSON: `{"workflow-run": 4}`.',
        ),
    ]
    queue_limit: Annotated[
        int,
        Field(default=256, ge=1, le=100_000, description="Requests that may wait for one function; more get 429."),
    ]
    idle_seconds: Annotated[
        float, Field(default=120.0, gt=0, description="A function's process unused for this long is ended.")
    ]
    tick_seconds: Annotated[
        float, Field(default=1.0, ge=0.05, le=60, description="How often what AWS runs each minute is run here.")
    ]
    drain_seconds: Annotated[
        float, Field(default=10.0, ge=0, le=900, description="Time for what has begun to end when the stack stops.")
    ]
    warm: Annotated[
        list[str],
        BeforeValidator(_decoded),
        Field(
            default=["webhook-intake", "workflow-run"],
            description="Functions started with the stack instead of at their first use, as a JSON list.",
        ),
    ]

    def bound(self, function: str) -> int:
        """Most processes of ``function``."""
        return max(1, self.function_concurrency.get(function, self.concurrency))
