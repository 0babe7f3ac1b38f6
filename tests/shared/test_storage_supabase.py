"""What Supabase Storage adds to the contract: its names, its addresses, its limits, refusals that say what to mend."""

from __future__ import annotations

import base64
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shared.settings
from shared import errors
from shared.storage import BUCKETS, storage
from shared.storage.supabase import LONGEST_NAME, TUS_BYTES, SupabaseStorage, key_of, name_of
from tests.shared.test_storage import keys
from tests.supabase_storage import _NAME, SupabaseStorageServer

BUCKET = "user-uploads"

#: Keys of the kind that is hard: of characters that mean something to Storage, to its client or to our escapes.
hard_keys = keys | st.text("!/.%2EFa ?é", min_size=1, max_size=12)


@pytest.fixture
def server() -> Iterator[SupabaseStorageServer]:
    server = SupabaseStorageServer(BUCKETS)
    yield server
    server.close()


@pytest.fixture
def store(server: SupabaseStorageServer) -> Iterator[SupabaseStorage]:
    store = SupabaseStorage(server.url, server.key)
    yield store
    store.close()


# --- names ------------------------------------------------------------------------------------------------------------


@given(hard_keys)
def test_a_key_is_written_in_what_storage_takes_and_read_back(key: str) -> None:
    name = name_of(key)
    assert _NAME.fullmatch(name)
    assert not {".", ".."} & set(name.split("/"))
    assert "" not in name.split("/")
    assert key_of(name) == key


@given(hard_keys, hard_keys)
def test_no_two_keys_have_one_name(one: str, other: str) -> None:
    assert (name_of(one) == name_of(other)) == (one == other)


@pytest.mark.parametrize("name", ["a/b.txt", "photo (1).png", "hello!.txt", "a+b=c@d,e;f:g&h$i'j*k", ".hidden", "a..b"])
def test_a_name_that_others_gave_is_its_own_key(name: str) -> None:
    assert name_of(name) == key_of(name) == name


@given(st.text("!/.2EFa%", max_size=12))
def test_each_name_that_storage_tells_of_is_of_some_key(name: str) -> None:
    """``key_of`` never turns a name into the key of another object."""
    assert key_of(name) == name or name_of(key_of(name)) == name


def test_a_name_that_storage_could_not_keep_is_refused_before(store: SupabaseStorage) -> None:
    store.put(BUCKET, "x" * LONGEST_NAME, b"x")
    with pytest.raises(errors.Invalid, match=f"at most {LONGEST_NAME}"):
        store.put(BUCKET, "x" * (LONGEST_NAME + 1), b"x")
    with pytest.raises(errors.Invalid, match="this one has 906"):
        store.put(BUCKET, "é" * 151, b"x")


@given(prefix=st.text("!/.2Fa", max_size=5), key=st.text("!/.2Fa", max_size=5))
def test_a_list_asks_for_no_less_than_it_wants(prefix: str, key: str) -> None:
    from shared.storage.supabase import _UNDECIDED

    assert name_of(prefix + key).startswith(name_of(_UNDECIDED.sub("", prefix))) or not prefix + key


# --- objects ----------------------------------------------------------------------------------------------------------


def test_a_list_goes_on_over_storages_pages(
    server: SupabaseStorageServer, store: SupabaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        store.put(BUCKET, f"p/{number}", b"x")
    monkeypatch.setattr("shared.storage.supabase.PAGE", 3)
    server.requests.clear()
    assert [found.key for found in store.list(BUCKET, "p/", limit=3)] == ["p/0", "p/1", "p/2"]
    assert [path for _, path in server.requests] == ["/storage/v1/object/list-v2/user-uploads"] * 3


def test_an_object_that_others_uploaded_is_found_by_its_name(
    server: SupabaseStorageServer, store: SupabaseStorage
) -> None:
    from storage3 import SyncStorageClient

    with SyncStorageClient(
        f"{server.url}/storage/v1/", {"apiKey": server.key, "Authorization": f"Bearer {server.key}"}
    ) as client:
        client.from_(BUCKET).upload("in/photo (1).png", b"png", {"content-type": "image/png"})
    (found,) = store.list(BUCKET, "in/")
    assert (found.key, found.media_type) == ("in/photo (1).png", "image/png")
    assert store.head(BUCKET, found.key).media_type == "image/png"
    assert store.get(BUCKET, found.key) == b"png"


def test_no_cache_keeps_what_was_replaced(server: SupabaseStorageServer, store: SupabaseStorage) -> None:
    store.put(BUCKET, "k", b"x")
    assert server.buckets[BUCKET].objects["k"].cache_control == "max-age=0"


def test_a_buckets_own_limits_are_told(server: SupabaseStorageServer, store: SupabaseStorage) -> None:
    server.buckets[BUCKET].file_size_limit = 3
    server.buckets[BUCKET].allowed_mime_types = ["image/*"]
    with pytest.raises(errors.TooLarge):
        store.put(BUCKET, "k", b"four", "image/png")
    with pytest.raises(errors.Invalid, match="text/plain"):
        store.put(BUCKET, "k", b"one", "text/plain")


def test_a_missing_bucket_is_no_callers_mistake(server: SupabaseStorageServer, store: SupabaseStorage) -> None:
    del server.buckets[BUCKET]
    for act in (lambda: store.put(BUCKET, "k", b"x"), lambda: store.get(BUCKET, "k"), lambda: store.list(BUCKET)):
        with pytest.raises(errors.Unavailable, match="is not there"):
            act()


def test_a_wrong_key_is_named_as_the_reason_and_not_told(server: SupabaseStorageServer) -> None:
    store = SupabaseStorage(server.url, "wrong-canary")
    with pytest.raises(errors.Unavailable) as refused:
        store.get(BUCKET, "k")
    store.close()
    assert "MILLRACE_SUPABASE_KEY" in str(refused.value.remedy)
    assert "canary" not in f"{refused.value} {refused.value.remedy} {refused.value.__cause__}"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 544])
