"""The port: where objects are kept, whatever keeps them."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from shared.errors import Invalid, NotFound, Unavailable

#: The buckets of an installation.
BUCKETS = ("ocr-documents", "rag-files", "user-uploads", "workflow-attachments", "code-executions")

#: The queue that brings storage events to ``storage_intake``.
EVENTS = "storage-events"

DEFAULT_MEDIA_TYPE = "application/octet-stream"
LONGEST_SIGNED_SECONDS = 7 * 24 * 3600
PAGE = 1000

#: What one part of a large upload may have: S3 takes no smaller one but the last ("Amazon S3 multipart upload limits").
LEAST_PART_BYTES = 5 * 1024 * 1024
#: How much of an object is read at once by who reads it through.
READ_BYTES = 8 * 1024 * 1024

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(;[\x20-\x7e]{1,200})?")  # RFC 6838, 4.2
_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of an object without reading it."""

    bucket: str
    key: str
    bytes: int
    etag: str  #: another whenever the content is; each store has its own kind
    media_type: str  #: "" in a list of a store whose lists do not tell
    modified_at: datetime
    sha256: str | None = None  #: of the content, in hex; None where the store does not tell


@dataclass(frozen=True, slots=True)
class Way:
    """How somebody without credentials brings one object: what to send where, before the addresses expire.

    ``PUT``: the whole content to the one URL, or a part of ``part_bytes`` (the last may be smaller) to each in order.
    ``TUS``: by the protocol of https://tus.io to the one URL, in pieces of ``part_bytes``, with this ``metadata``. The
    ``headers`` are sent with every request, as they are.
    """

    method: Literal["PUT", "TUS"]
    urls: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    part_bytes: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    parts_id: str | None = None  #: what :meth:`Storage.finish` and :meth:`Storage.abort` want; None: nothing to finish


class Storage(Protocol):
    """Where objects are kept.

    A bucket's name follows S3's rules; a key is 1 to 1,024 bytes of UTF-8, in which ``/`` means nothing but itself. A
    bad one is :class:`Invalid`; an object that is not there is :class:`NotFound`.
    """

    def put(
        self, bucket: str, key: str, data: bytes, media_type: str = DEFAULT_MEDIA_TYPE, *, replace: bool = True
    ) -> Stored:
        """Keep ``data``, in place of what was there; or unless it may ``replace`` that, :class:`Conflict`.

        Of several at once that may not, one gets through.
        """

    def get(self, bucket: str, key: str) -> bytes:
        """The object's content."""

    def head(self, bucket: str, key: str) -> Stored:
        """What is known of the object."""

    def read(self, bucket: str, key: str, start: int, size: int) -> bytes:
        """``size`` bytes of the content from ``start`` on; fewer, or none, where it ends before."""

    def delete(self, bucket: str, key: str) -> None:
        """Remove the object; one that is not there is fine."""

    def purge(self, bucket: str, key: str) -> None:
        """Remove the object so that the store keeps no older version of it either."""

    def copy(
        self, bucket: str, key: str, to_bucket: str, to_key: str, media_type: str, *, etag: str | None = None
    ) -> Stored:
        """Copy an object within the store, with another media type and never over what is there: :class:`Conflict`.

        Also when the object is not the one with this ``etag`` any more, where the store can tell. Of several copies to
        one key at once, one gets through.
        """

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
        filename: str | None = None,
    ) -> str:
        """A URL to GET or PUT the object within ``expires_in`` seconds; PUT only this type, at most this size.

        What a store cannot hold an upload to (S3: the size; Supabase: both, and less than two hours) whoever is told of
        the new object has to check. Supabase signs a GET only of what is there, else it is :class:`NotFound`. With a
        ``filename`` what is got is a file of this name to keep, never a page to show.
        """

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
        """How somebody else stores this object, once: what is there is not replaced.

        S3 and a directory take exactly ``size`` bytes, and with ``sha256`` (in hex) only content with this hash; in
        parts, the hash of the whole is not looked at. Supabase keeps to its bucket's limits only.
        """

    def finish(self, bucket: str, key: str, parts_id: str, etags: Sequence[str]) -> None:
        """Make the object of its parts, whose ``etags`` are those that the store answered with, in order.

        :class:`NotFound` when there is no such upload (any more), :class:`Invalid` when these are not its parts.
        """

    def abort(self, bucket: str, key: str, parts_id: str) -> None:
        """Forget the parts that were stored; an upload that is not there is fine."""


def pieces(store: Storage, bucket: str, key: str, size: int) -> Iterator[bytes]:
    """The content of an object of ``size`` bytes, as bytes of bounded size."""
    for start in range(0, size, READ_BYTES):
        yield store.read(bucket, key, start, min(READ_BYTES, size - start))


def digest(store: Storage, bucket: str, key: str, size: int) -> str:
    """SHA-256 of an object's content in hex, read through in bounded memory."""
    found = hashlib.sha256()
    for piece in pieces(store, bucket, key, size):
        found.update(piece)
    return found.hexdigest()


def attachment(filename: str) -> str:
    """The value of Content-Disposition that has a browser save a file under this name (RFC 6266, RFC 8187)."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = re.sub(r'["\\%/\x00-\x1f\x7f]', "_", plain).strip() or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{urllib.parse.quote(filename, safe='')}"


def in_base64(sha256: str) -> str:
    """A hash in hex as S3 and HTTP headers write it. Raises :class:`Invalid` for what is none."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise Invalid("A SHA-256 is written as 64 small hexadecimal digits.")
    return base64.b64encode(bytes.fromhex(sha256)).decode()


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


def check_media_type(media_type: str) -> None:
    """Raises :class:`Invalid` for what is no media type."""
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise Invalid(f"{media_type[:80]!r} is no media type.")


def check_page(limit: int) -> None:
    """Raises :class:`Invalid` unless a list may have this many objects."""
    if not 1 <= limit <= PAGE:
        raise Invalid(f"A page has 1 to {PAGE} objects.")


def check_signing(method: str, expires_in: int, longest: int = LONGEST_SIGNED_SECONDS) -> None:
    """Raises :class:`Invalid` unless a URL may be signed for this method and so long."""
    if method not in ("GET", "PUT"):
        raise Invalid(f"A signed URL is for GET or PUT, not {method[:20]!r}.")
    if not 1 <= expires_in <= longest:
        raise Invalid(f"A signed URL lasts 1 to {longest} seconds.")


def check_parts(size: int, part_bytes: int | None) -> None:
    """Raises :class:`Invalid` unless an object may have this size and parts of this one."""
    if size < 0 or (part_bytes is not None and part_bytes < LEAST_PART_BYTES):
        raise Invalid(f"An object has at least 0 bytes, a part of one at least {LEAST_PART_BYTES}.")


def missing(key: str) -> NotFound:
    """That there is no such object."""
    return NotFound(f"There is no object {key!r}.")


def no_bucket(name: str) -> Unavailable:
    """That the bucket itself is not there: no caller's mistake."""
    return Unavailable(f"The bucket {name!r} is not there.", remedy="Provision the installation's buckets.")
