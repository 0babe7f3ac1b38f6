"""What S3 adds to the contract: encryption, checksums, signed addresses, refusals that say what to mend."""

from __future__ import annotations

import base64
import hashlib
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import httpx
import pytest
from botocore.stub import ANY, Stubber
from moto.server import ThreadedMotoServer

import shared.settings
from shared import aws, errors
from shared.storage import attachment, storage
from shared.storage.port import LEAST_PART_BYTES
from shared.storage.s3 import S3Storage
from tests.aws import ENVIRONMENT, REGION, pretended

BUCKET = "user-uploads"
FULL_NAME = "millrace-test-123456789012-user-uploads"


@pytest.fixture
def store() -> Iterator[S3Storage]:
    with pretended():
        aws.client("s3").create_bucket(
            Bucket=FULL_NAME, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield S3Storage("millrace-test-123456789012")


@pytest.fixture
def refusing(store: S3Storage) -> Iterator[Stubber]:
    """S3 that answers as it is told."""
    with Stubber(aws.client("s3")) as stubber:
        yield stubber


def test_an_object_is_encrypted_and_of_its_type(store: S3Storage) -> None:
    store.put(BUCKET, "k", b"x", "text/plain")
    found = aws.client("s3").head_object(Bucket=FULL_NAME, Key="k")
    assert (found["ServerSideEncryption"], found["ContentType"]) == ("AES256", "text/plain")


def test_a_key_of_the_installations_own_encrypts_when_there_is_one(store: S3Storage) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    S3Storage(store.prefix, kms_key=key).put(BUCKET, "k", b"x")
    found = aws.client("s3").head_object(Bucket=FULL_NAME, Key="k")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"], found["BucketKeyEnabled"]) == ("aws:kms", key, True)


def test_the_contents_hash_goes_with_it(store: S3Storage, refusing: Stubber) -> None:
    digest = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    refusing.add_response(
        "put_object",
        {"ETag": '"e"', "ResponseMetadata": {"HTTPHeaders": {"date": "Sun, 06 Nov 1994 08:49:37 GMT"}}},
        {
            "Bucket": FULL_NAME,
            "Key": "k",
            "Body": b"content",
            "ContentType": "text/plain",
            "ChecksumSHA256": digest,
            "ServerSideEncryption": "AES256",
            "IfNoneMatch": "*",
        },
    )
    stored = store.put(BUCKET, "k", b"content", "text/plain", replace=False)
    assert (stored.etag, stored.modified_at.isoformat()) == ("e", "1994-11-06T08:49:37+00:00")


def test_the_bucket_is_named_for_the_installation_and_its_name_is_checked(store: S3Storage) -> None:
    with pytest.raises(errors.Invalid):
        S3Storage("p" * 60).put(BUCKET, "k", b"x")
    with pytest.raises(errors.Invalid):
        S3Storage("Upper").put(BUCKET, "k", b"x")


@pytest.mark.parametrize(
    ("code", "status", "expected", "said"),
    [
        ("NoSuchKey", 404, errors.NotFound, "no object"),
        ("404", 404, errors.NotFound, "no object"),
        ("NoSuchBucket", 404, errors.Unavailable, FULL_NAME),
        ("AccessDenied", 403, errors.Unavailable, "refuses us"),
        ("ExpiredToken", 403, errors.Unavailable, "refuses us"),
        ("SlowDown", 503, errors.Unavailable, "SlowDown"),
        ("InternalError", 500, errors.Unavailable, "InternalError"),
    ],
)
def test_a_refusal_tells_the_callers_mistakes_from_ours(
    store: S3Storage, refusing: Stubber, code: str, status: int, expected: type[errors.MillraceError], said: str
) -> None:
    refusing.add_client_error("get_object", service_error_code=code, http_status_code=status)
    with pytest.raises(expected, match=said):
        store.get(BUCKET, "k")


def test_the_slower_of_two_that_put_what_is_new_is_told_so(store: S3Storage, refusing: Stubber) -> None:
    refusing.add_client_error(
        "put_object",
        service_error_code="ConditionalRequestConflict",
        http_status_code=409,
        expected_params=dict.fromkeys(("Bucket", "Key", "Body", "ContentType", "ChecksumSHA256"), ANY)
        | {"ServerSideEncryption": "AES256", "IfNoneMatch": "*"},
    )
    with pytest.raises(errors.Conflict):
        store.put(BUCKET, "k", b"x", replace=False)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchUpload", 404, errors.NotFound),
        ("InvalidPart", 400, errors.Invalid),
        ("InvalidPartOrder", 400, errors.Invalid),
        ("EntityTooSmall", 400, errors.Invalid),
        ("SlowDown", 503, errors.Unavailable),
    ],
)
def test_parts_that_are_none_are_the_callers_mistake(
    store: S3Storage, refusing: Stubber, code: str, status: int, expected: type[errors.MillraceError]
) -> None:
    refusing.add_client_error("complete_multipart_upload", service_error_code=code, http_status_code=status)
    with pytest.raises(expected):
        store.finish(BUCKET, "k", "upload", ['"e"'])