def test_a_storage_in_trouble_is_unavailable(
    server: SupabaseStorageServer, store: SupabaseStorage, status: int
) -> None:
    server.broken = status
    with pytest.raises(errors.Unavailable) as refused:
        store.get(BUCKET, "k")
    assert refused.value.retry_after


def test_a_storage_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening
        store = SupabaseStorage(f"http://127.0.0.1:{nobody.getsockname()[1]}", "key")
        with pytest.raises(errors.Unavailable):
            store.head(BUCKET, "k")
        store.close()


# --- signed addresses -------------------------------------------------------------------------------------------------


def ask(url: str, method: str = "GET", data: bytes | None = None, media_type: str = "text/plain") -> tuple[int, bytes]:
    request = urllib.request.Request(url, data, {"content-type": media_type}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("key", ["a/b.txt", "é/%41 .txt", "/../.", "a (1)'!+,@:=$&.txt"])
def test_a_signed_address_gets_and_puts_without_our_key(store: SupabaseStorage, key: str) -> None:
    put = store.signed_url(BUCKET, key, method="PUT", media_type="text/plain")
    assert ask(put, "PUT", b"first")[0] == 200
    assert ask(put, "PUT", b"uploaded")[0] == 200
    assert store.get(BUCKET, key) == b"uploaded"
    assert ask(store.signed_url(BUCKET, key)) == (200, b"uploaded")


def test_an_upload_replaces_nothing(store: SupabaseStorage) -> None:
    way = store.way_in(BUCKET, "in/é", size=5, media_type="text/plain")
    assert ask(way.urls[0], "PUT", b"first", way.headers["content-type"])[0] == 200
    assert ask(way.urls[0], "PUT", b"again", way.headers["content-type"])[0] == 400
    assert store.get(BUCKET, "in/é") == b"first"


def test_a_large_object_comes_by_tus_and_goes_on_where_it_broke_off(store: SupabaseStorage) -> None:
    data = bytes(TUS_BYTES) + b"the rest"
    way = store.way_in(BUCKET, "in/é 1", size=len(data), media_type="application/zip", part_bytes=TUS_BYTES)
    assert (way.method, way.part_bytes, way.parts_id) == ("TUS", TUS_BYTES, None)
    said = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in way.metadata.items())
    headers = {"tus-resumable": "1.0.0", **way.headers}
    begun = httpx.post(way.urls[0], headers=headers | {"upload-length": str(len(data)), "upload-metadata": said})
    assert begun.status_code == 201
    address = begun.headers["location"]
    piece = {"content-type": "application/offset+octet-stream"}
    httpx.patch(address, content=data[:TUS_BYTES], headers=headers | piece | {"upload-offset": "0"})
    assert httpx.patch(address, content=data, headers=headers | piece | {"upload-offset": "0"}).status_code == 409
    offset = int(httpx.head(address, headers=headers).headers["upload-offset"])
    assert offset == TUS_BYTES
    httpx.patch(address, content=data[offset:], headers=headers | piece | {"upload-offset": str(offset)})
    assert store.get(BUCKET, "in/é 1") == data
    assert store.head(BUCKET, "in/é 1").media_type == "application/zip"


def test_a_file_to_keep_is_asked_for_as_one(store: SupabaseStorage) -> None:
    store.put(BUCKET, "k", b"x")
    url = store.signed_url(BUCKET, "k", filename="é 1.html")
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["download"] == ["é 1.html"]
    assert ask(url) == (200, b"x")


def test_a_signed_address_is_for_its_object_and_its_time(store: SupabaseStorage, server: SupabaseStorageServer) -> None:
    store.put(BUCKET, "k", b"x")
    store.put(BUCKET, "other", b"secret")
    url = store.signed_url(BUCKET, "k", expires_in=60)
    token = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["token"][0]
    claims: dict[str, Any] = jwt.decode(token, server.secret, algorithms=["HS256"])
    assert 58 <= claims["exp"] - time.time() <= 60
    assert ask(url.replace("/k?", "/other?"))[0] == 400
    server.secret = "k" * 32
    assert ask(url)[0] == 400


def test_what_is_not_there_is_signed_for_nobody(store: SupabaseStorage) -> None:
    with pytest.raises(errors.NotFound):
        store.signed_url(BUCKET, "k")


def test_an_upload_address_that_would_end_before_it_is_asked_to_is_refused(store: SupabaseStorage) -> None:
    with pytest.raises(errors.Invalid, match="7200"):
        store.signed_url(BUCKET, "k", method="PUT", expires_in=7201)


# --- the process ------------------------------------------------------------------------------------------------------


def test_the_setting_chooses_supabase_and_opens_nothing(
    monkeypatch: pytest.MonkeyPatch, server: SupabaseStorageServer
) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE", f"supabase:{server.url}")
    monkeypatch.setenv("MILLRACE_SUPABASE_KEY", server.key)
    found = storage()
    assert isinstance(found, SupabaseStorage)
    assert server.requests == []
    found.put(BUCKET, "k", b"x")
    found.close()
    assert server.buckets[BUCKET].objects["k"].data == b"x"


def test_supabase_without_its_key_is_refused_by_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE", "supabase:https://project.supabase.co")
    with pytest.raises(shared.settings.SettingsError, match="MILLRACE_SUPABASE_KEY: is not set"):
        storage()
