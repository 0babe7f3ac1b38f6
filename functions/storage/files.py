"""Files that are stored: listed, read through an address for a while, deleted. Each owner's own and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from functions.storage import keys
from shared.errors import Conflict, NotFound
from shared.models.api import Page, read_cursor, write_cursor
from shared.models.upload import ObjectOutput, SignedUrlOutput
from shared.payloads import is_payload
from shared.storage import Storage, Stored


def list_files(
    store: Storage, owner: UUID, bucket: str, prefix: str, cursor: str | None, limit: int
) -> Page[ObjectOutput]:
    """The owner's files in a bucket whose keys begin with the prefix, by their keys, a page at a time."""
    (after,) = read_cursor(cursor, str)
    found = store.list(bucket, keys.own_prefix(owner, prefix), after=after or "", limit=limit + 1)
    shown = found[:limit]
    following = write_cursor(shown[-1].key) if len(found) > limit else None
    return Page[ObjectOutput](items=[_shown(stored) for stored in shown], next=following)


def address(store: Storage, owner: UUID, bucket: str, key: str, seconds: int) -> SignedUrlOutput:
    """An address to read the owner's file, as a file to keep. Raises :class:`NotFound`."""
    key = keys.own(owner, bucket, key)
    store.head(bucket, key)  # an address of what is not there would lead the caller astray
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    url = store.signed_url(bucket, key, expires_in=seconds, filename=keys.file_name(key))
    return SignedUrlOutput(url=url, expires_at=expires_at)


def delete(store: Storage, owner: UUID, bucket: str, key: str) -> None:
    """Remove the owner's file. Raises :class:`NotFound`, and :class:`Conflict` for a value that a run keeps there."""
    key = keys.own(owner, bucket, key)
    if is_payload(bucket, key):
        raise Conflict("That is a value of a run, not a file.", remedy="It goes when its run does.")
    try:
        store.head(bucket, key)
    except NotFound:
        raise NotFound("There is no such file, or it is not yours.") from None
    store.delete(bucket, key)


def _shown(stored: Stored) -> ObjectOutput:
    return ObjectOutput(
        bucket=stored.bucket,
        key=stored.key,
        size=stored.bytes,
        media_type=stored.media_type or None,
        sha256=stored.sha256,
        etag=stored.etag,
        modified_at=stored.modified_at,
    )
