"""What can run a program. WebAssembly is the first; another joins by having these, and by passing the attack suite."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from shared.models.code import CodeOutcome, CodeRequest, Language


class Backend(Protocol):
    """Runs each program apart from everything, and from every other run."""

    @property
    def languages(self) -> Collection[Language]:
        """What it can run."""

    def run(self, request: CodeRequest) -> CodeOutcome:
        """Run it to its end. What the program does is in the outcome; raises ``Unavailable`` for what we lack.

        Promises, all in ``tests/functions/code_sandbox``: it ends within ``wall_seconds`` and half a second; it sees no
        file, variable, socket or process of the host; nothing of it is there in the next run; several threads may call.
        """

    def close(self) -> None:
        """End every process."""
