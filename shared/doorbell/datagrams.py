"""Bells as datagrams to a Unix socket: the laptop's doorbell."""

from __future__ import annotations

import errno
import json
import socket
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from shared.doorbell.port import MAX_DELAY_SECONDS

#: How long a bell may wait for the listener to make room.
_PATIENCE_SECONDS = 0.05


class SocketDoorbell:
    """One id per datagram to ``<directory>/<queue>.sock``.

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
