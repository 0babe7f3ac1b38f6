"""Objects in Supabase Storage, through the client of the ``supabase`` package.

Written after https://supabase.com/docs/reference/python/storage-from-upload (and the pages beside it), and
https://supabase.com/docs/guides/storage. What those leave out was read in the server's source, supabase/storage on
GitHub: which names it takes (``src/storage/limits.ts``), how it answers errors (``src/http/error-handler.ts``: with
status 400 for most, the true one in the body), which fields ``info`` has (``src/storage/renderer/info.ts``), what a
copy takes (``src/http/routes/object/copyObject.ts``), how a resumable upload is signed (``src/http/routes/tus``).

Storage takes few characters in names and the client fewer paths, so other keys are written with escapes: see
:mod:`shared.storage.names`. Keys that can be names are names, so that what others upload is found by its own name.
"""

from __future__ import annotations

import base64
import heapq
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.errors import Conflict, Invalid, MillraceError, TooLarge, Unavailable
from shared.storage.names import key_of, name_of
from shared.storage.port import (
    DEFAULT_MEDIA_TYPE,
    LONGEST_SIGNED_SECONDS,
    PAGE,
    Stored,
    Way,
    check_media_type,
    check_name,
    check_page,
    check_parts,
    check_signing,
    missing,
    no_bucket,
)

if TYPE_CHECKING:
    import httpx
    from storage3 import SyncStorageClient
    from storage3._sync.file_api import SyncBucketProxy
    from storage3.types import SearchV2Options, URLOptions

#: "They are valid for 2 hours" (reference, createSignedUploadUrl), whatever is asked.
UPLOAD_URL_SECONDS = 2 * 3600

#: "The chunk size must be set to 6 MB (for now) do not change it" (guide, "Resumable Uploads").
TUS_BYTES = 6 * 1024 * 1024

#: Storage puts a tenant, the bucket and a version around a name to make the key of its own store, which holds 1,024.
LONGEST_NAME = 900

CONNECT_SECONDS = 3
READ_SECONDS = 20

_MEDIA_TYPE = "media_type"  # in an object's own metadata: Storage keeps a type without its parameters
#: An end of a prefix whose escapes depend on what follows it in a key.
_UNDECIDED = re.compile(r"(?:/|\.|![0-9A-F]?)+$")


