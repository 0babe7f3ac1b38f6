"""The port: where objects are kept, whatever keeps them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.errors import Invalid, NotFound, Unavailable

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


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of an object without reading it."""

    bucket: str
    key: str
    bytes: int
    etag: str  #: another whenever the content is; each store has its own kind
    media_type: str  #: "" in a list of a store whose lists do not tell
    modified_at: datetime


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
        """A URL to GET or PUT the object within ``expires_in`` seconds; PUT only this type, at most this size.

        What a store cannot hold an upload to (S3: the size; Supabase: both, and less than two hours) whoever is told of
        the new object has to check. Supabase signs a GET only of what is there, else it is :class:`NotFound`.
        """


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


def missing(key: str) -> NotFound:
    """That there is no such object."""
    return NotFound(f"There is no object {key!r}.")


def no_bucket(name: str) -> Unavailable:
    """That the bucket itself is not there: no caller's mistake."""
    return Unavailable(f"The bucket {name!r} is not there.", remedy="Provision the installation's buckets.")
