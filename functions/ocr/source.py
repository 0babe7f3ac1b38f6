"""Where a document comes from: a stored file in its owner's folder, or an address on the public internet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared import payloads
from shared.errors import MillraceError, NotFound, Unavailable
from shared.jobs import JobError
from shared.storage import BUCKETS, DEFAULT_MEDIA_TYPE, Storage

#: For a whole download.
TIMEOUT_SECONDS = 120.0
#: What has just been uploaded and was not looked at yet lies below this; it is nobody's file before it has moved.
LANDING = "incoming/"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document's bytes, and what they are said to be."""

    data: bytes
    media_type: str
    sha256: str  #: of the bytes, in hex


def place_of(input_: dict[str, Any]) -> dict[str, Any]:
    """Where the document of a job's input is: ``{bucket, key}`` or ``{url}``. A stored file's job may name it alone."""
    place = input_.get("document", input_)
    return place if isinstance(place, dict) else {}


def fetch(storage: Storage, owner: UUID, place: dict[str, Any], *, largest: int) -> Fetched:
    """The document, of at most ``largest`` bytes.

    Raises :class:`JobError` with a reason for people; what may pass (a store or a server that does not answer) is
    retryable.
    """
    if payloads.is_reference(place):
        data, media_type = _kept(storage, owner, place)
    elif "url" in place:
        data, media_type = _download(str(place["url"]), largest)
    else:
        data, media_type = _stored(storage, owner, place.get("bucket"), place.get("key"), largest)
    return Fetched(data, media_type, hashlib.sha256(data).hexdigest())


def _stored(storage: Storage, owner: UUID, bucket: Any, key: Any, largest: int) -> tuple[bytes, str]:
    folder = f"{owner}/"
    if bucket not in BUCKETS or not isinstance(key, str) or not key.startswith(folder):
        raise JobError("The file is not one of yours: its key must begin with your id.", kind="not_found")
    if bucket == "user-uploads" and key.startswith(folder + LANDING):
        raise JobError("The upload has not been verified yet; finish it, and name where it went.", kind="not_found")
    with _told_apart(f"The file {bucket}/{key} is not there (any more)."):
        known = storage.head(bucket, key)
        if known.bytes > largest:
            raise JobError(f"The file has {known.bytes:,} bytes; {largest:,} are read at most.", kind="too_large")
        return storage.get(bucket, key), known.media_type or DEFAULT_MEDIA_TYPE


def _kept(storage: Storage, owner: UUID, reference: dict[str, Any]) -> tuple[bytes, str]:
    with _told_apart("What was downloaded is not there any more."):
        return payloads.fetch(storage, owner, reference), str(reference[payloads.MARK].get("media_type", ""))


class _told_apart:  # noqa: N801  (a statement's name)
    """What storage raises as what a job fails with."""

    def __init__(self, missing: str) -> None:
        self._missing = missing

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, NotFound):
            raise JobError(self._missing, kind="not_found") from None
        if isinstance(error, Unavailable | OSError):
            raise JobError("The storage does not answer.", kind="storage", retryable=True) from error
        if isinstance(error, MillraceError):
            raise JobError(error.detail, kind="storage") from None


def _download(url: str, largest: int) -> tuple[bytes, str]:
    import httpx  # only who reads from the internet pays for it

    from shared import outbound

    with outbound.client(timeout=TIMEOUT_SECONDS, max_bytes=largest) as client:
        try:
            answer = client.get(url)
        except outbound.BlockedAddress as error:
            raise JobError(error.detail, kind="blocked_address") from None
        except outbound.ResponseTooLarge:
            raise JobError(
                f"The document has more than {largest:,} bytes, the most that is read.", kind="too_large"
            ) from None
        except httpx.TooManyRedirects:
            raise JobError("The address redirects too often.", kind="download") from None
        except httpx.HTTPError as error:
            message = f"The document could not be downloaded: {type(error).__name__}."
            raise JobError(message, kind="download", retryable=isinstance(error, httpx.TransportError)) from None
    if answer.is_success:
        return answer.content, answer.headers.get("content-type", "").partition(";")[0].strip() or DEFAULT_MEDIA_TYPE
    message = f"The document could not be downloaded: the server answered {answer.status_code}."
    passing = answer.status_code in (408, 429) or answer.status_code >= 500
    raise JobError(message, kind="download", retryable=passing)
