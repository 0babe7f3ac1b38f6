"""Named SQL statements from ``sql/queries/<face>.sql``.

A file is a row of statements, each under two header lines::

    -- name: claim_runs
    -- Claim the runs that are due, and all that is needed to drive them.
    select ... from millrace.claim_runs(%(ids)s);

The second line is the statement's purpose and must be there. Placeholders are psycopg's, ``%(name)s``; a literal
per cent sign is ``%%``. The closing semicolon is dropped, for one statement goes into one message to the server.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping
from types import MappingProxyType

_HEADER = re.compile(r"^-- name:[ \t]*(?P<name>\S*)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class StatementError(Exception):
    """A file of named statements is wrong; the message says where."""


class _Statements(dict[str, str]):
    """The statements of one file; asking for one that is not there names the file and what it has."""

    def __init__(self, source: str, statements: Mapping[str, str]) -> None:
        super().__init__(statements)
        self._source = source

    def __missing__(self, name: str) -> str:
        raise StatementError(f"{self._source} has no statement {name!r}; it has {', '.join(sorted(self)) or 'none'}")


def parse(text: str, source: str = "statements") -> dict[str, str]:
    """``text`` as name to statement. Raises :class:`StatementError`: malformed or doubled name, no purpose or body."""
    headers = list(_HEADER.finditer(text))
    before = text[: headers[0].start()] if headers else text
    if any(line.strip() and not line.startswith("--") for line in before.splitlines()):
        raise StatementError(f"{source}: there is SQL before the first `-- name:`")
    found: dict[str, str] = {}
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        name = header["name"]
        if not _NAME.fullmatch(name):
            raise StatementError(f"{source}: {name!r} is no statement name; use lower_case_words")
        if name in found:
            raise StatementError(f"{source}: the statement {name!r} is there twice")
        purpose, _, body = (
            text[header.end() : following.start() if following else len(text)].lstrip("\n").partition("\n")
        )
        if not purpose.startswith("-- ") or not purpose[3:].strip():
            raise StatementError(f"{source}: {name!r} lacks its purpose, one `-- ` line under its name")
        statement = body.strip().removesuffix(";").rstrip()
        if not statement:
            raise StatementError(f"{source}: {name!r} is empty")
        found[name] = statement
    return _Statements(source, found)


@functools.cache
def load(face: str) -> Mapping[str, str]:
    """The statements of ``sql/queries/<face>.sql``, read once. Raises :class:`StatementError`."""
    file = importlib.resources.files("sql") / "queries" / f"{face}.sql"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StatementError(f"there is no sql/queries/{face}.sql") from None
    source = f"sql/queries/{face}.sql"
    return MappingProxyType(_Statements(source, parse(text, source)))
