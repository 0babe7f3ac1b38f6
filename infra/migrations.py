"""Applies ``sql/migrations`` in order, in the ledger of the Supabase CLI, so that either may take over from the other.

The ledger is ``supabase_migrations.schema_migrations``, written as ``supabase db push`` writes it: the file's version,
its name, and its text split into statements by that tool's rules. What the CLI does not keep is kept beside it, in
``millrace.migration_checksum``: what each file contained when it was applied. From the two follow the refusals:

* a file that was edited after it was applied;
* a file that was added before one that is already applied. A file marked ``-- millrace: re-runnable`` may come late: an
  adopted database knows the later inherited migrations but not our baseline.

History rows that have no file here (another branch, the system that was adopted) are kept and listed. Each file is one
transaction with its ledger row, under one advisory lock that the transaction holds, so that two migrators, even behind
a transaction pooler, take turns file by file and both end well. A file that cannot have a table's lock within seconds
lets go of all it holds and comes again, so that nobody who uses the database waits behind it for long.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg.rows import class_row

import sql
from shared import errors

#: Where the migrations of this checkout are.
DIRECTORY = Path(sql.__file__).parent / "migrations"

#: A file with this line does nothing where its objects exist already, so it may be applied late.
RE_RUNNABLE = "-- millrace: re-runnable"

# A number of our own for pg_advisory_xact_lock: "millrace" in ASCII.
_LOCK = int.from_bytes(b"millrace", "big")

T = TypeVar("T")

_FILE_NAME = re.compile(r"(\d{14})_([a-z0-9_]+)\.sql")

_PREPARE = """
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
    alter table supabase_migrations.schema_migrations add column if not exists statements text[];
    alter table supabase_migrations.schema_migrations add column if not exists name text;
    create schema if not exists millrace;
    create table if not exists millrace.migration_checksum (
        version text not null primary key,
        sha256 text not null,
        recorded_at timestamptz not null default clock_timestamp()
    );
    alter table millrace.migration_checksum enable row level security;
"""

_HISTORY = """
    select
        history.version,
        coalesce(history.name, '') as name,
        checksum.sha256,
        case when checksum.sha256 is null then history.statements end as statements
    from supabase_migrations.schema_migrations as history
    left join millrace.migration_checksum as checksum using (version)
    order by history.version
"""

_RECORD = "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)"

_RECORD_CHECKSUM = """
    insert into millrace.migration_checksum (version, sha256)
    values (%s, %s)
    on conflict (version) do nothing
