"""Objects in Amazon S3, encrypted at rest and checked on their way.

A bucket's full name is ``<prefix>-<bucket>``, the prefix being ``<service>-<stage>-<account>``: S3's names are shared
by the whole world. Every upload carries the content's SHA-256, which S3 compares before it keeps anything, and botocore
compares the checksum that S3 sends with what it reads ("Checking object integrity in Amazon S3", User Guide).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from shared.errors import Conflict, Invalid, MillraceError, NotFound, TooLarge, Unavailable
from shared.storage.port import (
    DEFAULT_MEDIA_TYPE,
    PAGE,
    Stored,
    Way,
    attachment,
    check_media_type,
    check_name,
    check_page,
    check_parts,
    check_signing,
    in_base64,
    missing,
    no_bucket,
)

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

#: What S3 says of an object that is not there; a HEAD has no body, so that only its status tells.
_MISSING = {"NoSuchKey", "404"}

#: What it says of parts that were not uploaded, are in another order, are too small, or are none.
_NOT_ITS_PARTS = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"}


def _own_client() -> S3Client:
    from shared import aws

    return aws.client("s3")


class S3Storage:
    """Objects in the buckets ``<prefix>-<bucket>``.

    ``modified_at`` of what ``put`` returns is when S3 answered, which may be a second later than what it will say.
    """

    def __init__(
        self, prefix: str, *, kms_key: str | None = None, open_client: Callable[[], S3Client] = _own_client
    ) -> None:
        """``kms_key``: the id or ARN of the KMS key to encrypt with, instead of S3's own keys."""
        self.prefix = prefix
        self._encryption: dict[str, Any] = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key, "BucketKeyEnabled": True}
            if kms_key
            else {"ServerSideEncryption": "AES256"}
        )
        self._client = open_client

    def put(
        self, bucket: str, key: str, data: bytes, media_type: str = DEFAULT_MEDIA_TYPE, *, replace: bool = True
    ) -> Stored:
        name = self._name(bucket, key)
        check_media_type(media_type)
        only_new: dict[str, Any] = {} if replace else {"IfNoneMatch": "*"}
        with _errors(name, key):
            answer = self._client().put_object(
                Bucket=name,
                Key=key,
                Body=data,
                ContentType=media_type,
                ChecksumSHA256=base64.b64encode(hashlib.sha256(data).digest()).decode(),
                **self._encryption,
                **only_new,
            )
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return Stored(
            bucket=bucket,
            key=key,
            bytes=len(data),
            etag=answer["ETag"].strip('"'),
            media_type=media_type,
            modified_at=parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC),
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def get(self, bucket: str, key: str) -> bytes:
        name = self._name(bucket, key)
        with _errors(name, key):
            return self._client().get_object(Bucket=name, Key=key, ChecksumMode="ENABLED")["Body"].read()

    def read(self, bucket: str, key: str, start: int, size: int) -> bytes:
        name = self._name(bucket, key)
        if size < 1:
            return b""
        try:
            with _errors(name, key):
                answer = self._client().get_object(Bucket=name, Key=key, Range=f"bytes={start}-{start + size - 1}")
                return answer["Body"].read()
        except _BeyondTheEnd:
            return b""

    def head(self, bucket: str, key: str) -> Stored:
        name = self._name(bucket, key)
        with _errors(name, key):
            answer = self._client().head_object(Bucket=name, Key=key, ChecksumMode="ENABLED")
        return Stored(
            bucket=bucket,
            key=key,
            bytes=answer["ContentLength"],
            etag=answer["ETag"].strip('"'),
            media_type=answer["ContentType"],
            modified_at=answer["LastModified"].astimezone(UTC),
            sha256=_sha256(answer.get("ChecksumSHA256"), answer.get("ChecksumType")),
        )

    def delete(self, bucket: str, key: str) -> None:
        name = self._name(bucket, key)
        with _errors(name, key):
            self._client().delete_object(Bucket=name, Key=key)

    def purge(self, bucket: str, key: str) -> None:
        """As the port says, in a bucket that keeps versions too: each of them is deleted by its id."""
        name = self._name(bucket, key)
        with _errors(name, key):
            for page in self._client().get_paginator("list_object_versions").paginate(Bucket=name, Prefix=key):
                for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    if found["Key"] == key:
                        self._client().delete_object(Bucket=name, Key=key, VersionId=found["VersionId"])

    def copy(
        self, bucket: str, key: str, to_bucket: str, to_key: str, media_type: str, *, etag: str | None = None
    ) -> Stored:
        """As the port says. S3 copies up to 5 GB in one request, and never over what is there when told so (2025)."""
        name, to_name = self._name(bucket, key), self._name(to_bucket, to_key)
        check_media_type(media_type)
        unchanged: dict[str, Any] = {} if etag is None else {"CopySourceIfMatch": f'"{etag}"'}
        with _errors(name, key):
            self._client().copy_object(
                Bucket=to_name,
                Key=to_key,
                CopySource={"Bucket": name, "Key": key},
                IfNoneMatch="*",
                MetadataDirective="REPLACE",
                ContentType=media_type,
                ChecksumAlgorithm="SHA256",  # of the whole, also when the object came in parts
                **self._encryption,
                **unchanged,
            )
        return self.head(to_bucket, to_key)

    def list(self, bucket: str, prefix: str = "", *, after: str = "", limit: int = PAGE) -> list[Stored]:
        name = self._name(bucket, prefix or "any")
        check_page(limit)
        with _errors(name, prefix):
            # S3 lists in the order of the keys' UTF-8 bytes ("ListObjectsV2", API Reference).
            answer = self._client().list_objects_v2(Bucket=name, Prefix=prefix, StartAfter=after, MaxKeys=limit)
        return [
            Stored(
                bucket=bucket,
                key=found["Key"],
                bytes=found["Size"],
                etag=found["ETag"].strip('"'),
                media_type="",
                modified_at=found["LastModified"].astimezone(UTC),
            )
            for found in answer.get("Contents", [])
        ]

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
        """As the port says, but for ``max_bytes``: S3 can sign an exact size, not a largest one.

        The URL ends sooner if the credentials that signed it do: those of a Lambda function last some hours.
        """
        name = self._name(bucket, key)
        check_signing(method, expires_in)
        typed = {"ContentType": media_type} if method == "PUT" and media_type is not None else {}
        if method == "GET" and filename is not None:
            typed["ResponseContentDisposition"] = attachment(filename)
        with _errors(name, key):
            return self._client().generate_presigned_url(
                "get_object" if method == "GET" else "put_object",
                Params={"Bucket": name, "Key": key, **typed},
                ExpiresIn=expires_in,
            )

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
        """As the port says: S3 refuses a request whose signed headers are others, and content with another hash.

        Signed are Content-Length, Content-Type, If-None-Match and x-amz-checksum-sha256 ("Authenticating Requests:
        Using Query Parameters" and "PutObject", API Reference).
        """
        name = self._name(bucket, key)
        check_signing("PUT", expires_in)
        check_media_type(media_type)
        check_parts(size, part_bytes)
        if part_bytes is not None:
            return self._in_parts(name, key, size, media_type, expires_in, part_bytes)
        headers = {"content-type": media_type, "if-none-match": "*"}
        given: dict[str, Any] = {"ContentType": media_type, "ContentLength": size, "IfNoneMatch": "*"}
        if sha256 is not None:
            given["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = in_base64(sha256)
        with _errors(name, key):
            url = self._client().generate_presigned_url(
                "put_object", Params={"Bucket": name, "Key": key, **given}, ExpiresIn=expires_in
            )
        return Way("PUT", (url,), headers)

    def _in_parts(self, name: str, key: str, size: int, media_type: str, expires_in: int, part_bytes: int) -> Way:
        with _errors(name, key):
            parts_id = self._client().create_multipart_upload(
                Bucket=name,
                Key=key,
                ContentType=media_type,
                # S3 makes it of the parts by itself; with boto's own choice each part would have to bring its checksum
                # ("Checking object integrity in Amazon S3", User Guide).
                ChecksumAlgorithm="CRC64NVME",
                ChecksumType="FULL_OBJECT",
                **self._encryption,
            )["UploadId"]
            urls = tuple(
                self._client().generate_presigned_url(
                    "upload_part",
                    Params={
                        "Bucket": name,
                        "Key": key,
                        "UploadId": parts_id,
                        "PartNumber": number,
                        "ContentLength": min(part_bytes, size - start),
                    },
                    ExpiresIn=expires_in,
                )
                for number, start in enumerate(range(0, size, part_bytes), 1)
            )
        return Way("PUT", urls, part_bytes=part_bytes, parts_id=parts_id)

    def finish(self, bucket: str, key: str, parts_id: str, etags: Sequence[str]) -> None:
        name = self._name(bucket, key)
        parts: list[Any] = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with _errors(name, key):
            self._client().complete_multipart_upload(
                Bucket=name, Key=key, UploadId=parts_id, MultipartUpload={"Parts": parts}
            )

    def abort(self, bucket: str, key: str, parts_id: str) -> None:
        name = self._name(bucket, key)
        try:
            with _errors(name, key):
                self._client().abort_multipart_upload(Bucket=name, Key=key, UploadId=parts_id)
        except NotFound:
            return

    def _name(self, bucket: str, key: str) -> str:
        check_name(bucket, key)
        name = f"{self.prefix}-{bucket}"
        check_name(name, key)
        return name


class _BeyondTheEnd(MillraceError):
    """Nothing of the object lies in the range."""


def _sha256(said: str | None, kind: str | None) -> str | None:
    """The content's hash in hex, from what S3 tells; a COMPOSITE one is of the parts' hashes."""
    return base64.b64decode(said).hex() if said and kind != "COMPOSITE" and "-" not in said else None


@contextmanager
def _errors(bucket: str, key: str) -> Iterator[None]:
    """S3's refusals as ours: what the caller may see, and what only the installation's owner can mend."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _meaning(error.response, bucket, key) from error
    except BotoCoreError as error:  # no connection, no credentials, a checksum that does not match
        raise Unavailable(f"S3 cannot be used: {type(error).__name__}.", retry_after=2) from error


def _meaning(response: Any, bucket: str, key: str) -> MillraceError:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _MISSING:
        return missing(key)
    if code == "NoSuchUpload":
        return NotFound("There is no such upload, or it was finished.")
    if code in _NOT_ITS_PARTS:
        return Invalid("These are not the parts of this upload.")
    if code == "InvalidRange":
        return _BeyondTheEnd()
    if code == "NoSuchBucket":
        return no_bucket(bucket)
    # The second is what S3 says to the slower of two that write at once ("Conditional writes", User Guide).
    if code in ("PreconditionFailed", "ConditionalRequestConflict"):
        return Conflict(f"There is an object {key!r} already.")
    if code == "EntityTooLarge":
        return TooLarge("S3 takes at most 5 GB in one request.")
    if status in (401, 403):
        return Unavailable(
            f"S3 refuses us the bucket {bucket!r} ({code}).", remedy="Check the function's role and the key's policy."
        )
    return Unavailable(f"S3 could not do that ({code or status}).", retry_after=2)
