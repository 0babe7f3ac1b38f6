"""Objects in a directory of this machine: the laptop's store.

Where the store has a listener, each ``put`` and each ``delete`` is told to it at least once: the event is written down
before the object appears or goes, and stays in :meth:`DirectoryStorage.events` until it is acknowledged. So it survives
a crash, as S3's events do; and like those it may come twice.

A signed URL leads to the local stack, which asks :meth:`DirectoryStorage.verify` before it acts.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from shared.errors import Conflict, Invalid, NotFound, PreconditionFailed, Unavailable
from shared.ids import uuid7
from shared.storage.grants import Grant, Signer
from shared.storage.port import (
    DEFAULT_MEDIA_TYPE,
    PAGE,
    READ_BYTES,
    Stored,
    Way,
    check_media_type,
    check_name,
    check_page,
    check_parts,
    missing,
)

_STALE_EVENT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Event:
    """That an object came to be, was replaced, or was removed."""

    id: str  #: to acknowledge it by
    sequencer: str  #: later ones of one key are greater, as text
    object: Stored  #: as it is, or was
    removed_at: datetime | None = None  #: when it was removed


class DirectoryStorage:
    """Objects as files below ``root``, for one machine; any number of processes may share it.

    An object is one file, named for the hash of its key, so that no key can lead anywhere else and none is too long, or
    the same as another for a file system that ignores case. The file's first line is JSON (key, type, hash, time), its
    rest the content: both change in one rename. ``listener`` is told of each object that came or went, after that is
    durable, in the thread of who did it; without one no events are kept.
    """

    def __init__(
        self,
        root: Path,
        secret: bytes | None = None,
        *,
        url: str = "http://127.0.0.1:8787",
        listener: Callable[[Event], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``secret`` (at least 32 bytes) signs URLs, which begin with ``url``; without it there are none."""
        self._signer = Signer(secret, url, clock)
        self.root = Path(root).absolute()
        self._listener = listener
        self._clock = clock

    def put(
        self, bucket: str, key: str, data: bytes, media_type: str = DEFAULT_MEDIA_TYPE, *, replace: bool = True
    ) -> Stored:
        digest = hashlib.sha256(data).hexdigest()
        return self._keep(bucket, key, (data,), len(data), digest, media_type, replace=replace)

    def get(self, bucket: str, key: str) -> bytes:
        path = self._path(bucket, key)
        with _disk(), _opened(path, key) as (_, file):
            return file.read()

    def read(self, bucket: str, key: str, start: int, size: int) -> bytes:
        path = self._path(bucket, key)
        with _disk(), _opened(path, key) as (_, file):
            file.seek(start, os.SEEK_CUR)
            return file.read(size)

    def content(self, bucket: str, key: str) -> tuple[Stored, BufferedReader]:
        """What is known of the object, and its open file, whose next byte is the content's first. Close it."""
        path = self._path(bucket, key)
        with _disk():
            try:
                file = path.open("rb")
            except FileNotFoundError:
                raise missing(key) from None
            return _parsed(file.readline()), file

    def head(self, bucket: str, key: str) -> Stored:
        path = self._path(bucket, key)
        with _disk(), _opened(path, key) as (stored, _):
            return stored

    def delete(self, bucket: str, key: str) -> None:
        path = self._path(bucket, key)
        event = None
        with _disk():
            stored = _peek(path)
            if stored is None:
                return
            if self._listener is not None:
                event = self._write_down(stored, datetime.fromtimestamp(self._clock(), UTC))
            try:
                path.unlink()
            except FileNotFoundError:  # somebody else removed it just now, and tells of it
                if event is not None:
                    self.acknowledge(event.id)
                return
            _sync_directory(path.parent)
        if event is not None and self._listener is not None:
            self._listener(event)

    def purge(self, bucket: str, key: str) -> None:
        self.delete(bucket, key)

    def list(self, bucket: str, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[Stored]:
        check_name(bucket, prefix or "any")
        check_page(limit)
        with _disk():
            found = [
                stored
                for path in (self.root / bucket).glob("??/*")
                if (stored := _peek(path)) is not None and stored.key.startswith(prefix)
            ]
        found.sort(key=lambda stored: stored.key.encode())
        return [stored for stored in found if stored.key.encode() > after.encode()][:limit]

    def copy(
        self, bucket: str, key: str, to_bucket: str, to_key: str, media_type: str, *, etag: str | None = None
    ) -> Stored:
        path = self._path(bucket, key)
        with _disk(), _opened(path, key) as (source, file):
            if etag is not None and source.etag != etag:
                raise Conflict(f"The object {key!r} is another one by now.")
            return self._keep(to_bucket, to_key, _chunks(file), source.bytes, source.etag, media_type, replace=False)

    def _keep(
        self, bucket: str, key: str, data: Iterable[bytes], size: int, digest: str, media_type: str, *, replace: bool
    ) -> Stored:
        """Write an object of which all is known, and tell of it."""
        path = self._path(bucket, key)
        check_media_type(media_type)
        stored = Stored(
            bucket=bucket,
            key=key,
            bytes=size,
            etag=digest,
            media_type=media_type,
            modified_at=datetime.fromtimestamp(self._clock(), UTC),
            sha256=digest,
        )
        with _disk():
            event = self._write_down(stored) if self._listener is not None else None
            try:
                _write(path, itertools.chain((_header(stored),), data), replace=replace)
            except BaseException as error:
                if event is not None:
                    self.acknowledge(event.id)
                if isinstance(error, FileExistsError):
                    raise Conflict(f"There is an object {key!r} already.") from None
                raise
        if event is not None and self._listener is not None:
            self._listener(event)
        return stored

    # --- signed URLs --------------------------------------------------------------------------------------------------

    def signed_url(
        self,
        bucket: str,
        key: str,
        *,
        method: str = "GET",
        expires_in: int = 900,
        media_type: str | None = None,
        max_bytes: int | None = None,
        filename: str | None = None,
    ) -> str:
        grant = Grant(method, bucket, key, media_type=media_type, max_bytes=max_bytes, filename=filename)
        return self._signer.sign(grant, expires_in)

    def verify(self, bucket: str, key: str, query: Mapping[str, str]) -> Grant:
        """What the URL with this bucket, key (percent-decoded) and query allows. Raises :class:`Forbidden`."""
        return self._signer.verify(bucket, key, query)

    def way_in(
        self,
        bucket: str,
        key: str,
        *,
        size: int,
        media_type: str,
        sha256: str | None = None,
        expires_in: int = 900,
        part_bytes: int | None = None,
    ) -> Way:
        check_media_type(media_type)
        check_parts(size, part_bytes)
        if part_bytes is None:
            grant = Grant("PUT", bucket, key, media_type=media_type, size=size, sha256=sha256, once=True)
            return Way("PUT", (self._signer.sign(grant, expires_in),), {"content-type": media_type})
        parts_id = str(uuid7())
        urls = tuple(
            self._signer.sign(
                Grant("PUT", bucket, key, size=min(part_bytes, size - start), parts_id=parts_id, part=number),
                expires_in,
            )
            for number, start in enumerate(range(0, size, part_bytes), 1)
        )
        with _disk():
            folder = self._parts(parts_id)
            noted = {"bucket": bucket, "key": key, "media_type": media_type}
            _write(folder / "upload.json", (json.dumps(noted).encode(),))
        return Way("PUT", urls, part_bytes=part_bytes, parts_id=parts_id)

    def accept(self, grant: Grant, data: bytes | BinaryIO, media_type: str) -> str:
        """Keep what was uploaded under a grant, bytes or a file of them; the tag of what is kept now.

        Raises :class:`Forbidden`, :class:`TooLarge`, :class:`Invalid`, or :class:`PreconditionFailed` for what is there
        already.
        """
        file = BytesIO(data) if isinstance(data, bytes) else data
        with _disk():
            size = file.seek(0, os.SEEK_END)
            grant.check(size, media_type)
            file.seek(0)
            digest = _digest(_chunks(file))
            if grant.sha256 is not None and digest != grant.sha256:
                raise Invalid(f"The content's SHA-256 is {digest}, not the one that was announced.")
            file.seek(0)
            if grant.parts_id is not None:
                folder = self._parts(grant.parts_id)
                if not (folder / "upload.json").exists():
                    raise NotFound("There is no such upload any more.")
                _write(folder / f"{grant.part:05}-{digest}", _chunks(file))
                return digest
        try:
            self._keep(grant.bucket, grant.key, _chunks(file), size, digest, media_type, replace=not grant.once)
        except Conflict as error:
            raise PreconditionFailed(error.detail, remedy="It was uploaded before; go on.") from None
        return digest

    def finish(self, bucket: str, key: str, parts_id: str, etags: Sequence[str]) -> None:
        folder = self._parts(parts_id)
        tags = [etag.strip('"') for etag in etags]
        with _disk():
            try:
                noted = json.loads((folder / "upload.json").read_bytes())
                if not tags or (noted["bucket"], noted["key"]) != (bucket, key):
                    raise Invalid("These are not the parts of this upload.")
                paths = [folder / f"{number:05}-{tag}" for number, tag in enumerate(tags, 1)]
                for number, (tag, path) in enumerate(zip(tags, paths, strict=True), 1):
                    if not re.fullmatch("[0-9a-f]{64}", tag) or not path.exists():
                        raise Invalid(f"Part {number} was not stored with this tag.")
                size = sum(path.stat().st_size for path in paths)
                digest = _digest(_content(paths))
                self._keep(bucket, key, _content(paths), size, digest, noted["media_type"], replace=False)
            except FileNotFoundError:
                raise NotFound("There is no such upload, or it was finished.") from None
        self.abort(bucket, key, parts_id)

    def abort(self, bucket: str, key: str, parts_id: str) -> None:
        with _disk(), suppress(FileNotFoundError):
            shutil.rmtree(self._parts(parts_id))

    def _parts(self, parts_id: str) -> Path:
        if not re.fullmatch(r"[0-9a-f-]{36}", parts_id):
            raise NotFound("There is no such upload.")
        return self.root / ".parts" / parts_id

    # --- events -------------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """What was not acknowledged yet, oldest first; only what is still so: the object there as it was put, or gone.

        Other events are dropped when they are old enough not to belong to a ``put`` or ``delete`` that is under way.
        """
        for path in sorted((self.root / ".events").glob("*.json")):
            try:
                yield self.event(path.stem)
            except NotFound:
                with suppress(FileNotFoundError):
                    if self._clock() - path.stat().st_mtime > _STALE_EVENT_SECONDS:
                        path.unlink()

    def event(self, id_: str) -> Event:
        """One event that was not acknowledged. Raises :class:`NotFound`, also when it is not so any more, or yet."""
        try:
            noted = json.loads(self._event_path(id_).read_bytes())
        except FileNotFoundError:
            raise NotFound("There is no such event, or it was acknowledged.") from None
        if (removed_at := noted.pop("removed_at", None)) is not None:
            stored = _stored(noted)
            if self._path(stored.bucket, stored.key).exists():
                raise NotFound("The object of this event is still there, or again.")
            return Event(id_, id_.replace("-", ""), stored, datetime.fromisoformat(removed_at))
        stored = self.head(noted["bucket"], noted["key"])
        if stored.etag != noted["etag"]:
            raise NotFound("The object of this event was replaced; its own event follows.")
        return Event(id_, id_.replace("-", ""), stored)

    def acknowledge(self, id_: str) -> None:
        """The event was taken care of; one that is not there is fine."""
        self._event_path(id_).unlink(missing_ok=True)

    def _write_down(self, stored: Stored, removed_at: datetime | None = None) -> Event:
        id_ = str(uuid7())
        noted = _fields(stored)
        if removed_at is not None:
            noted["removed_at"] = removed_at.isoformat()
        _write(self._event_path(id_), (json.dumps(noted).encode(),))
        return Event(id_, id_.replace("-", ""), stored, removed_at)

    def _event_path(self, id_: str) -> Path:
        if not re.fullmatch(r"[0-9a-f-]{36}", id_):
            raise NotFound("There is no such event.")
        return self.root / ".events" / f"{id_}.json"

    # --- files --------------------------------------------------------------------------------------------------------

    def _path(self, bucket: str, key: str) -> Path:
        check_name(bucket, key)
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.root / bucket / digest[:2] / digest


def _fields(stored: Stored) -> dict[str, Any]:
    return asdict(stored) | {"modified_at": stored.modified_at.isoformat()}


def _stored(fields: dict[str, Any]) -> Stored:
    return Stored(**fields | {"modified_at": datetime.fromisoformat(fields["modified_at"])})


def _header(stored: Stored) -> bytes:
    return json.dumps(_fields(stored)).encode() + b"\n"


def _parsed(header: bytes) -> Stored:
    return _stored(json.loads(header))


def _peek(path: Path) -> Stored | None:
    """The object's header; None when it is not there, or was removed just now."""
    try:
        with path.open("rb") as file:
            return _parsed(file.readline())
    except FileNotFoundError:
        return None


@contextmanager
def _opened(path: Path, key: str) -> Iterator[tuple[Stored, BufferedReader]]:
    """The object's header, and its file just behind that. Raises :class:`NotFound`."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise missing(key) from None
    with file:
        yield _parsed(file.readline()), file


@contextmanager
def _disk() -> Iterator[None]:
    """A disk that is full, or a directory that may not be used, is no caller's mistake: :class:`Unavailable`."""
    try:
        yield
    except OSError as error:
        remedy = "Make room on the disk, or give the process its directory."
        raise Unavailable(f"The store's directory cannot be used: {error.strerror or error}.", remedy=remedy) from error


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(READ_BYTES):
        yield chunk


def _content(paths: Sequence[Path]) -> Iterator[bytes]:
    """What these files hold, one after the other."""
    for path in paths:
        with path.open("rb") as file:
            yield from _chunks(file)


def _digest(data: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for chunk in data:
        found.update(chunk)
    return found.hexdigest()


def _write(path: Path, data: Iterable[bytes], *, replace: bool = True) -> None:
    """``data`` at ``path``, whole and durable: written aside, synced, renamed, and the name synced too.

    Unless it may ``replace``, raises :class:`FileExistsError` when the path is taken.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Aside in another folder than listings read, on the same file system.
    aside = path.parents[1] / ".aside"
    aside.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=aside)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(name, path)
        else:
            os.link(name, path)  # unlike a rename, fails when the name is taken
            os.unlink(name)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