"""


class MigrationRefused(errors.Conflict):
    """The migration files contradict what was applied to this database."""

    slug = "migration-refused"


class MigrationFailed(errors.Invalid):
    """A migration failed; nothing of that file was kept."""

    slug = "migration-failed"


@dataclass(frozen=True)
class Patience:
    """How to wait for a lock that others hold: briefly, for others queue behind who waits, but again and again."""

    lock_seconds: float = 5.0
    attempts: int = 20
    longest_pause: float = 15.0

    def act(self, change: Callable[[], T]) -> T:
        """``change()``, a transaction of its own, repeated while it fails for a lock (time-out or deadlock)."""
        for attempt in range(1, self.attempts):
            try:
                return change()
            except (MigrationFailed, psycopg.Error) as error:
                if not isinstance(error.__cause__ or error, _LOCKED):
                    raise
                pause = min(self.longest_pause, 0.25 * 2**attempt)
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  (no secret depends on it)
        return change()


_LOCKED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


class State(StrEnum):
    """How a migration stands."""

    APPLIED = "applied"
    PENDING = "pending"
    #: In the history, without a file here.
    UNKNOWN = "unknown"
    #: In the history under the same version, with other content, from the system that was adopted.
    INHERITED = "inherited"
    #: Changed after it was applied.
    EDITED = "edited"
    #: Not applied, though a later one is.
    LATE = "late"


@dataclass(frozen=True)
class Applied:
    """One file that ``up`` applied."""

    version: str
    name: str
    seconds: float


@dataclass(frozen=True)
class Row:
    """One line of ``status``."""

    version: str
    name: str
    state: State


@dataclass(frozen=True)
class Migration:
    """A migration file, read."""

    path: Path
    version: str
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        return split(self.text)

    @property
    def re_runnable(self) -> bool:
        return RE_RUNNABLE in self.text.splitlines()


@dataclass(frozen=True)
class _Recorded:
    """A row of the history, with what we know of its content: a checksum, else the statements (or neither)."""

    version: str
    name: str
    sha256: str | None
    statements: list[str] | None

    def holds(self, migration: Migration) -> bool:
        if self.sha256 is not None:
            return self.sha256 == migration.sha256
        # `supabase migration repair` records a version without its statements: that is taken at its word.
        return self.statements is None or self.statements == migration.statements


def read(directory: Path = DIRECTORY) -> list[Migration]:
    """The migration files in order.

    Raises :class:`MigrationRefused` for a file not named ``<14 digits>_<name>.sql`` and for a version used twice.
    """
    found: dict[str, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationRefused(
                f"{path.name} is not named like a migration.", remedy="Name it <YYYYMMDDhhmmss>_<lower_case_name>.sql."
            )
        version, name = match.groups()
        if version in found:
            raise MigrationRefused(
                f"{found[version].path.name} and {path.name} have the same version.", remedy="Give one a later time."
            )
        found[version] = Migration(path, version, name, path.read_text(encoding="utf-8"))
    return list(found.values())


def up(
    url: str,
    progress: Callable[[Applied], None] | None = None,
    *,
    directory: Path = DIRECTORY,
    patience: Patience = Patience(),
) -> list[Applied]:
    """Apply what is pending, oldest first, and return it; ``progress`` hears of each file as it is done.

    Raises :class:`MigrationRefused` before anything is applied, or :class:`MigrationFailed` with file and line; the
    files applied before a failing one stay applied.
    """
    migrations = read(directory)
    done: list[Applied] = []
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        with connection.transaction():
            _lock(connection)
            connection.execute(_PREPARE)
            _adopt(connection, migrations)

        def apply_next() -> Migration | None:
            with connection.transaction():
                _lock(connection)
                # Read again under the lock: another migrator may have been here since the last file.
                migration = _next(migrations, _history(connection))
                if migration is not None:
                    _apply(connection, migration, patience)
                return migration

        while True:
            started = time.monotonic()
            migration = patience.act(apply_next)
            if migration is None:
                return done
            done.append(Applied(migration.version, migration.name, time.monotonic() - started))
            if progress is not None:
                progress(done[-1])


def status(url: str, *, directory: Path = DIRECTORY) -> list[Row]:
    """Every migration that has a file or a history row, in order. Writes nothing, not even the ledger's tables."""
    migrations = read(directory)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        known = connection.execute(
            "select to_regclass('supabase_migrations.schema_migrations'), to_regclass('millrace.migration_checksum')"
        ).fetchone()
        if known is None or known[0] is None:
            return _compare(migrations, [])
        if known[1] is not None:
            return _compare(migrations, _history(connection))
        # Another tool's ledger, perhaps of a time when it held only versions.
        rows = connection.execute(
            "select to_jsonb(history) from supabase_migrations.schema_migrations as history order by version"
        ).fetchall()
        recorded = [_Recorded(row["version"], row.get("name") or "", None, row.get("statements")) for (row,) in rows]
        return _compare(migrations, recorded)


def split(text: str) -> list[str]:
    """A file's statements, cut where the Supabase CLI cuts them, so that both write the same ledger row.

    A semicolon ends a statement unless it stands in quotes, a dollar quote, a comment or parentheses. Comments stay
    with the statement after them; a trailing comment is an entry of its own, as it is there.
    """
    return [statement for _, statement in _located(text)]


