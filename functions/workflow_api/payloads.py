"""Values too large for a row, which holds a reference instead: ``{"$payload": {bucket, key, sha256, bytes}}``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from shared.errors import NotFound
from shared.models.execution import PayloadOutput
from shared.payloads import locate
from shared.storage import Storage

#: How long the address of a value works.
SECONDS = 900


def read_payload(storage: Storage, owner: UUID, sha256: str) -> PayloadOutput:
    """Where the caller's value of this hash can be read for a while. Another's is not there, whatever its hash."""
    bucket, key = locate(owner, sha256)
    try:
        kept = storage.head(bucket, key)
    except NotFound:
        raise NotFound("There is no such value, or it is not yours.") from None
    expires = datetime.now(UTC) + timedelta(seconds=SECONDS)
    return PayloadOutput(
        url=storage.signed_url(bucket, key, expires_in=SECONDS),
        expires_at=expires,
        bytes=kept.bytes,
        media_type=kept.media_type,
    )
