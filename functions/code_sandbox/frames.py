"""What parent and child say to each other over a socket: a letter, a size, that many bytes.

Parent to child: one REQUEST. Child to parent: HELLO with its process id; then STDOUT, STDERR and, at the end, REPORT
with the program's own words about its result, an ARTIFACT for each file, and DONE with how it ended.
"""

from __future__ import annotations

import socket
import struct

REQUEST, HELLO, STDOUT, STDERR, REPORT, ARTIFACT, DONE = (bytes([letter]) for letter in b"QHOERAD")

HEADER = struct.Struct("<cI")
NAME = struct.Struct("<H")  #: before an artifact's path, which its content follows


def pack(kind: bytes, payload: bytes) -> bytes:
    return HEADER.pack(kind, len(payload)) + payload


def receive(connection: socket.socket, size: int) -> bytes | None:
    """Exactly ``size`` bytes, or None when the other side has gone."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def receive_frame(connection: socket.socket) -> tuple[bytes, bytes] | None:
    """One frame, or None when the other side has gone."""
    header = receive(connection, HEADER.size)
    if header is None:
        return None
    kind, size = HEADER.unpack(header)
    payload = receive(connection, size)
    return None if payload is None else (kind, payload)
