"""What every store promises: one suite for the directory, S3 (moto) and Supabase Storage (a server that speaks it)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shared import aws, errors
from shared.storage import BUCKETS, DirectoryStorage, Storage
from shared.storage.s3 import S3Storage
from shared.storage.supabase import LONGEST_NAME, SupabaseStorage, name_of
from tests.aws import REGION, pretended
from tests.supabase_storage import SupabaseStorageServer

BUCKET = "user-uploads"
SECRET = b"s" * 32

keys = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60
) | st.sampled_from(
    ["../../etc/passwd", "/", "//", ".", "..", "a/../b", "a//b", "A", "a", "é", "e\u0301", "x" * 1024, "\\..\\", "con"]
)


@contextmanager
def directory(tmp_path: Path) -> Iterator[Storage]:
    yield DirectoryStorage(tmp_path / "objects", SECRET)


@contextmanager
def s3(tmp_path: Path) -> Iterator[Storage]:
    with pretended():
        for bucket in BUCKETS:
            aws.client("s3").create_bucket(
                Bucket=f"millrace-test-{bucket}", CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        yield S3Storage("millrace-test")


@contextmanager
def supabase(tmp_path: Path) -> Iterator[Storage]:
    server = SupabaseStorageServer(BUCKETS)
    store = SupabaseStorage(server.url, server.key)
    yield store
    store.close()
    server.close()


@pytest.fixture(params=[directory, s3, supabase], ids=lambda make: make.__name__)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Each implementation of the port."""
    with request.param(tmp_path) as store:
        yield store


class TestContract:
    def test_what_was_put_is_got(self, store: Storage) -> None:
        before = datetime.now(UTC)
        put = store.put(BUCKET, "a/b.txt", b"one\ntwo", "text/plain; charset=utf-8")
        assert store.get(BUCKET, "a/b.txt") == b"one\ntwo"
        head = store.head(BUCKET, "a/b.txt")
        assert replace(head, modified_at=put.modified_at) == put
        assert (put.bytes, put.media_type) == (7, "text/plain; charset=utf-8")
        for told in (head, put):
            assert before - timedelta(seconds=2) <= told.modified_at <= datetime.now(UTC) + timedelta(seconds=2)

    @given(key=keys, other=keys, data=st.binary(max_size=200))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
    def test_any_two_keys_are_two_objects(self, store: Storage, key: str, other: str, data: bytes) -> None:
        if isinstance(store, SupabaseStorage):
            assume(max(len(name_of(key)), len(name_of(other))) <= LONGEST_NAME)
        store.put(BUCKET, key, data)
        if other != key:
            store.put(BUCKET, other, data + b"!")
        assert store.get(BUCKET, key) == data
        assert key in {found.key for found in store.list(BUCKET, key)}
        store.delete(BUCKET, key)
        store.delete(BUCKET, other)

    def test_putting_again_replaces(self, store: Storage) -> None:
        first = store.put(BUCKET, "k", b"long content", "text/plain")
        second = store.put(BUCKET, "k", b"short")
        assert store.get(BUCKET, "k") == b"short"
        assert store.head(BUCKET, "k").media_type == "application/octet-stream"
        assert first.etag != second.etag

    def test_putting_only_what_is_new_leaves_what_was_there(self, store: Storage) -> None:
        store.put(BUCKET, "k", b"first", "text/plain", replace=False)
        with pytest.raises(errors.Conflict):
            store.put(BUCKET, "k", b"second", replace=False)
        assert store.get(BUCKET, "k") == b"first"
        assert store.head(BUCKET, "k").media_type == "text/plain"

    def test_of_several_that_put_what_is_new_one_gets_through(self, store: Storage) -> None:
        barrier = threading.Barrier(4)
        through: list[bytes] = []

        def put(data: bytes) -> None:
            barrier.wait()
            try:
                store.put(BUCKET, "k", data, replace=False)
            except errors.Conflict:
                return
            through.append(data)

        threads = [threading.Thread(target=put, args=(b"%d" % number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert through == [store.get(BUCKET, "k")]

    def test_an_empty_object_is_one(self, store: Storage) -> None:
        store.put(BUCKET, "empty", b"")
        assert store.get(BUCKET, "empty") == b""
        assert store.head(BUCKET, "empty").bytes == 0

    def test_deleting_is_final_and_may_be_repeated(self, store: Storage) -> None:
        store.put(BUCKET, "k", b"x")
        store.delete(BUCKET, "k")
        store.delete(BUCKET, "k")
        assert store.list(BUCKET) == []

    def test_what_is_not_there_is_not_found(self, store: Storage) -> None:
        store.put(BUCKET, "k", b"x")
        for bucket, key in [(BUCKET, "K"), (BUCKET, "k/"), ("rag-files", "k")]:
            with pytest.raises(errors.NotFound):
                store.get(bucket, key)
            with pytest.raises(errors.NotFound):
                store.head(bucket, key)

    def test_a_list_is_in_the_order_of_the_keys_bytes_by_prefix_and_page(self, store: Storage) -> None:
        names = ["a/1", "a/10", "a/2", "a/\uffee", "a/\U00010000", "b", "A"]
        for name in names:
            store.put(BUCKET, name, name.encode())
        expected = sorted((name for name in names if name.startswith("a/")), key=str.encode)
        assert [found.key for found in store.list(BUCKET, "a/")] == expected
        assert [found.bytes for found in store.list(BUCKET, "b")] == [1]
        paged: list[str] = []
        while page := store.list(BUCKET, "a/", after=paged[-1] if paged else "", limit=2):
            paged += [found.key for found in page]
        assert paged == expected
        assert store.list("rag-files") == []

    @pytest.mark.parametrize("key", ["", "\0", "a\0b", "x" * 1025, "é" * 513, "\ud800"])
    def test_a_bad_key_is_invalid(self, store: Storage, key: str) -> None:
        with pytest.raises(errors.Invalid):
            store.put(BUCKET, key, b"x")

    @pytest.mark.parametrize("bucket", ["", "..", "a", "UP", "a/b", ".events", "a..b", "-ab", "x" * 64, "a\nb"])
    def test_a_bad_bucket_is_invalid(self, store: Storage, bucket: str) -> None:
        for act in (lambda: store.put(bucket, "k", b"x"), lambda: store.get(bucket, "k"), lambda: store.list(bucket)):
            with pytest.raises(errors.Invalid):
                act()

    @pytest.mark.parametrize("media_type", ["", "text", "text/html\r\nX: y", "a/b/c", "te xt/x"])
    def test_a_bad_media_type_is_invalid(self, store: Storage, media_type: str) -> None:
        with pytest.raises(errors.Invalid):
            store.put(BUCKET, "k", b"x", media_type)

    def test_a_signed_url_is_for_get_or_put_and_for_a_while(self, store: Storage) -> None:
        store.put(BUCKET, "k", b"x")
        assert store.signed_url(BUCKET, "k").startswith("http")
        assert store.signed_url(BUCKET, "new", method="PUT", media_type="text/plain").startswith("http")
        for arguments in ({"method": "DELETE"}, {"expires_in": 0}, {"expires_in": 8 * 24 * 3600}):
            with pytest.raises(errors.Invalid):
                store.signed_url(BUCKET, "k", **arguments)  # type: ignore[arg-type]