class SupabaseStorage:
    """Objects in the buckets of one Supabase project, used with its secret key, which row-level security lets pass."""

    def __init__(self, url: str, key: str) -> None:
        """``url``: the project's, such as ``https://<ref>.supabase.co``."""
        self._url = f"{url.rstrip('/')}/storage/v1/"
        self._key = key
        self._opened: SyncStorageClient | None = None
        self._lock = threading.Lock()

    def put(
        self, bucket: str, key: str, data: bytes, media_type: str = DEFAULT_MEDIA_TYPE, *, replace: bool = True
    ) -> Stored:
        name = _checked(bucket, key)
        check_media_type(media_type)
        with _errors(bucket, key):
            self._bucket(bucket).upload(
                name,
                data,
                {
                    "content-type": media_type,
                    "metadata": {_MEDIA_TYPE: media_type},
                    "x-upsert": "true" if replace else "false",
                    # No cache may give yesterday's content after today's was put (docs, "Smart CDN").
                    "cache-control": "0",
                },
            )
        return self.head(bucket, key)  # an upload's answer has neither tag nor time

    def get(self, bucket: str, key: str) -> bytes:
        name = _checked(bucket, key)
        with _errors(bucket, key):
            return self._bucket(bucket).download(name)

    def read(self, bucket: str, key: str, start: int, size: int) -> bytes:
        name = _checked(bucket, key)
        if size < 1:
            return b""
        try:
            with _errors(bucket, key):
                asked = {"range": f"bytes={start}-{start + size - 1}"}
                return self._ask("GET", f"object/{bucket}/{urllib.parse.quote(name)}", headers=asked).content
        except _BeyondTheEnd:
            return b""

    def head(self, bucket: str, key: str) -> Stored:
        name = _checked(bucket, key)
        with _errors(bucket, key):
            found = self._bucket(bucket).info(name)
            return Stored(
                bucket=bucket,
                key=key,
                bytes=int(found["size"]),
                etag=_tag(found["etag"]),
                media_type=(found.get("metadata") or {}).get(_MEDIA_TYPE) or found["content_type"],
                modified_at=_instant(found.get("last_modified") or found["created_at"]),
            )

    def delete(self, bucket: str, key: str) -> None:
        name = _checked(bucket, key)
        with _errors(bucket, key):
            self._bucket(bucket).remove([name])

    def purge(self, bucket: str, key: str) -> None:
        """As the port says: Storage keeps no older versions."""
        self.delete(bucket, key)

    def copy(
        self, bucket: str, key: str, to_bucket: str, to_key: str, media_type: str, *, etag: str | None = None
    ) -> Stored:
        """As the port says. Storage cannot be told the ``etag``: that is looked at before and after."""
        name, to_name = _checked(bucket, key), _checked(to_bucket, to_key)
        check_media_type(media_type)
        self._unchanged(bucket, key, etag)
        described = base64.b64encode(json.dumps({_MEDIA_TYPE: media_type}).encode()).decode()
        with _errors(to_bucket, to_key):
            self._ask(
                "POST",
                "object/copy",
                headers={"x-upsert": "false", "x-metadata": described},
                json={
                    "bucketId": bucket,
                    "sourceKey": name,
                    "destinationBucket": to_bucket,
                    "destinationKey": to_name,
                    "copyMetadata": False,
                    "metadata": {"mimetype": media_type.partition(";")[0], "cacheControl": "max-age=0"},
                },
            )
        try:
            self._unchanged(bucket, key, etag)
        except Conflict:
            self.delete(to_bucket, to_key)
            raise
        return self.head(to_bucket, to_key)

    def _unchanged(self, bucket: str, key: str, etag: str | None) -> None:
        if etag is not None and self.head(bucket, key).etag != etag:
            raise Conflict(f"The object {key!r} is another one by now.")

    def list(self, bucket: str, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[Stored]:
        """As the port says. Reads all that begins with the prefix: Storage's order is not ours, nor its cursors."""
        check_name(bucket, prefix or "any")
        check_page(limit)
        with _errors(bucket, prefix):
            found = (
                stored
                for stored in self._all(bucket, name_of(_UNDECIDED.sub("", prefix)))
                if stored.key.startswith(prefix) and stored.key.encode() > after.encode()
            )
            return heapq.nsmallest(limit, found, key=lambda stored: stored.key.encode())

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
        """As the port says: an address to PUT lasts two hours, and only the bucket's own limits hold it."""
        name = _checked(bucket, key)
        check_signing(method, expires_in, UPLOAD_URL_SECONDS if method == "PUT" else LONGEST_SIGNED_SECONDS)
        with _errors(bucket, key):
            if method == "GET":
                options: URLOptions = {} if filename is None else {"download": filename}
                signed = self._bucket(bucket).create_signed_url(name, expires_in, options)["signedURL"]
            else:
                from storage3.types import CreateSignedUploadUrlOptions

                upsert = CreateSignedUploadUrlOptions(upsert="true")
                signed = self._bucket(bucket).create_signed_upload_url(name, upsert)["signed_url"]
        return _as_address(signed)

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
        """As the port says; a large object comes by TUS in pieces of Storage's size, whatever ``part_bytes`` says."""
        name = _checked(bucket, key)
        check_signing("PUT", expires_in)
        check_media_type(media_type)
        check_parts(size, part_bytes)
        with _errors(bucket, key):
            signed = self._bucket(bucket).create_signed_upload_url(name)
        if part_bytes is None:
            return Way("PUT", (_as_address(signed["signed_url"]),), {"content-type": media_type})
        return Way(
            "TUS",
            (f"{self._url}upload/resumable/sign",),
            {"x-signature": signed["token"]},
            part_bytes=TUS_BYTES,
            metadata={"bucketName": bucket, "objectName": name, "contentType": media_type, "cacheControl": "0"},
        )

    def finish(self, bucket: str, key: str, parts_id: str, etags: Sequence[str]) -> None:
        """Nothing: Storage makes an object of its pieces by itself."""

    def abort(self, bucket: str, key: str, parts_id: str) -> None:
        """Nothing: Storage forgets what was not finished within a day (guide, "Resumable Uploads")."""

    def close(self) -> None:
        """Close its connections; the next use opens new ones."""
        with self._lock:
            if self._opened is not None:
                self._opened.session.close()
                self._opened = None

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """What the client of ``storage3`` has no way to ask, with its connections, its key and its errors."""
        from storage3.exceptions import StorageApiError

        client = self._client()
        headers = {"apiKey": self._key, "Authorization": f"Bearer {self._key}"} | request.pop("headers", {})
        answer = client.session.request(method, self._url + path, headers=headers, **request)
        if answer.is_success:
            return answer
        if answer.status_code == 416:
            raise _BeyondTheEnd
        try:
            said = answer.json()
            raise StorageApiError(said["message"], said["error"], said["statusCode"])
        except (KeyError, TypeError, ValueError):
            raise StorageApiError("no reason given", "InternalError", answer.status_code) from None

    def _bucket(self, bucket: str) -> SyncBucketProxy:
        return self._client().from_(bucket)

    def _client(self) -> SyncStorageClient:
        with self._lock:
            if self._opened is None:
                import httpx
                from storage3 import SyncStorageClient

                self._opened = SyncStorageClient(
                    self._url,
                    {"apiKey": self._key, "Authorization": f"Bearer {self._key}"},
                    http_client=httpx.Client(timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)),
                )
            return self._opened

    def _all(self, bucket: str, prefix: str) -> Iterator[Stored]:
        asked: SearchV2Options = {"prefix": prefix, "limit": PAGE}
        while True:
            page = self._bucket(bucket).list_v2(asked)
            for found in page.objects:
                known = found.metadata or {}
                yield Stored(
                    bucket=bucket,
                    key=key_of(found.key or found.name),
                    bytes=int(known.get("size", 0)),
                    etag=_tag(known.get("eTag", "")),
                    media_type=known.get("mimetype", ""),
                    modified_at=found.updated_at.astimezone(UTC),
                )
            if not page.hasNext or not page.nextCursor:
                return
            asked["cursor"] = page.nextCursor