def test_forgetting_parts_that_are_gone_is_fine(store: S3Storage, refusing: Stubber) -> None:
    refusing.add_client_error("abort_multipart_upload", service_error_code="NoSuchUpload", http_status_code=404)
    store.abort(BUCKET, "k", "upload")


def test_a_copy_says_all_that_s3_is_to_hold_it_to(store: S3Storage, refusing: Stubber) -> None:
    refusing.add_response(
        "copy_object",
        {},
        {
            "Bucket": f"{store.prefix}-rag-files",
            "Key": "to",
            "CopySource": {"Bucket": FULL_NAME, "Key": "from"},
            "CopySourceIfMatch": '"e"',
            "IfNoneMatch": "*",
            "MetadataDirective": "REPLACE",
            "ContentType": "text/plain",
            "ChecksumAlgorithm": "SHA256",
            "ServerSideEncryption": "AES256",
        },
    )
    refusing.add_response(
        "head_object",
        {
            "ContentLength": 1,
            "ETag": '"n"',
            "ContentType": "text/plain",
            "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
            "ChecksumSHA256": base64.b64encode(bytes(32)).decode(),
            "ChecksumType": "FULL_OBJECT",
        },
    )
    stored = store.copy(BUCKET, "from", "rag-files", "to", "text/plain", etag="e")
    assert (stored.etag, stored.sha256) == ("n", "00" * 32)


def test_the_hash_of_parts_is_not_taken_for_the_contents(store: S3Storage, refusing: Stubber) -> None:
    for kind, said in [("COMPOSITE", base64.b64encode(bytes(32)).decode()), (None, f"{'A' * 43}=-3")]:
        told: dict[str, Any] = {"ChecksumType": kind} if kind else {}
        refusing.add_response(
            "head_object",
            {
                "ContentLength": 1,
                "ETag": '"n-3"',
                "ContentType": "text/plain",
                "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
                "ChecksumSHA256": said,
                **told,
            },
        )
        assert store.head(BUCKET, "k").sha256 is None


def test_what_is_purged_leaves_no_version(store: S3Storage) -> None:
    aws.client("s3").put_bucket_versioning(Bucket=FULL_NAME, VersioningConfiguration={"Status": "Enabled"})
    for data in (b"1", b"2"):
        store.put(BUCKET, "in/1", data)
    store.put(BUCKET, "in/10", b"x")
    store.delete(BUCKET, "in/1")
    store.purge(BUCKET, "in/1")
    left = aws.client("s3").list_object_versions(Bucket=FULL_NAME)
    assert [found["Key"] for found in [*left["Versions"], *left.get("DeleteMarkers", [])]] == ["in/10"]


def test_an_s3_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        aws.forget()
        with (
            mock.patch("botocore.retries.standard.ExponentialBackoff.delay_amount", return_value=0),
            pytest.raises(errors.Unavailable) as refused,
        ):
            S3Storage("millrace-test").get(BUCKET, "k")
        aws.forget()
    assert refused.value.retry_after


