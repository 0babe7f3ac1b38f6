"""Files on their way into a bucket, and files that are there."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from shared.models.api import Input, Output
from shared.models.base import Json, Row, UtcDatetime
from shared.models.storage import Bucket

#: Of a file's name and of a folder, in UTF-8: with the owner's id and the random part, a key that every store takes.
NAME_BYTES = 150
FOLDER_BYTES = 100

_MEDIA_TYPE = r"^[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,100}$"


class UploadRow(Row):
    """An upload: what was announced, where it lands and where it goes, and what became of it."""

    table = "upload"

    id: UUID
    owner_id: UUID
    bucket: str
    key: str
    landing_key: str
    filename: str
    declared_type: str | None
    declared_bytes: int
    declared_sha256: str | None
    parts_id: str | None
    status: str
    reason: str | None
    media_type: str | None
    sha256: str | None
    created_at: UtcDatetime
    expires_at: UtcDatetime
    ended_at: UtcDatetime | None
    clear_at: UtcDatetime | None
    verified: Json | None


def _segment(name: str) -> str:
    """One part of a key, as its owner may choose it: no separator, nothing invisible, nothing that means a folder."""
    if "/" in name or "\\" in name:
        raise ValueError("a name has no slash; say where it goes with `folder`")
    if any(unicodedata.category(character) in ("Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn") for character in name):
        raise ValueError("a name has no line breaks and no control, invisible or unassigned characters")
    if name != name.strip() or name in ("", ".", ".."):
        raise ValueError("a name is not empty, `.` or `..`, and has no spaces around it")
    return name


def _filename(name: str) -> str:
    name = _segment(unicodedata.normalize("NFC", name))
    if len(name.encode()) > NAME_BYTES:
        raise ValueError(f"a name has at most {NAME_BYTES} bytes in UTF-8")
    return name


def _folder(folder: str) -> str:
    folder = unicodedata.normalize("NFC", folder)
    if not folder:
        return folder
    if len(folder.encode()) > FOLDER_BYTES:
        raise ValueError(f"a folder has at most {FOLDER_BYTES} bytes in UTF-8")
    if "%" in folder or "?" in folder:
        raise ValueError("a folder has no `%` and no `?`, which do not come through as a part of an address")
    return "/".join(_segment(part) for part in folder.removesuffix("/").split("/"))


def _known_type(media_type: str) -> str:
    media_type = media_type.partition(";")[0].strip().lower()
    if not re.fullmatch(_MEDIA_TYPE, media_type):
        raise ValueError("is no media type, such as application/pdf")
    return media_type


class UploadInput(Input):
    """A file that is to be stored."""

    bucket: Bucket = Field(examples=["user-uploads"])
    filename: Annotated[str, AfterValidator(_filename)] = Field(min_length=1, max_length=200, examples=["May.pdf"])
    """Its name, which stays the end of its key; there `%` and `?` become `_`."""
    size: int = Field(ge=1, le=2**50, examples=[48_123])
    """In bytes, exactly."""
    media_type: Annotated[str, AfterValidator(_known_type)] | None = Field(
        default=None, max_length=200, examples=["application/pdf"]
    )
    """What you take it for. The content is looked at all the same; one that contradicts this is refused."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$", examples=[None])
    """The content's SHA-256 in hex. Content with another one is refused."""
    folder: Annotated[str, AfterValidator(_folder)] = Field(default="", max_length=200, examples=["invoices"])
    """Where below your user id it goes, such as `invoices/2026`; storage triggers look at it."""


class UploadPart(Output):
    """Where one part of a large file goes."""

    number: int
    url: str
    size: int


class ObjectOutput(Output):
    """A stored file."""

    bucket: str
    key: str
    size: int
    media_type: str | None
    sha256: str | None = None
    etag: str
    modified_at: UtcDatetime


class UploadOutput(Output):
    """An upload, and what became of it."""

    id: UUID
    bucket: str
    key: str
    filename: str
    status: Literal["pending", "stored", "refused", "cancelled", "expired"]
    reason: str | None
    """Why it was refused."""
    media_type: str | None
    """What the content was found to be; null until it was looked at."""
    size: int
    sha256: str | None
    created_at: UtcDatetime
    expires_at: UtcDatetime
    """Until then it can be uploaded and completed."""
    ended_at: UtcDatetime | None


class UploadTicket(UploadOutput):
    """A new upload, and how to bring the file."""

    method: Literal["PUT", "TUS"]
    """`PUT`: send the bytes to `url`, or each part to its own. `TUS`: by the protocol of tus.io to `url`."""
    url: str | None
    """Null for an upload in parts."""
    headers: dict[str, str]
    """To be sent with each request, as they are."""
    parts: list[UploadPart]
    """Empty unless the file is large."""
    part_size: int | None
    """Bytes of each part but the last; of each piece by TUS."""
    metadata: dict[str, str]
    """Of an upload by TUS."""


class UploadCompletion(Input):
    """That all was uploaded."""

    etags: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(default=[], max_length=1000, examples=[[]])
    """The `ETag` of each part's answer, in order; none for a file that was sent as a whole."""


class SignedUrlInput(Input):
    """A file that somebody may read for a while."""

    bucket: Bucket = Field(examples=["user-uploads"])
    key: str = Field(min_length=1, max_length=1024, examples=["{key}"])
    expires_in: int = Field(default=3600, ge=60, le=7 * 24 * 3600)
    """In seconds: from a minute to seven days."""


class SignedUrlOutput(Output):
    """An address that needs no credentials, until it ends."""

    url: str
    expires_at: UtcDatetime


class BucketOutput(Output):
    """A bucket."""

    name: str
    size_limit: int
    """Of one file, in bytes."""
    media_types: list[str] | None
    """What it takes; null: anything."""
