"""Passwords for the two roles that our functions log in as.

The migrations make ``millrace_api`` and ``millrace_engine`` without login. A password is made here or given, goes to
the server as its SCRAM verifier only, and is told once: to the terminal, or into a file that only its owner may read. A
role that can log in already is left alone unless its password shall be renewed, for running functions use it.
"""

from __future__ import annotations

import os
import secrets
import stat
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Connection, Error, sql
from psycopg.rows import tuple_row

from infra.local.postgres import set_password
from infra.provision.database import MIGRATE, explain
from infra.provision.outcome import Outcome, Refusal, Result

#: Role to the variable in which the deployment gives its address to the functions.
ROLES = {"millrace_api": "MILLRACE_API_DATABASE_URL", "millrace_engine": "MILLRACE_ENGINE_DATABASE_URL"}

#: 32 characters, letters and digits, `-` and `_`: nothing that a URL would need to escape.
RANDOM_BYTES = 24
SHORTEST = 16


@dataclass(frozen=True, slots=True)
class Address:
    """Where functions connect: Supabase's pooler in transaction mode, or the server itself."""

    host: str  #: with its port; empty for a socket
    database: str
    project: str | None  #: its ref; behind the pooler a role is called ``<role>.<project ref>``
    query: str = ""

    def url(self, role: str, password: str) -> str:
        user = urllib.parse.quote(f"{role}.{self.project}" if self.project else role)
        database = urllib.parse.quote(self.database)
        query = f"?{self.query}" if self.query else ""
        return f"postgresql://{user}:{urllib.parse.quote(password, safe='')}@{self.host}/{database}{query}"


#: Supabase's pooler listens here in transaction mode, and on 5432 in session mode.
TRANSACTION_PORT = 6543


def address(migration_url: str, pooler: str | None = None) -> Address:
    """Where the functions of the database at ``migration_url`` connect; ``pooler`` is its ``host:port``, if given.

    An address of Supabase's pooler has the project's ref in its user (``postgres.<ref>``), a direct one in its host
    (``db.<ref>.supabase.co``). Source: https://supabase.com/docs/guides/database/connecting-to-postgres.
    """
    parts = urllib.parse.urlsplit(migration_url)
    host = parts.hostname or ""
    _, dot, project = urllib.parse.unquote(parts.username or "").partition(".")
    database = urllib.parse.unquote(parts.path.strip("/")) or "postgres"
    if dot and host.endswith(".pooler.supabase.com"):
        return Address(pooler or f"{host}:{TRANSACTION_PORT}", database, project, "sslmode=require")
    if host.startswith("db.") and host.endswith(".supabase.co") and pooler is not None:
        return Address(pooler, database, host.split(".")[1], "sslmode=require")
    return Address(pooler or parts.netloc.rpartition("@")[2], database, project or None, parts.query)


def provision(
    connection: Connection[Any], given: Mapping[str, str], *, renew: bool = False, change: bool = True
) -> Iterator[tuple[Result, str | None]]:
    """A result for each role, and its new password if it got one. ``given`` names passwords by role."""
    for role in ROLES:
        try:
            with connection.cursor(row_factory=tuple_row) as cursor:
                found = cursor.execute("select rolcanlogin from pg_roles where rolname = %s", [role]).fetchone()
            if found is None:
                yield Refusal("There is no such role.", MIGRATE).result("role", role), None
                continue
            (can_login,) = found
            if can_login and not renew and role not in given:
                yield Result("role", role, Outcome.UNCHANGED), None
                continue
            password = given.get(role) or secrets.token_urlsafe(RANDOM_BYTES)
            if change:
                with connection.transaction():
                    set_password(connection, role, password)
                    connection.execute(sql.SQL("alter role {} login").format(sql.Identifier(role)))
            yield (
                Result(
                    "role",
                    role,
                    Outcome.REPAIRED if can_login else Outcome.CREATED,
                    ("password renewed",) if can_login else ("login: no → yes",),
                ),
                password if change else None,
            )
        except Error as error:
            yield explain(error).result("role", role), None


class PasswordFile:
    """A file of mode 0600 that ``NAME=value`` lines are written to; one that is there keeps its other lines.

    Made ready before any password is changed, so that none is lost to a directory that cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        """Raises :class:`OSError`, also for a file that others may read: what is secret is not put there."""
        self._path = path
        self._kept: list[str] = []
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise PermissionError(f"others may read it (mode {mode:04o}); do `chmod 600 {path}`")
            self._kept = path.read_text(encoding="utf-8").splitlines()
        self._aside = path.with_name(f".{path.name}.{os.getpid()}")
        self._descriptor = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, values: Mapping[str, str]) -> None:
        """Keep ``values``, in place of what stood under their names."""
        names = tuple(f"{name}=" for name in values)
        lines = [line for line in self._kept if not line.startswith(names)]
        lines += [f"{name}={value}" for name, value in values.items()]
        with os.fdopen(os.dup(self._descriptor), "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._aside, self._path)

    def close(self) -> None:
        """Leave nothing behind that was not written."""
        os.close(self._descriptor)
        self._aside.unlink(missing_ok=True)
