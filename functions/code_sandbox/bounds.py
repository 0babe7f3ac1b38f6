"""How a run is ended from inside its process."""

from __future__ import annotations


class Exceeded(Exception):
    """A bound was met: ``limit`` is its name in ``shared.models.code.Limit``."""

    def __init__(self, limit: str, message: str) -> None:
        self.limit = limit
        super().__init__(message)


class Exit(Exception):
    """The program ended itself."""

    def __init__(self, code: int) -> None:
        self.code = code
