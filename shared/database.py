"""The one door to Postgres: a statement, a round trip, plain rows or one of our own errors.

Each call is one implicit transaction of exactly one Sync: the statement alone (:meth:`Database.call`), or the caller's
claims and the statement in one pipeline (:meth:`Database.call_as`). There is no BEGIN, and ``set_config(..., true)``
lasts until the Sync, so that claims end with the call that brought them. That is what a pooler in transaction mode
needs, for it hands the server connection on at the first ReadyForQuery. Nothing is prepared or kept in the session.

This works on libpq's pipeline (``psycopg.pq``), not on psycopg's cursors: for a pipeline of two those take two to four
times as long, and the engine makes thousands of short calls a second. Placeholders are psycopg's (``%s``,
``%(name)s``, ``%%``), its adapters turn values into parameters and results into values, and

* a dict or list is sent as ``jsonb``, except where its placeholder is cast to an array, as in ``%(ids)s::uuid[]``;
* ``json`` and ``jsonb`` come back as what ``json.loads`` gives.

A statement that the server did not answer may have been committed. So a call is repeated after a lost connection, once,
and only statements that are safe to repeat belong here: all our SQL functions are. For others pass ``repeat=False``.
"""

from __future__ import annotations

import functools
import json
import logging
import random
import re
import select
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap, Dumper, Loader, PyFormat, Transformer
from psycopg.types.array import ListDumper
from pydantic_core import PydanticSerializationError, from_json, to_json

from shared.errors import BY_SQLSTATE, Invalid, MillraceError, Unavailable
from shared.settings import DatabaseSettings

log = logging.getLogger(__name__)

Row = dict[str, Any]
Params = Mapping[str, Any] | Sequence[Any] | None

_JSONB = psycopg.adapters.types["jsonb"].oid
_TEXT = psycopg.adapters.types["text"].oid
_CLAIMS = b"select set_config('request.jwt.claims', $1, true)"

#: The server's word that this call met a passing state: another will do better.
_PASSING = {
    "25006": "read-only: it is failing over",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "a lock was not granted in time",
    "57014": "the statement took too long",
    "57P03": "it is starting up or shutting down",
}
_PASSING_CLASSES = {"08": "the connection failed", "53": "it is out of resources", "57": "it was told to stop"}

#: Text that Postgres cannot hold: \u0000 in JSON, NUL or a broken sequence in text.
_UNHOLDABLE = {"22P05", "22021"}


# --- values -----------------------------------------------------------------------------------------------------------


class _JsonDumper(Dumper):
    oid = _JSONB

    def dump(self, obj: Any) -> bytes:
        return dump_json(obj)


class _JsonLoader(Loader):
    def load(self, data: Any) -> Any:
        return load_json(data if isinstance(data, bytes) else bytes(data))


def dump_json(value: Any) -> bytes:
    """``value`` as compact JSON. Raises :class:`Invalid` for what JSON cannot say, or nested beyond reason."""
    try:
        return to_json(value)
    except PydanticSerializationError as error:
        reason = error
    try:  # deeper than the fast serializer goes
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise Invalid(f"The value cannot be written as JSON: {reason}") from None


def load_json(data: bytes) -> Any:
    """The value of a JSON document. Raises :class:`Invalid` when it is none, or nested beyond reason."""
    try:
        return from_json(data)
    except ValueError:
        pass
    try:  # deeper than the fast parser goes
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"That is not JSON: {error}") from None


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    for kind in (dict, list):
        adapters.register_dumper(kind, _JsonDumper)
    adapters.register_dumper(tuple, ListDumper)  # how an array is told from JSON, below
    for name in ("json", "jsonb"):
        adapters.register_loader(name, _JsonLoader)
    return adapters


ADAPTERS = _adapters()


