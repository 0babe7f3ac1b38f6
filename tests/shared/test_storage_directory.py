"""What the directory adds to the contract: one file per object, signed addresses, events that survive."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shared import errors
from shared.doorbell import RecordingDoorbell
from shared.storage import DirectoryStorage, Event, Stored, storage
from shared.storage.port import LEAST_PART_BYTES
from tests.shared.test_storage import BUCKET, SECRET, keys


@pytest.fixture
def clock() -> Any:
    class Clock:
        now = 1_700_000_000.0

        def __call__(self) -> float:
            return self.now

    return Clock()


# --- files ------------------------------------------------------------------------------------------------------------


def test_no_key_leads_out_of_its_bucket(tmp_path: Path) -> None:
    root = tmp_path / "objects"
    store = DirectoryStorage(root)
    for key in ["../../../escaped", "/etc/escaped", "..", "a/../../../../escaped", "C:\\escaped"]:
        store.put(BUCKET, key, b"x")
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(root / BUCKET)]
    assert outside == []


def _put_for_ever(root: Path, ready: Any) -> None:
    store = DirectoryStorage(root)
    ready.set()
    number = 0
    while True:
        store.put(BUCKET, "k", b"%d" % number * 100_000)
        number = (number + 1) % 10


def test_a_reader_never_sees_half_an_object_nor_does_a_kill_leave_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    store = DirectoryStorage(tmp_path)
    store.put(BUCKET, "k", b"0" * 100_000)
    for _ in range(2):
        ready = context.Event()
        writer = context.Process(target=_put_for_ever, args=(tmp_path, ready))
        writer.start()
        ready.wait(30)
        for _ in range(100):
            assert len(set(store.get(BUCKET, "k"))) == 1
        writer.kill()
        writer.join()
        writer.close()
        data = store.get(BUCKET, "k")
        assert (len(data), len(set(data))) == (100_000, 1)
        assert len(store.list(BUCKET)) == 1


def test_it_is_durable_when_put_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _real=real, _name=name: (done.append(_name), _real(*a))[1])
    DirectoryStorage(tmp_path).put(BUCKET, "k", b"x")
    assert done == ["fsync", "replace", "fsync"]


# --- signed addresses -------------------------------------------------------------------------------------------------


def split(url: str) -> tuple[str, str, dict[str, str]]:
    """Bucket, key and query, as the local stack takes them from a request."""
    parts = urllib.parse.urlsplit(url)
    _, kind, bucket, key = urllib.parse.unquote(parts.path).split("/", 3)
    assert kind == "objects"
    return bucket, key, dict(urllib.parse.parse_qsl(parts.query))


@given(key=keys)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_signed_address_grants_what_it_says(tmp_path: Path, key: str) -> None:
    store = DirectoryStorage(tmp_path, SECRET)
    bucket, found, query = split(store.signed_url(BUCKET, key, method="PUT", media_type="text/plain", max_bytes=5))
    assert found == key
    grant = store.verify(bucket, found, query)
    assert (grant.method, grant.bucket, grant.key, grant.media_type, grant.max_bytes) == (
        "PUT",
        BUCKET,
        key,
        "text/plain",
        5,
    )


def test_an_address_that_was_changed_in_any_part_is_refused(tmp_path: Path) -> None:
    store = DirectoryStorage(tmp_path, SECRET)
    bucket, key, query = split(store.signed_url(BUCKET, "k", method="PUT", media_type="text/plain", max_bytes=5))
    store.verify(bucket, key, query)
    changed: list[tuple[str, str, dict[str, str]]] = [
        ("rag-files", key, query),
        (bucket, "other", query),
        *((bucket, key, query | {name: "GET"}) for name in query),
        *((bucket, key, query | {name: value + "0"}) for name, value in query.items()),
        *((bucket, key, {n: v for n, v in query.items() if n != name}) for name in query),
        (bucket, key, query | {"signature": "é"}),
        (bucket, key, {}),
    ]
    for attempt in changed:
        with pytest.raises(errors.Forbidden):
            store.verify(*attempt)
    with pytest.raises(errors.Forbidden):
        DirectoryStorage(tmp_path, b"t" * 32).verify(bucket, key, query)


def test_an_address_expires(tmp_path: Path, clock: Any) -> None:
    store = DirectoryStorage(tmp_path, SECRET, clock=clock)
    address = split(store.signed_url(BUCKET, "k", expires_in=60))
    clock.now += 59.9
    store.verify(*address)
    clock.now += 0.2
    with pytest.raises(errors.Forbidden, match="expired"):
        store.verify(*address)


def test_an_upload_keeps_to_its_grant(tmp_path: Path) -> None:
    store = DirectoryStorage(tmp_path, SECRET)
    grant = store.verify(*split(store.signed_url(BUCKET, "k", method="PUT", media_type="text/plain", max_bytes=3)))
    with pytest.raises(errors.TooLarge):
        store.accept(grant, b"four", "text/plain")
    with pytest.raises(errors.Invalid):
        store.accept(grant, b"abc", "text/html")
    store.accept(grant, b"abc", "text/plain")
    assert store.get(BUCKET, "k") == b"abc"
    reading = store.verify(*split(store.signed_url(BUCKET, "k")))
    with pytest.raises(errors.Forbidden):
        store.accept(reading, b"abc", "text/plain")


def test_a_store_without_a_secret_signs_nothing(tmp_path: Path) -> None:
    with pytest.raises(errors.Forbidden, match="signs no addresses"):
        DirectoryStorage(tmp_path).signed_url(BUCKET, "k")
    with pytest.raises(ValueError, match="32 bytes"):
        DirectoryStorage(tmp_path, b"short")


# --- uploads by others ------------------------------------------------------------------------------------------------


def test_an_upload_is_of_its_size_its_hash_and_happens_once(tmp_path: Path) -> None:
    store = DirectoryStorage(tmp_path, SECRET)
    way = store.way_in(BUCKET, "k", size=4, media_type="text/plain", sha256=hashlib.sha256(b"four").hexdigest())
    grant = store.verify(*split(way.urls[0]))
    for data, refused in [(b"fives", errors.TooLarge), (b"two", errors.Invalid), (b"fore", errors.Invalid)]:
        with pytest.raises(refused):
            store.accept(grant, data, "text/plain")
    assert store.list(BUCKET) == []
    tag = store.accept(grant, b"four", "text/plain")
    assert store.head(BUCKET, "k").etag == tag
    with pytest.raises(errors.PreconditionFailed):
        store.accept(grant, b"four", "text/plain")


def test_parts_become_one_object_when_each_is_there(tmp_path: Path) -> None:
    told: list[Event] = []
    store = DirectoryStorage(tmp_path, SECRET, listener=told.append)
    part = LEAST_PART_BYTES
    data = bytes(part) + b"1" * part + b"end"
    way = store.way_in(BUCKET, "k", size=len(data), media_type="text/plain", part_bytes=part)
    assert way.parts_id is not None
    grants = [store.verify(*split(url)) for url in way.urls]
    with pytest.raises(errors.Invalid, match="exactly"):
        store.accept(grants[2], b"no", "")
    files = [BytesIO(data[start : start + part]) for start in range(0, len(data), part)]
    tags = [store.accept(grant, file, "") for grant, file in zip(grants, files, strict=True)]
    for wrong in ([], [*tags[:2], "0" * 64], tags[::-1], [*tags[:2], "../" * 3 + "secret"], [*tags, tags[0]]):
        with pytest.raises(errors.Invalid):
            store.finish(BUCKET, "k", way.parts_id, wrong)
    with pytest.raises(errors.Invalid):
        store.finish(BUCKET, "other", way.parts_id, tags)
    with pytest.raises(errors.NotFound):
        store.finish(BUCKET, "k", "../../secrets", tags)
    assert store.list(BUCKET) == []
    assert told == []
    store.finish(BUCKET, "k", way.parts_id, [f'"{tag}"' for tag in tags])
    assert store.get(BUCKET, "k") == data
    assert store.head(BUCKET, "k").media_type == "text/plain"
    assert [event.object.key for event in told] == ["k"]
    with pytest.raises(errors.NotFound):
        store.finish(BUCKET, "k", way.parts_id, tags)
    with pytest.raises(errors.NotFound):
        store.accept(grants[0], data[:part], "")
    assert [path.name for path in (tmp_path / ".parts").iterdir()] == [".aside"]


@pytest.mark.parametrize("fault", ["full", "forbidden"])
def test_a_disk_that_cannot_be_used_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    store = DirectoryStorage(tmp_path, SECRET, listener=lambda event: None)
    store.put(BUCKET, "k", b"x")
    number = errno.ENOSPC if fault == "full" else errno.EACCES

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("shared.storage.directory._write", fail)
    monkeypatch.setattr(Path, "open", fail)
    acts: list[Callable[[], object]] = [
        lambda: store.put(BUCKET, "k", b"y"),
        lambda: store.put(BUCKET, "new", b"y", replace=False),
        lambda: store.get(BUCKET, "k"),
        lambda: store.head(BUCKET, "k"),
        lambda: store.list(BUCKET),
        lambda: store.read(BUCKET, "k", 0, 1),
        lambda: store.copy(BUCKET, "k", BUCKET, "l", "text/plain"),
    ]
    for act in acts:
        with pytest.raises(errors.Unavailable, match=os.strerror(number)):
            act()


# --- events -----------------------------------------------------------------------------------------------------------


def test_each_put_is_told_after_it_is_there(tmp_path: Path) -> None:
    told: list[tuple[Event, bytes]] = []
    store = DirectoryStorage(tmp_path, listener=lambda event: told.append((event, store.get(BUCKET, event.object.key))))
    first = store.put(BUCKET, "a", b"1", "text/plain")
    second = store.put(BUCKET, "a", b"2")
    assert [(event.object, data) for event, data in told] == [(first, b"1"), (second, b"2")]
    assert told[0][0].sequencer <= told[1][0].sequencer


def test_an_event_stays_until_it_is_acknowledged(tmp_path: Path) -> None:
    def fail(event: Event) -> None:
        raise ConnectionError("the bell is broken")

    with pytest.raises(ConnectionError):
        DirectoryStorage(tmp_path, listener=fail).put(BUCKET, "a", b"1")
    store = DirectoryStorage(tmp_path, listener=lambda event: None)
    store.put(BUCKET, "b", b"2")
    events = list(store.events())
    assert [event.object.key for event in events] == ["a", "b"]
    assert store.event(events[0].id) == events[0]
    for event in events:
        store.acknowledge(event.id)
        store.acknowledge(event.id)
    assert list(store.events()) == []
    with pytest.raises(errors.NotFound):
        store.event(events[0].id)


def test_what_was_not_put_is_not_told(tmp_path: Path) -> None:
    told: list[Event] = []
    store = DirectoryStorage(tmp_path, listener=told.append)
    store.put(BUCKET, "a", b"1", replace=False)
    with pytest.raises(errors.Conflict):
        store.put(BUCKET, "a", b"2", replace=False)
    assert [event.object.etag for event in told] == [store.head(BUCKET, "a").etag]
    assert list(store.events()) == told
    assert list((tmp_path / BUCKET / ".aside").iterdir()) == []


def test_an_event_of_what_is_gone_or_replaced_is_not_told(tmp_path: Path, clock: Any) -> None:
    ids: list[str] = []
    store = DirectoryStorage(tmp_path, listener=lambda event: ids.append(event.id), clock=clock)
    store.put(BUCKET, "gone", b"1")
    store.put(BUCKET, "replaced", b"1")
    store.put(BUCKET, "replaced", b"2")
    store.delete(BUCKET, "gone")
    store.delete(BUCKET, "gone")
    store.put(BUCKET, "again", b"1")
    store.delete(BUCKET, "again")
    store.put(BUCKET, "again", b"1")
    assert len(ids) == 7, "what is not there is not removed"
    assert [event.id for event in store.events()] == [ids[2], ids[3], ids[4], ids[6]]
    with pytest.raises(errors.NotFound):
        store.event("../../secrets")
    clock.now = (tmp_path / ".events" / f"{ids[0]}.json").stat().st_mtime + 3601
    assert [event.id for event in store.events()] == [ids[2], ids[3], ids[4], ids[6]]
    assert len(list((tmp_path / ".events").iterdir())) == 4


def test_a_removal_is_told_when_it_is_done_and_with_what_was_removed(tmp_path: Path, clock: Any) -> None:
    told: list[tuple[Event, bool]] = []

    def tell(event: Event) -> None:
        told.append((event, bool(store.list(BUCKET))))

    store = DirectoryStorage(tmp_path, listener=tell, clock=clock)
    stored = store.put(BUCKET, "a", b"1")
    store.delete(BUCKET, "a")
    (_, there), (removal, still_there) = told
    assert (there, still_there) == (True, False)
    assert (removal.object, removal.removed_at) == (stored, datetime.fromtimestamp(clock.now, UTC))
    assert store.event(removal.id) == removal
    assert removal.sequencer > told[0][0].sequencer


def test_a_removal_that_a_crash_left_undone_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStorage(tmp_path, listener=lambda event: None)
    store.put(BUCKET, "a", b"1")
    (put,) = store.events()
    with monkeypatch.context() as crashing:
        crashing.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            store.delete(BUCKET, "a")
    assert list(store.events()) == [put]
    assert len(list((tmp_path / ".events").iterdir())) == 2


def crash(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_the_process_has_one_store_from_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE", f"directory:{tmp_path / 'o'}")
    monkeypatch.setenv("MILLRACE_STORAGE_SECRET", "x" * 32)
    bell = RecordingDoorbell()
    monkeypatch.setattr("shared.doorbell.doorbell", lambda: bell)
    stored: Stored = storage().put(BUCKET, "k", b"x")
    assert storage() is storage()
    assert DirectoryStorage(tmp_path / "o").head(BUCKET, "k") == stored
    (event,) = DirectoryStorage(tmp_path / "o").events()
    assert event.object == stored
    assert bell.rung == [("storage-events", event.id, 0)]
