"""An export: tables as JSON lines, objects as files with an index, and a manifest that says what there is.

::

    <directory>/manifest.json              what this is; counts and checksums; "complete" when it is
    <directory>/tables/<table>.jsonl       a row a line, as Postgres writes it in JSON
    <directory>/objects/<bucket>.jsonl     an object a line: bucket, key, bytes, media type, etag, file
    <directory>/objects/<bucket>/…         the objects themselves
    <directory>/secrets.jsonl              the secrets in clear text, if asked for

Everything is read as a stream. An export that is interrupted and run again into the same directory goes on with the row
and the object where it stopped; one that is complete is left as it is. Each table is read as of one instant, different
tables as of different ones: stop the functions first where that matters.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import psycopg

from infra.export import rows
from infra.export.files import Lines, write_whole
from infra.export.rows import Connection
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.secrets import Keyring, unseal
from shared.storage import BUCKETS, PAGE, Storage, Stored

FORMAT = "millrace-export-1"
_LONGEST_NAME = 200


class Progress(Protocol):
    """Hears how far an export is."""

    def at(self, what: str, done: int) -> None:
        """So many rows or objects of one table or bucket are written."""


class Silence:
    """Nobody listens."""

    def at(self, what: str, done: int) -> None:
        """Not heard."""


@dataclass(frozen=True)
class Wanted:
    """What to take along."""

    owner: str | None = None  #: e-mail or id of one user; None for the whole installation
    secrets: bool = False  #: in clear text


def export(
    url: str,
    directory: Path,
    wanted: Wanted,
    *,
    storage: Callable[[], Storage],
    keyring: Callable[[], Keyring],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Export into ``directory``, which is new, empty, or holds this very export unfinished; the manifest.

    Raises :class:`~shared.errors.MillraceError` for a user who is not there, a directory that holds something else, and
    a role that does not see every row; psycopg's and the operating system's errors pass through: run it again then.
    """
    listener = progress or Silence()
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("select set_config('timezone', 'UTC', false), set_config('statement_timeout', '0', false)")
        # A policy that hides rows is an error rather than a smaller export.
        connection.execute("set row_security = off")
        owner = _owner(connection, wanted.owner)
        manifest = _begin(connection, directory, wanted, owner)
        if manifest["complete"]:
            return manifest
        if wanted.secrets:
            keyring().current()
        for table in rows.tables(connection):
            if owner is None or table.owner is not None:
                _table(connection, directory, table, owner, manifest, listener)
        if wanted.secrets:
            _secrets(connection, directory, owner, keyring(), manifest, listener)
    store = storage()
    for bucket in BUCKETS:
        _objects(store, directory, bucket, owner, manifest, listener)
    manifest["complete"] = True
    manifest["ended_at"] = datetime.now(UTC).isoformat()
    _save(directory, manifest)
    return manifest


def _owner(connection: Connection, named: str | None) -> uuid.UUID | None:
    if named is None:
        return None
    found = connection.execute(
        'select id from public."user" where id::text = lower(%(named)s) or lower(email) = lower(%(named)s)',
        {"named": named},
    ).fetchall()
    if not found:
        raise NotFound(f"There is no user {named!r}.", remedy="Give the e-mail or the id of one.")
    if len(found) > 1:
        raise Invalid(f"{len(found)} users have the e-mail {named}.", remedy="Give the id of one.")
    owner: uuid.UUID = found[0][0]
    return owner


def _begin(connection: Connection, directory: Path, wanted: Wanted, owner: uuid.UUID | None) -> dict[str, Any]:
    path = directory / "manifest.json"
    asked = {"owner": str(owner) if owner else None, "secrets": wanted.secrets}
    if path.exists():
        try:
            manifest: dict[str, Any] = json.loads(path.read_bytes())
            begun = {name: manifest[name] for name in asked}
            known = manifest["format"] == FORMAT
        except (ValueError, KeyError, TypeError):
            known, begun = False, {}
        if not known:
            raise Conflict(f"{path} is not an export of this version.", remedy="Choose another directory.")
        if begun != asked:
            raise Conflict(
                f"{directory} holds another export: {json.dumps(begun)}.", remedy="Choose another directory."
            )
        return manifest
    if directory.exists() and any(directory.iterdir()):
        raise Conflict(f"{directory} is not empty.", remedy="Choose a new or an empty directory.")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    history = connection.execute(
        "select version from supabase_migrations.schema_migrations order by version"
    ).fetchall()
    manifest = {
        "format": FORMAT,
        **asked,
        "complete": False,
        "begun_at": datetime.now(UTC).isoformat(),
        "postgres": connection.info.server_version,
        "migrations": [version for (version,) in history],
        "left_out": {table: list(columns) for table, columns in rows.LEFT_OUT.items()},
        "tables": {},
        "objects": {},
    }
    _save(directory, manifest)
    return manifest


