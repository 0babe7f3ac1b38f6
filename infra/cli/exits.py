"""What a command's exit code means. Scripts rely on these; ``docs/cli.md`` lists them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes of ``millrace``."""

    OK = 0  #: done
    FAILED = 1  #: the run failed, or the command could not do its work
    USAGE = 2  #: the command line or the file given to it cannot be read
    UNREACHABLE = 3  #: nothing answers at the address
    REFUSED = 4  #: the API or the database said no: credentials, rights, a missing thing, content that is not valid
    INTERRUPTED = 130  #: stopped from the keyboard, as shells count it


class Failure(Exception):
    """A command ends here, with a message, what to do about it, and an exit code.

    ``problem`` is what ``--json`` prints: the API's problem document (RFC 9457), or one of the same shape.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        exit_code: Exit = Exit.FAILED,
        errors: list[dict[str, Any]] | None = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code
        self.errors = errors or []
        self.problem = problem or {
            "title": message,
            **({"remedy": remedy} if remedy else {}),
            **({"errors": self.errors} if self.errors else {}),
        }
