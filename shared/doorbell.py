"""The doorbell: telling a queue that a row wants attention.

Postgres holds the truth; a bell only saves waiting for the next tick. So ringing never fails a caller: a bell that
cannot be delivered is counted and forgotten, and ``schedule_tick`` rings again for whatever is due and unattended.
"""

from __future__ import annotations

import errno
import json
import socket
import time
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Protocol

from shared.settings import DoorbellSettings

#: The longest delay a queue takes, in seconds (SQS: 15 minutes). Longer waits are the tick's.
MAX_DELAY_SECONDS = 900.0

#: How long a bell may wait for the listener to make room.
_PATIENCE_SECONDS = 0.05

RUNS = "workflow-run"  #: the queue that brings runs to workers


class Doorbell(Protocol):
    """Rings ``queue`` once for each id, ``delay`` seconds from now (at most :data:`MAX_DELAY_SECONDS`)."""

    def ring(self, queue: str, ids: Iterable[str], delay: float = 0) -> None: ...


class SocketDoorbell:
    """One id per datagram to ``<directory>/<queue>.sock``: the laptop's doorbell.

    A full buffer (EAGAIN), a listener that is gone (ECONNREFUSED) or not there yet (ENOENT) are counted in ``missed``.
    Linux lets ten datagrams wait unless told otherwise (net.unix.max_dgram_qlen), so a burst goes at the pace of a
    listener that reads; it is not held up by one that does not.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.missed: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def ring(self, queue: str, ids: Iterable[str], delay: float = 0) -> None:
        address = str(self.directory / f"{queue}.sock")
        until = time.monotonic() + _PATIENCE_SECONDS
        for id_ in ids:  # the first that finds no room in time uses up the patience for all
            bell = json.dumps({"id": id_, "delay": min(delay, MAX_DELAY_SECONDS)}).encode()
            while True:
                try:
                    self._socket.sendto(bell, address)
                except OSError as error:
                    if error.errno == errno.EAGAIN and time.monotonic() < until:
                        time.sleep(0.0002)
                        continue
                    if error.errno not in (errno.EAGAIN, errno.ENOENT, errno.ECONNREFUSED, errno.ENOBUFS):
                        raise
                    self.missed[errno.errorcode[error.errno]] += 1
                else:
                    until = time.monotonic() + _PATIENCE_SECONDS
                break

    def close(self) -> None:
        self._socket.close()


class RecordingDoorbell:
    """Keeps what was rung, as ``(queue, id, delay)``, for tests and for driving runs by hand."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str, float]] = []

    def ring(self, queue: str, ids: Iterable[str], delay: float = 0) -> None:
        self.rung.extend((queue, id_, delay) for id_ in ids)


class SilentDoorbell:
    """Rings nothing: the tick finds everything, later."""

    def ring(self, queue: str, ids: Iterable[str], delay: float = 0) -> None:
        """Leave it to the tick."""


@cache
def doorbell() -> Doorbell:
    """The process's doorbell, as ``MILLRACE_DOORBELL`` names it: ``socket:<directory>`` or ``none``."""
    kind, _, rest = DoorbellSettings.load().doorbell.partition(":")
    if kind == "socket":
        return SocketDoorbell(Path(rest))
    return SilentDoorbell()
