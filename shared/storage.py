"""Objects in buckets: the port, and the store that keeps them in a directory.

An object appears whole or not at all and is durable when ``put`` returns. Where a store has a listener, each ``put`` is
told to it at least once: the event is written down before the object appears, and stays in
:meth:`DirectoryStorage.events` until it is acknowledged. So it survives a crash, as S3's events do; and like those it
may come twice.

A signed URL lets its bearer do one thing to one object until it expires. For a directory it leads to the local stack,
which asks :meth:`DirectoryStorage.verify` before it acts.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import re
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from shared.errors import Forbidden, Invalid, NotFound, TooLarge
from shared.ids import uuid7

#: The buckets of an installation.
BUCKETS = ("ocr-documents", "rag-files", "user-uploads", "workflow-attachments", "code-executions")

#: The queue that brings storage events to ``storage_intake``.
EVENTS = "storage-events"

DEFAULT_MEDIA_TYPE = "application/octet-stream"
LONGEST_SIGNED_SECONDS = 7 * 24 * 3600
PAGE = 1000

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(;[\x20-\x7e]{1,200})?")  # RFC 6838, 4.2
_KEY_BYTES = 1024
_STALE_EVENT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of an object without reading it."""

    bucket: str
    key: str
    bytes: int
    etag: str  #: SHA-256 of the content, in hex
    media_type: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Created:
    """That an object came to be, or was replaced."""

    id: str  #: to acknowledge it by
    sequencer: str  #: later ones of one key are greater, as text
    object: Stored


@dataclass(frozen=True, slots=True)
class Grant:
    """What a signed URL allows."""

    method: str
    bucket: str
    key: str
    media_type: str | None
    max_bytes: int | None