# --- placeholders -----------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(r"%(?:\((?P<name>[^()]+)\))?(?P<kind>.)(?P<array>::[\w.\" ]+\[\])?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement as libpq takes it, and how to lay out its parameters."""

    command: bytes
    names: tuple[str | int, ...]  #: of each $n: a key of the mapping, or an index of the sequence
    arrays: tuple[bool, ...]  #: of each $n: whether a list goes as an array
    formats: list[PyFormat]

    def arrange(self, params: Params) -> list[Any]:
        if not self.names:
            return []
        if params is None:
            raise psycopg.ProgrammingError(f"the statement needs parameters: {self.names}")
        try:
            values = [params[name] for name in self.names]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            raise psycopg.ProgrammingError(f"the statement needs the parameters {self.names}") from None
        if True in self.arrays:
            return [
                tuple(value) if array and isinstance(value, (list, set, frozenset)) else value
                for value, array in zip(values, self.arrays, strict=True)
            ]
        return values


@functools.lru_cache(maxsize=1024)
def _compile(query: str) -> _Statement:
    places: dict[tuple[str | int, bool], int] = {}
    positional = 0

    def place(match: re.Match[str]) -> str:
        nonlocal positional
        name, kind, array = match["name"], match["kind"], match["array"] or ""
        if kind == "%" and name is None:
            return "%" + array
        if kind != "s":
            raise psycopg.ProgrammingError(f"{match[0]!r} is no placeholder; a per cent sign is written %%")
        key: str | int = name if name is not None else positional
        positional += name is None
        number = places.setdefault((key, bool(array)), len(places) + 1)
        return f"${number}{array}"

    command = _PLACEHOLDER.sub(place, query)
    if query.endswith("%") and not query.endswith("%%"):
        raise psycopg.ProgrammingError("the statement ends in a lone per cent sign")
    if positional and any(isinstance(name, str) for name, _array in places):
        raise psycopg.ProgrammingError("a statement has either %s or %(name)s, not both")
    return _Statement(
        command=command.encode(),
        names=tuple(name for name, _array in places),
        arrays=tuple(array for _name, array in places),
        formats=[PyFormat.AUTO] * len(places),
    )


# --- the connection ---------------------------------------------------------------------------------------------------


class _LostError(Exception):
    """The connection broke; whether the statement was committed is unknown."""


class _LateError(Exception):
    """The reply missed its deadline."""


class _Link:
    """One open connection in libpq's pipeline mode, in which every exchange ends with one Sync."""

    def __init__(self, url: str, connect_timeout: float, trace: int | None) -> None:
        self.connection = psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=max(1, round(connect_timeout)),
            client_encoding="utf8",
            fallback_application_name="millrace",
            context=ADAPTERS,
        )
        self.pgconn = self.connection.pgconn
        self.transformer = Transformer(self.connection)
        self.pgconn.enter_pipeline_mode()
        descriptor = self.pgconn.socket
        self._readable, self._either = select.poll(), select.poll()
        self._readable.register(descriptor, select.POLLIN)
        self._either.register(descriptor, select.POLLIN | select.POLLOUT)
        if trace is not None:
            self.pgconn.trace(trace)

    def exchange(self, claims: bytes | None, statement: _Statement, values: list[Any], until: float) -> pq.abc.PGresult:
        """Send, Sync, and read everything up to ReadyForQuery. Returns the statement's result, or the first error's.

        Raises :class:`_LostError`, :class:`_LateError` (the caller closes the connection) and :class:`Invalid`.
        """
        pgconn, transformer = self.pgconn, self.transformer
        try:
            dumped = transformer.dump_sequence(values, statement.formats)
        except (psycopg.DataError, UnicodeEncodeError) as error:
            raise Invalid(f"A value cannot be stored: {error}") from None
        try:
            if claims is not None:
                pgconn.send_query_params(_CLAIMS, [claims], [_TEXT])
            pgconn.send_query_params(statement.command, dumped, transformer.types or (), transformer.formats)
            pgconn.pipeline_sync()
            while pgconn.flush():
                self._wait(self._either, until)
                pgconn.consume_input()
            answer: pq.abc.PGresult | None = None
            failure: pq.abc.PGresult | None = None
            while True:
                while pgconn.is_busy():
                    self._wait(self._readable, until)
                    pgconn.consume_input()
                result = pgconn.get_result()
                if result is None:  # the end of one statement's results
                    if pgconn.status == pq.ConnStatus.BAD:
                        raise _LostError
                    continue
                status = result.status
                if status == pq.ExecStatus.PIPELINE_SYNC:
                    break
                if status == pq.ExecStatus.FATAL_ERROR:
                    failure = failure or result
                    if pgconn.status == pq.ConnStatus.BAD or not result.error_field(pq.DiagnosticField.SQLSTATE):
                        raise _LostError(result.get_error_message())
                elif status != pq.ExecStatus.PIPELINE_ABORTED:
                    answer = result
        except psycopg.Error as error:
            raise _LostError(str(error)) from None
        outcome = failure or answer
        if outcome is None:
            raise _LostError("the server sent no result")
        return outcome

    def _wait(self, poll: select.poll, until: float) -> None:
        remaining = until - time.monotonic()
        if remaining <= 0 or not poll.poll(remaining * 1000):
            raise _LateError

    def rows(self, result: pq.abc.PGresult) -> list[Row]:
        count = result.ntuples
        if not count:
            return []
        names = [cast(bytes, result.fname(column)).decode() for column in range(result.nfields)]
        self.transformer.set_pgresult(result)
        try:
            return self.transformer.load_rows(0, count, lambda values: dict(zip(names, values, strict=True)))
        finally:
            self.transformer.set_pgresult(None)

    def close(self) -> None:
        self.connection.close()


