"""A transaction-mode pooler for tests, as strict as Supabase's: the first ReadyForQuery hands the server connection on.

It speaks enough of the protocol (PostgreSQL's manual, "Message Formats") to let any number of clients share a few
server connections. A client holds one from its first message after it was ready until the server is ready again, idle.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102


class Pooler:
    """Listens on ``directory``'s socket and shares ``size`` connections to the server on ``server``'s."""

    def __init__(self, directory: Path, server: Path, role: str, database: str, size: int) -> None:
        self.directory = directory
        self.role = role
        self.database = database
        self.handed_on = 0  #: how many times a connection went to a client other than its last
        self._idle: queue.SimpleQueue[tuple[socket.socket, int]] = queue.SimpleQueue()
        self._open: list[socket.socket] = []
        self._parameters = b""
        for _ in range(size):
            self._idle.put((self._connect(server), 0))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"postgresql://{self.role}@/{self.database}?host={self.directory}&port=5432"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for open_ in [self._listener, *self._open]:
            with suppress(OSError):  # its peer has closed it
                open_.shutdown(socket.SHUT_RDWR)
            open_.close()

    def _connect(self, server: Path) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(server / ".s.PGSQL.5432"))
        self._open.append(connection)
        words = [b"user", self.role.encode(), b"database", self.database.encode(), b"", b""]
        body = struct.pack("!i", 196608) + b"\0".join(words)
        connection.sendall(struct.pack("!i", len(body) + 4) + body)
        said = b""
        while True:
            kind, message = _read(connection)
            if kind == b"E":
                raise ConnectionError(message)
            if kind == b"S":
                said += message
            if kind == b"Z":
                self._parameters = said
                return connection

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            number += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        try:
            while True:
                (length,) = struct.unpack("!i", _exactly(client, 4))
                (code,) = struct.unpack("!i", _exactly(client, length - 4)[:4])
                if code == _CANCEL:
                    return
                if code not in (_SSL, _GSS):
                    break
                client.sendall(b"N")
            client.sendall(b"R" + struct.pack("!ii", 8, 0) + self._parameters)
            client.sendall(b"K" + struct.pack("!iii", 12, number, 0) + b"Z" + struct.pack("!i", 5) + b"I")
            while True:
                kind, message = _read(client)
                if kind == b"X":
                    return
                server, last = self._idle.get()
                self.handed_on += last not in (0, number)
                try:
                    self._exchange(client, server, kind, message)
                finally:
                    self._idle.put((server, number))
        except (ConnectionError, OSError, struct.error):
            return  # the client is gone

    def _exchange(self, client: socket.socket, server: socket.socket, kind: bytes, message: bytes) -> None:
        """Until the server is ready again: whatever else the client sent stays for the next server connection."""
        while kind not in (b"S", b"Q"):
            server.sendall(message)
            kind, message = _read(client)
        server.sendall(message)
        while True:
            kind, message = _read(server)
            client.sendall(message)
            if kind == b"Z" and message[-1:] == b"I":
                return
            if kind == b"Z":
                kind, message = _read(client)  # inside BEGIN: the connection stays
                self._exchange(client, server, kind, message)
                return


def _read(connection: socket.socket) -> tuple[bytes, bytes]:
    """The type of the next message, and the whole of it."""
    head = _exactly(connection, 5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + _exactly(connection, length - 4)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data
