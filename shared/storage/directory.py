"""Objects in a directory of this machine: the laptop's store.

Where the store has a listener, each ``put`` is told to it at least once: the event is written down before the object
appears, and stays in :meth:`DirectoryStorage.events` until it is acknowledged. So it survives a crash, as S3's events
do; and like those it may come twice.

A signed URL leads to the local stack, which asks :meth:`DirectoryStorage.verify` before it acts.
"""

from __future__ import annotations

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

from shared.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from shared.ids import uuid7
from shared.storage.port import (
    DEFAULT_MEDIA_TYPE,
    PAGE,
    Stored,
    check_media_type,
    check_name,
    check_page,
    check_signing,
    missing,
)

_STALE_EVENT_SECONDS = 3600


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

    def put(
        self, bucket: str, key: str, data: bytes, media_type: str = DEFAULT_MEDIA_TYPE, *, replace: bool = True
    ) -> Stored:
        path = self._path(bucket, key)
        check_media_type(media_type)
        stored = Stored(
            bucket=bucket,
            key=key,
            bytes=len(data),
            etag=hashlib.sha256(data).hexdigest(),
            media_type=media_type,
            modified_at=datetime.fromtimestamp(self._clock(), UTC),
        )
        event = self._write_down(stored) if self._listener is not None else None
        try:
            _write(path, _header(stored) + data, replace=replace)
        except FileExistsError:
            if event is not None:
                self.acknowledge(event.id)
            raise Conflict(f"There is an object {key!r} already.") from None
        if event is not None and self._listener is not None:
            self._listener(event)
        return stored

    def get(self, bucket: str, key: str) -> bytes:
        data = self._read(self._path(bucket, key), key)
        return data[data.index(b"\n") + 1 :]

    def head(self, bucket: str, key: str) -> Stored:
        found = _peek(self._path(bucket, key))
        if found is None:
            raise missing(key)
        return found

    def delete(self, bucket: str, key: str) -> None:
        path = self._path(bucket, key)
        with suppress(FileNotFoundError):
            path.unlink()
            _sync_directory(path.parent)

    def list(self, bucket: str, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[Stored]:
        check_name(bucket, prefix or "any")
        check_page(limit)
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
        check_signing(method, expires_in)
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
            raise missing(key) from None


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


def _write(path: Path, data: bytes, *, replace: bool = True) -> None:
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
            file.write(data)
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