class Database:
    """A lazily opened connection to Postgres, shared by the process's threads one call at a time.

    ``deadline`` is how many seconds a call may take in all: waiting for another thread's call, opening the connection,
    the statement, and repeating it. A call raises the :class:`~shared.errors.MillraceError` that an SQL function chose
    (SQLSTATE ``MR404`` and so on); :class:`~shared.errors.Unavailable` when Postgres is down, too slow or overloaded;
    :class:`~shared.errors.Invalid` for text that it cannot hold; and psycopg's own error for the rest, such as a unique
    violation.
    """

    def __init__(self, url: str, *, connect_timeout: float = 5, deadline: float = 10) -> None:
        self._url = url
        self._connect_timeout = connect_timeout
        self._deadline = deadline
        self._link: _Link | None = None
        self._lock = threading.Lock()
        self._trace: int | None = None

    def call(
        self, query: str, params: Params = None, *, deadline: float | None = None, repeat: bool = True
    ) -> list[Row]:
        """The rows of one statement."""
        return self._call(None, query, params, deadline, repeat)

    def call_as(
        self,
        claims: Mapping[str, Any],
        query: str,
        params: Params = None,
        *,
        deadline: float | None = None,
        repeat: bool = True,
    ) -> list[Row]:
        """The rows of one statement, run with ``claims`` as ``request.jwt.claims``: what the policies look at."""
        return self._call(dump_json(claims), query, params, deadline, repeat)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            self._drop()

    def trace(self, descriptor: int | None) -> None:
        """Write libpq's trace of every message to this file descriptor, on this and later connections; None ends it."""
        with self._lock:
            self._trace = descriptor
            if self._link is not None:
                self._link.pgconn.untrace() if descriptor is None else self._link.pgconn.trace(descriptor)

    def _call(
        self, claims: bytes | None, query: str, params: Params, deadline: float | None, repeat: bool
    ) -> list[Row]:
        statement = _compile(query)
        values = statement.arrange(params)
        allowed = self._deadline if deadline is None else deadline
        until = time.monotonic() + allowed
        if not self._lock.acquire(timeout=allowed):
            raise Unavailable("The database connection is busy.", retry_after=1)
        try:
            for attempt in (1, 2):
                try:
                    if self._link is None:
                        self._link = self._open(until)
                    result = self._link.exchange(claims, statement, values, until)
                    if result.status == pq.ExecStatus.FATAL_ERROR:
                        raise _error(result)
                    return self._link.rows(result)
                except _LateError:
                    log.warning("the database did not answer within %.1f s", allowed)
                    self._cancel()
                    self._drop()
                    raise Unavailable("The database did not answer in time.", retry_after=2) from None
                except _LostError as error:
                    opened = self._link is not None
                    self._drop()
                    log.warning("the database connection was lost: %s", error)
                    if attempt == 2 or (opened and not repeat) or time.monotonic() >= until:
                        raise Unavailable("The database cannot be reached.", retry_after=1) from error
                    # Jitter: all workers lose their connections at the same moment and must not return at the same one.
                    time.sleep(min(random.uniform(0.02, 0.2), max(0.0, until - time.monotonic())))  # noqa: S311
                except (MillraceError, psycopg.Error):
                    raise  # said after the Sync, or before anything was sent: the connection is in order
                except BaseException:
                    # Interrupted (a signal's exception) between send and Sync: what the connection holds is unknown.
                    self._drop()
                    raise
            raise AssertionError("unreachable")
        finally:
            self._lock.release()

    def _open(self, until: float) -> _Link:
        try:
            return _Link(self._url, min(self._connect_timeout, until - time.monotonic()), self._trace)
        except psycopg.OperationalError as error:
            raise _LostError(str(error)) from None

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _cancel(self) -> None:
        """Ask the server to stop: closing alone would leave it working, or queueing for a lock, for nobody."""
        if self._link is not None:
            try:
                self._link.connection.cancel_safe(timeout=0.5)
            except psycopg.Error:
                return  # it is closed next anyway