# --- signed addresses, answered over HTTP -----------------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Storage]:
    """S3 behind a real socket, as addresses are for others than boto3."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    aws.forget()
    ask(f"http://{host}:{port}/moto-api/reset", "POST")
    aws.client("s3").create_bucket(Bucket=FULL_NAME, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield S3Storage("millrace-test-123456789012")
    aws.forget()
    server.stop()


def ask(url: str, method: str = "GET", data: bytes | None = None, media_type: str | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data, {"content-type": media_type} if media_type else {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_signed_address_gets_and_puts(served: S3Storage) -> None:
    key = "a folder/é?&=+.txt"
    put = served.signed_url(BUCKET, key, method="PUT", media_type="text/plain")
    assert ask(put, "PUT", b"uploaded", "text/plain")[0] == 200
    assert served.get(BUCKET, key) == b"uploaded"
    assert served.head(BUCKET, key).media_type == "text/plain"
    assert ask(served.signed_url(BUCKET, key)) == (200, b"uploaded")


def test_a_signed_address_says_what_was_asked(served: S3Storage) -> None:
    """moto checks neither signature nor expiry: that they are there, and of what, is read from the address."""
    url = urllib.parse.urlsplit(
        served.signed_url(BUCKET, "k", method="PUT", media_type="text/plain", expires_in=77, max_bytes=5)
    )
    query: dict[str, Any] = dict(urllib.parse.parse_qsl(url.query))
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Expires"] == "77"
    assert query["X-Amz-SignedHeaders"] == "content-type;host"
    assert len(query["X-Amz-Signature"]) == 64


def test_an_address_to_upload_to_is_held_to_size_type_hash_and_once(served: S3Storage) -> None:
    """moto keeps to If-None-Match alone; that S3 is asked for the rest is read from the signed headers."""
    digest = hashlib.sha256(b"four").hexdigest()
    way = served.way_in(BUCKET, "in/1", size=4, media_type="text/plain", sha256=digest, expires_in=77)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(way.urls[0]).query))
    assert query["X-Amz-SignedHeaders"] == "content-length;content-type;host;if-none-match;x-amz-checksum-sha256"
    assert query["X-Amz-Expires"] == "77"
    assert way.headers == {
        "content-type": "text/plain",
        "if-none-match": "*",
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(digest)).decode(),
    }
    assert httpx.put(way.urls[0], content=b"four", headers=dict(way.headers)).status_code == 200
    assert served.get(BUCKET, "in/1") == b"four"
    assert httpx.put(way.urls[0], content=b"more", headers=dict(way.headers)).status_code == 412
    assert served.get(BUCKET, "in/1") == b"four"


def test_a_large_object_comes_in_parts(served: S3Storage) -> None:
    part = LEAST_PART_BYTES
    data = bytes(2 * part) + b"end"
    way = served.way_in(BUCKET, "in/1", size=len(data), media_type="text/plain", part_bytes=part)
    assert way.parts_id is not None
    etags = [
        httpx.put(url, content=data[start : start + part], headers=dict(way.headers)).headers["etag"]
        for url, start in zip(way.urls, range(0, len(data), part), strict=True)
    ]
    served.finish(BUCKET, "in/1", way.parts_id, etags)
    assert served.get(BUCKET, "in/1") == data
    assert served.head(BUCKET, "in/1").media_type == "text/plain"


def test_a_file_to_keep_is_signed_as_one(served: S3Storage) -> None:
    served.put(BUCKET, "k", b"<script>", "text/html")
    url = served.signed_url(BUCKET, "k", filename="é.html")
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    assert query["response-content-disposition"] == attachment("é.html")


# --- the process ------------------------------------------------------------------------------------------------------


def test_the_setting_chooses_s3_and_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE", "s3:millrace-prod-123456789012")
    found = storage()
    assert isinstance(found, S3Storage)
    assert found.prefix == "millrace-prod-123456789012"
    assert aws._clients == {}


@pytest.mark.parametrize("wrong", ["s3:", "s3:UPPER", "s3:a b", "s3", "gcs:x", "s3:" + "x" * 50])
def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE", wrong)
    with pytest.raises(shared.settings.SettingsError, match="MILLRACE_STORAGE"):
        storage()


def test_importing_the_stores_loads_no_client_library() -> None:
    """A cold start pays for what it uses, and a snapshot holds no connection, secret or random number of ours."""
    code = (
        "import sys, shared.storage, shared.storage.s3, shared.storage.supabase, shared.doorbell, shared.secrets, "
        "shared.aws; print(sorted({'boto3', 'botocore', 'storage3', 'supabase', 'httpx'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