def _save(directory: Path, manifest: dict[str, Any]) -> None:
    write_whole(directory / "manifest.json", json.dumps(manifest, indent=2).encode() + b"\n")


def _table(
    connection: Connection,
    directory: Path,
    table: rows.Table,
    owner: uuid.UUID | None,
    manifest: dict[str, Any],
    progress: Progress,
) -> None:
    name = table.name if table.schema == "public" else str(table)
    lines = Lines(directory / "tables" / f"{name}.jsonl")
    if not lines.complete:
        try:
            _append(lines, rows.read(connection, table, owner, lines.last), name, progress)
        except psycopg.errors.InsufficientPrivilege as error:
            raise Forbidden(
                f"This role does not see every row of {table}: {error.diag.message_primary}.",
                remedy="Use the role that owns the tables: on Supabase `postgres`.",
            ) from error
    _measured(directory, lines, "tables", name, manifest)


def _append(lines: Lines, found: Iterator[str], name: str, progress: Progress) -> None:
    with lines.appending() as file:
        for done, line in enumerate(found, 1):
            file.write(line)
            if done % 1000 == 0:
                file.flush()
                progress.at(name, done)


def _measured(directory: Path, lines: Lines, kind: str, name: str, manifest: dict[str, Any]) -> None:
    if name not in manifest[kind]:
        count, digest = lines.measure()
        manifest[kind][name] = {"rows" if kind == "tables" else "count": count, "sha256": digest}
        _save(directory, manifest)


def _secrets(
    connection: Connection,
    directory: Path,
    owner: uuid.UUID | None,
    keyring: Keyring,
    manifest: dict[str, Any],
    progress: Progress,
) -> None:
    lines = Lines(directory / "secrets.jsonl")

    def opened() -> Iterator[str]:
        last = lines.last
        after = uuid.UUID(last["id"]) if last else uuid.UUID(int=0)
        with connection.transaction(), connection.cursor("export_secrets") as cursor:
            cursor.execute(
                "select id, owner_id, name, key_id, nonce, ciphertext from public.secret "
                "where id > %s and (%s::uuid is null or owner_id = %s) order by id",
                [after, owner, owner],
            )
            for id_, whose, name, *sealed in cursor:
                plaintext = unseal(keyring, whose, id_, *sealed)
                yield json.dumps(
                    {"id": str(id_), "owner_id": str(whose), "name": name, "plaintext": plaintext}, ensure_ascii=False
                )

    if not lines.complete:
        _append(lines, opened(), "secrets", progress)
    if manifest["secrets"] is True:
        manifest.setdefault("secrets_file", {"count": lines.measure()[0]})
        _save(directory, manifest)


def _objects(
    store: Storage,
    directory: Path,
    bucket: str,
    owner: uuid.UUID | None,
    manifest: dict[str, Any],
    progress: Progress,
) -> None:
    lines = Lines(directory / "objects" / f"{bucket}.jsonl")
    if not lines.complete:
        last = lines.last
        prefix = f"{owner}/" if owner else ""

        def copied() -> Iterator[str]:
            after = str(last["key"]) if last else ""
            while page := store.list(bucket, prefix, after=after, limit=PAGE):
                for stored in page:
                    after = stored.key
                    try:
                        yield _copied(store, directory, stored)
                    except NotFound:
                        continue  # deleted meanwhile

        with lines.appending() as file:
            for done, line in enumerate(copied(), 1):
                file.write(line)
                file.flush()  # an object may be large: do not fetch it twice
                progress.at(bucket, done)
    _measured(directory, lines, "objects", bucket, manifest)


def _copied(store: Storage, directory: Path, stored: Stored) -> str:
    data = store.get(stored.bucket, stored.key)
    file = Path("objects") / stored.bucket / file_name(stored.key)
    write_whole(directory / file, data)
    return json.dumps(
        {
            "bucket": stored.bucket,
            "key": stored.key,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "media_type": stored.media_type,
            "modified_at": stored.modified_at.isoformat(),
            "file": file.as_posix(),
        },
        ensure_ascii=False,
    )


def file_name(key: str) -> str:
    """A name for the object's file that leads nowhere else, is not too long, and is no other key's."""
    name = urllib.parse.quote(key, safe=" ")
    if len(name) > _LONGEST_NAME or name.strip(". ") == "" or name.endswith(".part"):
        return f"%sha256-{hashlib.sha256(key.encode()).hexdigest()}"  # which quoting never gives
    return name