# --- what the server says ---------------------------------------------------------------------------------------------


def _error(result: pq.abc.PGresult) -> Exception:
    """The exception for a failed result."""

    def field(name: pq.DiagnosticField) -> str:
        return (result.error_field(name) or b"").decode(errors="replace")

    state, message = field(pq.DiagnosticField.SQLSTATE), field(pq.DiagnosticField.MESSAGE_PRIMARY)
    if state in BY_SQLSTATE:
        hint, detail = field(pq.DiagnosticField.MESSAGE_HINT), field(pq.DiagnosticField.MESSAGE_DETAIL)
        return _chosen(BY_SQLSTATE[state], message, hint, detail)
    raw = psycopg.errors.error_from_result(result)
    if field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in ("FATAL", "PANIC"):
        return _LostError(str(raw))
    ours: MillraceError
    if state in _UNHOLDABLE:
        ours = Invalid("The text holds a character that Postgres cannot store, such as NUL (\\u0000).")
    elif state == "22P02" and message.endswith("for type json"):
        ours = Invalid("The value is not JSON that Postgres can store: its numbers must be finite.")
    elif passing := _PASSING.get(state) or _PASSING_CLASSES.get(state[:2]):
        ours = Unavailable(f"The database cannot do that now: {passing}.", retry_after=1)
    else:
        return raw
    ours.__cause__ = raw
    return ours


def _chosen(kind: type[MillraceError], detail: str, hint: str, extra: str) -> MillraceError:
    """The error that an SQL function raised. Its DETAIL may be JSON: a list of mistakes, or an object that also says
    ``retry_after`` in seconds."""
    errors: list[dict[str, Any]] | None = None
    retry_after: int | None = None
    if extra.startswith(("[", "{")):
        found = load_json(extra.encode())
        if isinstance(found, dict):
            errors, retry_after = found.get("errors"), found.get("retry_after")
        else:
            errors = found
    return kind(detail, remedy=hint or None, errors=errors, retry_after=retry_after)


@functools.cache
def database() -> Database:
    """The process's own, at ``MILLRACE_DATABASE_URL``."""
    settings = DatabaseSettings.load()
    return Database(
        settings.database_url.get_secret_value(),
        connect_timeout=settings.database_connect_seconds,
        deadline=settings.database_deadline_seconds,
    )