def _located(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the number of the line it begins on."""
    line = 1
    for piece in _pieces(text):
        statement = piece.rstrip(";").strip()
        if statement:
            yield line + piece.count("\n", 0, piece.index(statement)), statement
        line += piece.count("\n")


_TOKEN = re.compile(
    r"""
      (?P<quoted>   '(?:[^']|'')*' | "(?:[^"]|"")*" )
    | (?P<line>     --[^\n]* )
    | (?P<block>    /\* )
    | (?P<dollar>   \$\w*\$ )
    | (?P<open>     \( )
    | (?P<close>    \) )
    | (?P<end>      ; )
    """,
    re.VERBOSE,
)


def _pieces(text: str) -> Iterator[str]:
    start = position = depth = 0
    while match := _TOKEN.search(text, position):
        position = match.end()
        match match.lastgroup:
            case "block":
                position = _end_of_block(text, position)
            case "dollar":
                closing = text.find(match.group(), position)
                position = len(text) if closing < 0 else closing + len(match.group())
            case "open":
                depth += 1
            case "close":
                depth = max(0, depth - 1)
            case "end" if depth == 0:
                yield text[start:position]
                start = position
    yield text[start:]


def _end_of_block(text: str, position: int) -> int:
    """The end of a block comment whose opening ends at ``position``; they nest."""
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(text, position):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


def _lock(connection: psycopg.Connection) -> None:
    connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))


def _history(connection: psycopg.Connection) -> list[_Recorded]:
    with connection.cursor(row_factory=class_row(_Recorded)) as cursor:
        return cursor.execute(_HISTORY).fetchall()


def _adopt(connection: psycopg.Connection, migrations: list[Migration]) -> None:
    """From now on hold to their content the files that another tool applied as they are here."""
    files = {migration.version: migration for migration in migrations}
    for recorded in _history(connection):
        migration = files.get(recorded.version)
        if migration is not None and recorded.sha256 is None and recorded.holds(migration):
            connection.execute(_RECORD_CHECKSUM, (migration.version, migration.sha256))


def _compare(migrations: list[Migration], history: list[_Recorded]) -> list[Row]:
    files = {migration.version: migration for migration in migrations}
    recorded = {row.version: row for row in history}
    last = max((version for version in recorded if version in files), default="")
    rows = [Row(row.version, row.name, State.UNKNOWN) for row in history if row.version not in files]
    for migration in migrations:
        row = recorded.get(migration.version)
        if row is None:
            state = State.LATE if migration.version < last and not migration.re_runnable else State.PENDING
        elif row.holds(migration):
            state = State.APPLIED
        elif row.sha256 is None and migration.re_runnable:
            state = State.INHERITED
        else:
            state = State.EDITED
        rows.append(Row(migration.version, migration.name, state))
    return sorted(rows, key=lambda row: row.version)


def _next(migrations: list[Migration], history: list[_Recorded]) -> Migration | None:
    """The next file to apply; refuses when any file contradicts the history, before anything else is applied."""
    states = {row.version: row.state for row in _compare(migrations, history)}
    for migration in migrations:
        if states[migration.version] is State.EDITED:
            raise MigrationRefused(
                f"{migration.path.name} was edited after it was applied.",
                remedy="Restore the file, and put the change in a new migration.",
            )
        if states[migration.version] is State.LATE:
            raise MigrationRefused(
                f"{migration.path.name} was added before a migration that is already applied.",
                remedy="Give it a time after the last applied migration.",
            )
    return next((migration for migration in migrations if states[migration.version] is State.PENDING), None)


def _apply(connection: psycopg.Connection, migration: Migration, patience: Patience) -> None:
    # Do not queue behind a long transaction while everyone else queues behind us.
    connection.execute("select set_config('lock_timeout', %s, true)", (f"{patience.lock_seconds * 1000:.0f}ms",))
    # Hosted Postgres often ends statements after two minutes.
    connection.execute("set local statement_timeout = 0")
    for line, statement in _located(migration.text):
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            if error.diag.statement_position:
                line += statement.count("\n", 0, int(error.diag.statement_position) - 1)
            notes = [f"{migration.path.name}:{line}: {error.diag.message_primary or error}"]
            notes += [note for note in (error.diag.message_detail, error.diag.context) if note]
            raise MigrationFailed("\n".join(notes), remedy=error.diag.message_hint) from error
    connection.execute(_RECORD, (migration.version, migration.name, migration.statements))
    connection.execute(_RECORD_CHECKSUM, (migration.version, migration.sha256))
