"""A bell saves waiting; one that cannot be delivered is counted and never fails its caller."""

from __future__ import annotations

import json
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.doorbell import MAX_DELAY_SECONDS, SilentDoorbell, SocketDoorbell, doorbell


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bell") as name:  # short: a socket's path holds 107 bytes
        yield Path(name)


@pytest.fixture
def bell(directory: Path) -> Iterator[SocketDoorbell]:
    bell = SocketDoorbell(directory)
    yield bell
    bell.close()


def _listen(directory: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    listener.bind(str(directory / "q.sock"))
    return listener


def test_each_id_is_one_datagram(directory: Path, bell: SocketDoorbell) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    with _listen(directory) as listener:
        bell.ring("q", ids, 1.5)
        assert [json.loads(listener.recv(4096)) for _ in ids] == [{"id": id_, "delay": 1.5} for id_ in ids]


def test_a_delay_is_at_most_what_a_queue_holds(directory: Path, bell: SocketDoorbell) -> None:
    with _listen(directory) as listener:
        bell.ring("q", ["x"], 10_000)
        assert json.loads(listener.recv(4096))["delay"] == MAX_DELAY_SECONDS


def test_nobody_there_is_counted(directory: Path, bell: SocketDoorbell) -> None:
    bell.ring("q", ["x"])
    _listen(directory).close()  # the socket's file stays behind
    bell.ring("q", ["x"])
    assert bell.missed == {"ENOENT": 1, "ECONNREFUSED": 1}


def test_a_full_buffer_is_counted_and_does_not_block(directory: Path, bell: SocketDoorbell) -> None:
    with _listen(directory):
        bell.ring("q", [str(n) for n in range(100_000)])
    assert bell.missed["EAGAIN"] > 0


def test_the_setting_chooses(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    assert isinstance(doorbell(), SilentDoorbell)
    doorbell.cache_clear()
    import shared.settings

    shared.settings.forget()
    monkeypatch.setenv("MILLRACE_DOORBELL", f"socket:{directory}")
    chosen = doorbell()
    assert isinstance(chosen, SocketDoorbell)
    chosen.close()