class Storage(Protocol):
    """Where objects are kept.

    A bucket's name follows S3's rules; a key is 1 to 1,024 bytes of UTF-8, in which ``/`` means nothing but itself. A
    bad one is :class:`Invalid`; an object that is not there is :class:`NotFound`.
    """

    def put(self, bucket: str, key: str, data: bytes, media_type: str = DEFAULT_MEDIA_TYPE) -> Stored:
        """Keep ``data``, in place of what was there."""

    def get(self, bucket: str, key: str) -> bytes:
        """The object's content."""

    def head(self, bucket: str, key: str) -> Stored:
        """What is known of the object."""

    def delete(self, bucket: str, key: str) -> None:
        """Remove the object; one that is not there is fine."""

    def list(self, bucket: str, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[Stored]:
        """Objects whose key begins with ``prefix`` and sorts after ``after`` (by UTF-8 bytes), in that order."""

    def signed_url(
        self,
        bucket: str,
        key: str,
        *,
        method: str = "GET",
        expires_in: int = 900,
        media_type: str | None = None,
        max_bytes: int | None = None,
    ) -> str:
        """A URL for one GET or PUT within ``expires_in`` seconds; a PUT only of this type and at most this size."""


def check_name(bucket: str, key: str) -> None:
    """Raises :class:`Invalid` unless both follow the rules of :class:`Storage`."""
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise Invalid(f"{bucket[:80]!r} is no bucket's name.")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise Invalid("An object's key must be valid Unicode.") from None
    if not 1 <= size <= _KEY_BYTES or "\0" in key:
        raise Invalid(f"An object's key must have 1 to {_KEY_BYTES} bytes, none of them NUL.")


class DirectoryStorage:
    """Objects as files below ``root``, for one machine; any number of processes may share it.

    An object is one file, named for the hash of its key, so that no key can lead anywhere else and none is too long, or
    the same as another for a file system that ignores case. The file's first line is JSON (key, type, hash, time), its
    rest the content: both change in one rename. ``listener`` is told of each new object after it is durable, in the
    thread of ``put``; without one no events are kept.
    """

    def __init__(
        self,
        root: Path,
        secret: bytes | None = None,
        *,
        url: str = "http://127.0.0.1:8787",
        listener: Callable[[Created], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``secret`` (at least 32 bytes) signs URLs, which begin with ``url``; without it there are none."""
        if secret is not None and len(secret) < 32:
            raise ValueError("the secret that signs URLs must have at least 32 bytes")
        self.root = Path(root).absolute()
        self._secret = secret
        self._url = url.rstrip("/")
        self._listener = listener
        self._clock = clock

    def put(self, bucket: str, key: str, data: bytes, media_type: str = DEFAULT_MEDIA_TYPE) -> Stored:
        path = self._path(bucket, key)
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise Invalid(f"{media_type[:80]!r} is no media type.")
        stored = Stored(
            bucket=bucket,
            key=key,
            bytes=len(data),
            etag=hashlib.sha256(data).hexdigest(),
            media_type=media_type,
            modified_at=datetime.fromtimestamp(self._clock(), UTC),
        )
        event = self._write_down(stored) if self._listener is not None else None
        _write(path, _header(stored) + data)
        if event is not None and self._listener is not None:
            self._listener(event)
        return stored

    def get(self, bucket: str, key: str) -> bytes:
        data = self._read(self._path(bucket, key), key)
        return data[data.index(b"\n") + 1 :]

    def head(self, bucket: str, key: str) -> Stored:
        found = _peek(self._path(bucket, key))
        if found is None:
            raise _missing(key)
        return found

    def delete(self, bucket: str, key: str) -> None:
        path = self._path(bucket, key)
        with suppress(FileNotFoundError):
            path.unlink()
            _sync_directory(path.parent)

    def list(self, bucket: str, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[Stored]:
        check_name(bucket, prefix or "any")
        if not 1 <= limit <= PAGE:
            raise Invalid(f"A page has 1 to {PAGE} objects.")
        found = [
            stored
            for path in (self.root / bucket).glob("??/*")
            if (stored := _peek(path)) is not None and stored.key.startswith(prefix)
        ]
        found.sort(key=lambda stored: stored.key.encode())
        return [stored for stored in found if stored.key.encode() > after.encode()][:limit]

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
    ) -> str:
        check_name(bucket, key)
        if method not in ("GET", "PUT"):
            raise Invalid(f"A signed URL is for GET or PUT, not {method[:20]!r}.")
        if not 1 <= expires_in <= LONGEST_SIGNED_SECONDS:
            raise Invalid(f"A signed URL lasts 1 to {LONGEST_SIGNED_SECONDS} seconds.")
        query = {"method": method, "expires": str(int(self._clock()) + expires_in)}
        if media_type is not None:
            query["type"] = media_type
        if max_bytes is not None:
            query["max"] = str(max_bytes)
        query["signature"] = self._sign(bucket, key, query)
        path = urllib.parse.quote(f"/objects/{bucket}/{key}", safe="/")
        return f"{self._url}{path}?{urllib.parse.urlencode(query)}"

    def verify(self, bucket: str, key: str, query: Mapping[str, str]) -> Grant:
        """What the URL with this bucket, key (percent-decoded) and query allows. Raises :class:`Forbidden`."""
        try:
            signature = self._sign(bucket, key, query)
            expires = int(query["expires"])
            grant = Grant(
                method=query["method"],
                bucket=bucket,
                key=key,
                media_type=query.get("type"),
                max_bytes=int(query["max"]) if "max" in query else None,
            )
        except (KeyError, ValueError):
            raise Forbidden("This address is not signed.") from None
        if not hmac.compare_digest(signature.encode(), query.get("signature", "").encode()):
            raise Forbidden("This address is not as it was signed.")
        if self._clock() >= expires:
            raise Forbidden("This address has expired.", remedy="Ask for a new one.")
        return grant

    def accept(self, grant: Grant, data: bytes, media_type: str) -> Stored:
        """Keep what was uploaded under a grant. Raises :class:`Forbidden`, :class:`TooLarge` or :class:`Invalid`."""
        if grant.method != "PUT":
            raise Forbidden("This address is not for uploading.")
        if grant.max_bytes is not None and len(data) > grant.max_bytes:
            raise TooLarge(f"This address takes at most {grant.max_bytes} bytes.")
        if grant.media_type is not None and media_type != grant.media_type:
            raise Invalid(f"This address takes {grant.media_type} only.")
        return self.put(grant.bucket, grant.key, data, media_type)

    def _sign(self, bucket: str, key: str, query: Mapping[str, str]) -> str:
        if self._secret is None:
            raise Forbidden("This store signs no addresses.", remedy="Set MILLRACE_STORAGE_SECRET.")
        # As JSON, so that no two sets of fields read the same.
        fields = [query.get(name) for name in ("method", "expires", "type", "max")]
        said = json.dumps(["millrace object 1", bucket, key, *fields])
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()

    # --- events -------------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Created]:
        """What was not acknowledged yet, oldest first; only of objects that are still there as they were put.

        Events of others are dropped when they are old enough not to belong to a ``put`` that is under way.
        """
        for path in sorted((self.root / ".events").glob("*.json")):
            try:
                yield self.event(path.stem)
            except NotFound:
                with suppress(FileNotFoundError):
                    if self._clock() - path.stat().st_mtime > _STALE_EVENT_SECONDS:
                        path.unlink()

    def event(self, id_: str) -> Created:
        """One event that was not acknowledged. Raises :class:`NotFound`, also when its object is gone or replaced."""
        try:
            noted = json.loads(self._event_path(id_).read_bytes())
        except FileNotFoundError:
            raise NotFound("There is no such event, or it was acknowledged.") from None
        stored = self.head(noted["bucket"], noted["key"])
        if stored.etag != noted["etag"]:
            raise NotFound("The object of this event was replaced; its own event follows.")
        return Created(id=id_, sequencer=id_.replace("-", ""), object=stored)

    def acknowledge(self, id_: str) -> None:
        """The event was taken care of; one that is not there is fine."""
        self._event_path(id_).unlink(missing_ok=True)

    def _write_down(self, stored: Stored) -> Created:
        id_ = str(uuid7())
        _write(
            self._event_path(id_),
            json.dumps({"bucket": stored.bucket, "key": stored.key, "etag": stored.etag}).encode(),
        )
        return Created(id=id_, sequencer=id_.replace("-", ""), object=stored)

    def _event_path(self, id_: str) -> Path:
        if not re.fullmatch(r"[0-9a-f-]{36}", id_):
            raise NotFound("There is no such event.")
        return self.root / ".events" / f"{id_}.json"

    # --- files --------------------------------------------------------------------------------------------------------

    def _path(self, bucket: str, key: str) -> Path:
        check_name(bucket, key)
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.root / bucket / digest[:2] / digest

    def _read(self, path: Path, key: str) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise _missing(key) from None


def _missing(key: str) -> NotFound:
    return NotFound(f"There is no object {key!r}.")


def _header(stored: Stored) -> bytes:
    fields = asdict(stored) | {"modified_at": stored.modified_at.isoformat()}
    return json.dumps(fields).encode() + b"\n"


def _peek(path: Path) -> Stored | None:
    """The object's header; None when it is not there, or was removed just now."""
    try:
        with path.open("rb") as file:
            fields = json.loads(file.readline())
    except FileNotFoundError:
        return None
    return Stored(**fields | {"modified_at": datetime.fromisoformat(fields["modified_at"])})


def _write(path: Path, data: bytes) -> None:
    """``data`` at ``path``, whole and durable: written aside, synced, renamed, and the name synced too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Aside in another folder than listings read, on the same file system.
    aside = path.parents[1] / ".aside"
    aside.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=aside)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
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


@functools.cache
def storage() -> Storage:
    """The process's store, as ``MILLRACE_STORAGE`` names it; its events ring the bell of :data:`EVENTS`."""
    from shared.doorbell import doorbell
    from shared.settings import StorageSettings

    settings = StorageSettings.load()
    secret = settings.storage_secret
    return DirectoryStorage(
        Path(settings.storage.removeprefix("directory:")),
        secret.get_secret_value().encode() if secret is not None else None,
        url=settings.storage_url,
        listener=lambda event: doorbell().ring(EVENTS, [event.id]),
    )
