"""Why a document cannot be read: one error, whose kind a program and whose message a person understands."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal[
    "empty",  #: no bytes
    "unsupported",  #: none of the formats that are read
    "damaged",  #: one of them by its first bytes, but broken or cut off
    "encrypted",  #: a PDF that asks for a password
    "no_pages",  #: a PDF without pages
    "too_many_pages",
    "too_large",  #: more bytes or more pixels than are read
    "no_engine",  #: needs recognition, and that engine is not installed here
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Unreadable(Exception):
    """A document that is refused. The message says what is wrong with it and, where there is one, the remedy."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
