"""The catalogue of a database, as plain facts that two servers of different versions tell alike.

A catalogue maps a kind of object to its objects by name, and each object to its facts::

    {"column": {"public.item.title": {"type": "character varying(255)"}}, ...}

Names are as SQL writes them (``public."user".email``). A fact that is false, null or empty is left out, so that what is
usual does not clutter ``expected.json``. A function's body is told by its hash.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from shared import errors, statements

Facts = dict[str, Any]
Catalogue = dict[str, dict[str, Facts]]
Connection = psycopg.Connection[dict[str, Any]]

OLDEST_VERSION = 16

#: Where ``millrace migrate`` keeps what it knows of the files; a database that the Supabase CLI migrated lacks it.
LEDGER = "millrace.migration_checksum"

SCHEMAS = ["public", "millrace"]
EXTENSIONS = ["vector"]

#: The roles whose rights are reviewed; rights of others are a team's own affair, and only mentioned.
GRANTEES = ["public", "anon", "authenticated", "service_role", "millrace_api", "millrace_engine"]

#: Those of them whom row-level security is for.
TENANTS = ["anon", "authenticated", "millrace_api"]

#: Kind to the statement that reads it.
_KINDS = {
    "schema": "schemas",
    "extension": "extensions",
    "role": "roles",
    "table": "tables",
    "column": "columns",
    "constraint": "constraints",
    "index": "indexes",
    "policy": "policies",
    "function": "functions",
    "trigger": "triggers",
    "view": "views",
}


class WrongVersion(errors.Conflict):
    """The server is older than what Millrace runs on."""

    slug = "wrong-database-version"


class NotAllowed(errors.Forbidden):
    """The role may not read what is to be reviewed."""

    slug = "not-allowed"


@dataclass(frozen=True)
class Server:
    """Who was asked."""

    database: str
    role: str
    version: str
    vector_available: bool
    owner: str  #: of schema `millrace`, and so of everything in it


def connect(url: str) -> Connection:
    """A connection for one review: nothing can be written over it. Raises :class:`WrongVersion`."""
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=None, row_factory=dict_row, connect_timeout=10)
    if connection.info.server_version < OLDEST_VERSION * 10000:
        version = connection.info.parameter_status("server_version")
        connection.close()
        raise WrongVersion(
            f"The database is Postgres {version}; Millrace needs {OLDEST_VERSION} or newer.",
            remedy="Upgrade it (on Supabase: Project Settings, Infrastructure), then review again.",
        )
    return connection


def read(connection: Connection) -> tuple[Server, Catalogue]:
    """What the catalogue holds at one moment. Raises :class:`NotAllowed`."""
    say = statements.load("review")
    try:
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("set local search_path = ''")
            row = connection.execute(say["server"].encode()).fetchone()
            assert row is not None  # it has no condition
            server = Server(**{**row, "owner": row["owner"] or row["role"]})
            asked = {
                "schemas": SCHEMAS,
                "extensions": EXTENSIONS,
                "roles": GRANTEES,
                "tenants": TENANTS,
                "owner": server.owner,
            }

            def rows(name: str) -> list[dict[str, Any]]:
                return connection.execute(say[name].encode(), asked).fetchall()

            found = {
                kind: {row.pop("name"): _facts(kind, row) for row in rows(name) if not _of_ledger(row["name"])}
                for kind, name in _KINDS.items()
            }
            found["grant"] = _grants([row for row in rows("grants") if not _of_ledger(row["name"])])
            found["default privilege"] = _default_privileges(rows("default_privileges"))
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(
            f"{connection.info.user} may not read the catalogue: {error.diag.message_primary}.",
            remedy="Give the owner's address in MILLRACE_MIGRATION_URL.",
        ) from error
    return server, found


def _of_ledger(name: str) -> bool:
    return name == LEDGER or name.startswith(f"{LEDGER}.")


def _facts(kind: str, row: dict[str, Any]) -> Facts:
    if kind == "function":
        row["source"] = _hash(row["source"])
    if kind == "role" and row["settings"]:
        row["settings"] = sorted(row["settings"])
    return {fact: value for fact, value in row.items() if value not in (None, False, [])}


def _hash(source: str) -> str:
    """Of a function's body, whatever line ends and trailing blanks it travelled with."""
    lines = [line.rstrip() for line in source.strip().splitlines()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _grants(rows: list[dict[str, Any]]) -> dict[str, Facts]:
    """``"table public.item to anon"`` to what it may there: on the whole, and on single columns."""
    found: dict[str, Facts] = defaultdict(dict)
    for row in rows:
        facts = found[f"{row['kind']} {row['name']} to {row['grantee']}"]
        if row["part"] is None:
            facts.setdefault("privileges", []).append(row["privilege"])
        else:
            facts.setdefault("columns", {}).setdefault(row["privilege"], []).append(row["part"])
    for facts in found.values():
        if "privileges" in facts:
            facts["privileges"].sort()
        for columns in facts.get("columns", {}).values():
            columns.sort()
    return dict(found)


def _default_privileges(rows: list[dict[str, Any]]) -> dict[str, Facts]:
    """``"tables in public to service_role"`` to what it will get on each that is made."""
    found: dict[str, Facts] = {}
    for row in rows:
        where = f" in {row['schema']}" if row["schema"] else ""
        found.setdefault(f"{row['kind']}{where} to {row['grantee']}", {"privileges": []})["privileges"].append(
            row["privilege"]
        )
    for facts in found.values():
        facts["privileges"].sort()
    return found
