"""What the local stack may be told by ``MILLRACE_LOCAL_…`` variables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import Settings


class StackSettings(Settings):
    """How the local stack runs its functions."""

    model_config = SettingsConfigDict(env_prefix="MILLRACE_LOCAL_", extra="ignore", frozen=True, env_ignore_empty=True)

    concurrency: Annotated[int, Field(default=4, ge=1, le=64, description="Most processes of one function at a time.")]
    function_concurrency: Annotated[
        dict[str, int],
        Field(
            default={"webhook-intake": 8, "workflow-run": 2},
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
        Field(
            default=["webhook-intake", "workflow-run"],
            description="Functions started with the stack instead of at their first use, as a JSON list.",
        ),
    ]

    def bound(self, function: str) -> int:
        """Most processes of ``function``."""
        return max(1, self.function_concurrency.get(function, self.concurrency))