def _checked(bucket: str, key: str) -> str:
    check_name(bucket, key)
    name = name_of(key)
    if len(name) > LONGEST_NAME:
        raise Invalid(f"Supabase Storage takes names of at most {LONGEST_NAME} bytes; this one has {len(name)}.")
    return name


def _tag(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


class _BeyondTheEnd(MillraceError):
    """Nothing of the object lies in the range."""


def _as_address(signed: object) -> str:
    """What the client gives as an address, in which it leaves spaces."""
    return urllib.parse.quote(str(signed), safe="%/:?=&!$'()*+,;@~")


@contextmanager
def _errors(bucket: str, key: str) -> Iterator[None]:
    """Storage's refusals as ours: what the caller may see, and what only the installation's owner can mend."""
    import httpx
    from storage3.exceptions import StorageApiError

    try:
        yield
    except StorageApiError as error:
        raise _meaning(error.message, str(error.code), str(error.status), bucket, key) from error
    except httpx.HTTPError as error:
        raise Unavailable(f"Supabase Storage does not answer: {type(error).__name__}.", retry_after=2) from error


def _meaning(message: str, code: str, status: str, bucket: str, key: str) -> MillraceError:
    if message == "Bucket not found":
        return no_bucket(bucket)
    if status == "404":
        return missing(key)
    if status == "409":
        return Conflict(f"There is an object {key!r} already.")
    if status == "413":
        return TooLarge(f"The bucket {bucket!r} takes no object of that size.")
    if status in ("415", "422") or code == "InvalidKey":
        return Invalid(f"The bucket {bucket!r} does not take that: {message}")
    if status in ("401", "403") or "jwt" in code.lower() or "jws" in message.lower() or "jwt" in message.lower():
        return Unavailable(f"Supabase Storage refuses our key ({message}).", remedy="Check MILLRACE_SUPABASE_KEY.")
    return Unavailable(f"Supabase Storage could not do that ({code} {status}).", retry_after=2)
