"""Whether what arrived is what was announced, and may be kept."""

from __future__ import annotations

from dataclasses import dataclass

from functions.storage.buckets import Limits
from functions.storage.media_types import admitted, settle
from functions.storage.sniffing import HEAD_BYTES, TAIL_BYTES, sniff
from shared.models.upload import UploadRow
from shared.storage import Storage, Stored, digest

#: Content that is more than this takes its time: what was found is written down.
LARGE_BYTES = 100 * 1000 * 1000
#: Content that is read through for its hash though nobody announced one: what a store uploads at once.
HASHED_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the content is, and why it is refused, if it is."""

    media_type: str | None
    sha256: str | None
    reason: str | None


def verify(store: Storage, landed: Stored, upload: UploadRow, limits: Limits) -> Verdict:
    """Look at an object that landed: size, kind, hash, in that order, so that least is read of what is refused."""
    if landed.bytes != upload.declared_bytes:
        return _refused(f"It has {landed.bytes} bytes, and {upload.declared_bytes} were announced.")
    if landed.bytes > limits.size:
        return _refused(f"It has {landed.bytes} bytes; the bucket {limits.name} takes at most {limits.size}.")
    head = store.read(landed.bucket, landed.key, 0, HEAD_BYTES)
    rest = landed.bytes - len(head)
    tail = store.read(landed.bucket, landed.key, landed.bytes - min(rest, TAIL_BYTES), TAIL_BYTES) if rest else b""
    media_type, contradiction = settle(sniff(head, tail, landed.bytes), upload.filename, upload.declared_type)
    if contradiction is not None:
        return _refused(contradiction, media_type)
    if not admitted(media_type, limits.media_types):
        return _refused(
            f"Its content is {media_type}; the bucket {limits.name} takes {', '.join(limits.media_types)}.", media_type
        )
    sha256 = landed.sha256
    if sha256 is None and (upload.declared_sha256 is not None or landed.bytes <= HASHED_BYTES):
        sha256 = digest(store, landed.bucket, landed.key, landed.bytes)
    if upload.declared_sha256 is not None and sha256 != upload.declared_sha256:
        return _refused(f"Its SHA-256 is {sha256}, and another was announced.", media_type)
    return Verdict(media_type, sha256, None)


def _refused(reason: str, media_type: str | None = None) -> Verdict:
    return Verdict(media_type, None, reason)
