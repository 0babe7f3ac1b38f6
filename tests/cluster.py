"""The Postgres that tests share: one server for all workers and sessions, a migrated template, a database per test.

The server lives in ``.millrace/test`` and is shared, through file locks, by every pytest process of this checkout: each
holds ``users`` shared while it works, and whoever finds itself alone on leaving stops the server. A process that is
killed loses its lock, so nothing has to be cleaned up by hand. The template is named for the content of the migrations
and the prelude, and so is made anew when they change. With ``MILLRACE_TEST_DATABASE_URL`` (a superuser's address) the
databases are made there instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import JsonbDumper

from infra import migrations
from infra.local.postgres import PRELUDE, EmbeddedPostgres, allow_logins, create_database, set_password, with_database
from shared.database import ADAPTERS, Database, Row, dump_json

Connection = psycopg.Connection[dict[str, Any]]

KEEP_TEMPLATES = 4  #: another session may still copy from an older one


class Cluster:
    """Where test databases are made. One per pytest process."""

    def __init__(self, root: Path, external_url: str | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._server = EmbeddedPostgres(root / "postgres", durable=False, options={"max_connections": "300"})
        self._external = external_url
        self._users: IO[str] | None = None
        self._token = f"{os.getpid()}_{uuid.uuid4().hex[:6]}"
        self._numbers = itertools.count()
        self._admin: psycopg.Connection[tuple[Any, ...]] | None = None
        self._template = ""
        self._settings: list[str] = []

    @property
    def superuser_url(self) -> str:
        return self._external or self._server.url("supabase_admin", "postgres")

    def url(self, role: str, database: str) -> str:
        """Address of a database for a role; ``supabase_admin`` is the superuser, whatever its name on this server."""
        return with_database(self.superuser_url, database, role=None if role == "supabase_admin" else role)

    def join(self) -> None:
        """Start the server or find it running, and make the template or find it made."""
        with self._guard():
            self._users = (self._root / "users").open("a")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            alone = False
            if self._external is None and not self._server.running:
                self._server.start(linger=True)
                alone = True
            self._admin = psycopg.connect(self.superuser_url, autocommit=True)
            if alone:
                self._sweep("test_%")
            self._template = self._make_template()
            self._settings = [
                setting
                for (setting,) in self._admin.execute(
                    "select unnest(setconfig) from pg_db_role_setting join pg_database d on d.oid = setdatabase "
                    "where setrole = 0 and datname = %s",
                    [self._template],
                )
            ]

    def leave(self) -> None:
        """Stop the server if nobody else uses it."""
        if self._admin is not None:
            self._admin.close()
        if self._users is None:
            return
        with self._guard():
            fcntl.flock(self._users, fcntl.LOCK_UN)
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass  # others still work
            else:
                if self._external is None:
                    self._server.stop()
            self._users.close()

    def create(self) -> str:
        """A new migrated database; its name."""
        name = f"test_{self._token}_{next(self._numbers)}"
        self._execute("create database {} owner postgres template {}", name, self._template)
        for setting in self._settings:  # these belong to the database and are not copied with it
            key, _, value = setting.partition("=")
            assert self._admin is not None
            self._admin.execute(
                sql.SQL("alter database {} set {} = {}").format(
                    sql.Identifier(name),
                    sql.Identifier(key),
                    sql.SQL(value),  # type: ignore[arg-type]
                )
            )
        return name

    def drop(self, name: str) -> None:
        self._execute("drop database if exists {} with (force)", name)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        with (self._root / "guard").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def _execute(self, statement: str, *names: str) -> None:
        assert self._admin is not None
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]

    def _sweep(self, pattern: str, keep: int = 0) -> None:
        assert self._admin is not None
        found = self._admin.execute(
            "select datname from pg_database where datname like %s order by oid desc offset %s", [pattern, keep]
        ).fetchall()
        for (name,) in found:
            self._execute("drop database if exists {} with (force)", name)

    def _make_template(self) -> str:
        assert self._admin is not None
        name = f"template_{_digest()}"
        if self._admin.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            return name
        building = f"building_{_digest()}"
        self._execute("drop database if exists {} with (force)", building)
        create_database(self.superuser_url, building)
        password = urllib.parse.urlsplit(self.superuser_url).password
        if password is not None:
            set_password(self._admin, "postgres", urllib.parse.unquote(password))
        migrations.up(self.url("postgres", building))
        allow_logins(self.superuser_url)
        self._execute(
            "alter database {} with allow_connections false", building
        )  # nothing may hold it when it is copied
        self._admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", [building]
        )
        self._execute("alter database {} rename to {}", building, name)
        self._sweep("template\\_%", keep=KEEP_TEMPLATES + 2)  # template0 and template1 are oldest and never reached
        return name


def _digest() -> str:
    found = hashlib.sha256()
    for directory in (migrations.DIRECTORY, PRELUDE):
        for path in sorted(directory.glob("*.sql")):
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


@dataclass(frozen=True)
class User:
    """A tenant: the row in "user", and the claims of a token for it."""

    id: uuid.UUID
    auth_id: uuid.UUID
    email: str
    claims: dict[str, Any]


@dataclass(frozen=True)
class As:
    """The database as one caller sees it through ``millrace_api``."""

    database: Database
    claims: dict[str, Any]

    def call(self, query: str, params: Any = None) -> list[Row]:
        return self.database.call_as(self.claims, query, params)


class _DictDumper(JsonbDumper):
    def dump(self, obj: Any) -> bytes:
        return dump_json(obj)


@dataclass
class TestDatabase:
    """One test's own database. Whatever it opens is closed after the test."""

    __test__ = False  # not a test case, for all its name

    cluster: Cluster
    name: str
    _connections: list[Connection] = field(default_factory=list)
    _databases: dict[str, Database] = field(default_factory=dict)
    _owner: Connection | None = None

    def url(self, role: str = "postgres") -> str:
        """Address for a role that may log in: postgres, millrace_api, millrace_engine, supabase_admin."""
        return self.cluster.url(role, self.name)

    @property
    def owner(self) -> Connection:
        """A connection as ``postgres``, who owns the tables and passes by row-level security."""
        if self._owner is None:
            self._owner = self.connect("postgres")
        return self._owner

    @property
    def engine(self) -> Database:
        """What an engine function has: ``millrace_engine``."""
        return self.database("millrace_engine")

    @property
    def api(self) -> Database:
        """What a tenant-facing function has: ``millrace_api``, without claims."""
        return self.database("millrace_api")

    def database(self, role: str) -> Database:
        if role not in self._databases:
            self._databases[role] = Database(self.url(role))
        return self._databases[role]

    def as_user(self, who: User | Mapping[str, Any]) -> As:
        """Calls with this user's claims, or with any claims."""
        return As(self.api, who.claims if isinstance(who, User) else dict(who))

    def connect(self, role: str = "postgres", *, claims: User | Mapping[str, Any] | None = None) -> Connection:
        """A new autocommit connection with dict rows as any role, also one that may not log in.

        A dict parameter is JSON; a list is an array. ``claims`` hold for the whole session.
        """
        connection = psycopg.connect(self.url("supabase_admin"), autocommit=True, row_factory=dict_row)
        connection.adapters.register_dumper(dict, _DictDumper)
        connection.adapters.register_loader("jsonb", ADAPTERS.get_loader(psycopg.adapters.types["jsonb"].oid, 0))
        connection.adapters.register_loader("json", ADAPTERS.get_loader(psycopg.adapters.types["json"].oid, 0))
        connection.execute(sql.SQL("set session authorization {}").format(sql.Identifier(role)))
        if claims is not None:
            held = claims.claims if isinstance(claims, User) else dict(claims)
            connection.execute("select set_config('request.jwt.claims', %s, false)", [dump_json(held).decode()])
        self._connections.append(connection)
        return connection

    def wait_until_blocked(self, connection: Connection, seconds: float = 10) -> None:
        """Return once ``connection``'s statement waits for another's lock: how a race is proved without sleeping."""
        pid, until = connection.info.backend_pid, time.monotonic() + seconds
        while time.monotonic() < until:
            row = self.owner.execute("select cardinality(pg_blocking_pids(%s)) > 0 as blocked", [pid]).fetchone()
            if row and row["blocked"]:
                return
            time.sleep(0.005)
        raise AssertionError("the statement is not blocked")

    def make_user(self, email: str | None = None, **columns: Any) -> User:
        """A tenant with a linked sign-in."""
        id_, auth_id = columns.pop("id", None) or uuid.uuid4(), uuid.uuid4()
        email = email or f"{id_.hex[:12]}@example.com"
        row = {"id": id_, "auth_id": auth_id, "email": email, "is_active": True, "is_superuser": False}
        row |= {"full_name": None, "hashed_password": ""} | columns
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        marks = sql.SQL(", ").join(map(sql.Placeholder, row))
        self.owner.execute(sql.SQL('insert into public."user" ({}) values ({})').format(names, marks), row)
        claims = {"sub": str(row["auth_id"]), "email": email, "role": "authenticated", "aud": "authenticated"}
        return User(id_, row["auth_id"], email, claims)

    def close(self) -> None:
        for database in self._databases.values():
            database.close()
        for connection in self._connections:
            with suppress(psycopg.Error):
                connection.close()


def external_url() -> str | None:
    """``MILLRACE_TEST_DATABASE_URL``, if it names a superuser's address."""
    url = os.environ.get("MILLRACE_TEST_DATABASE_URL")
    if url and not urllib.parse.urlsplit(url).scheme.startswith("postgres"):
        raise ValueError("MILLRACE_TEST_DATABASE_URL must be a URL: postgresql://superuser@host/postgres")
    return url or None
