"""Who is at the other end of a loopback connection.

The Runtime API hands out events and takes answers for them, and any user of this machine can reach 127.0.0.1. On Lambda
a sandbox has that address for itself; here the kernel is asked whose the other end is.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

#: Source: proc(5), /proc/net/tcp: ``sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid …``.
_TABLE = Path("/proc/net/tcp")


def is_ours(peer: Any, ours: Any) -> bool:
    """Whether a connection from ``peer`` to ``ours`` (address and port, IPv4) belongs to this process's user.

    Where there is no such table (outside Linux) it is believed.
    """
    try:
        lines = _TABLE.read_text().splitlines()[1:]
    except OSError:
        return True
    wanted = (_written(peer), _written(ours))
    for line in lines:
        fields = line.split()
        if (fields[1], fields[2]) == wanted:
            return int(fields[7]) == os.getuid()
    return False


def _written(address: tuple[str, int]) -> str:
    """An address as the table has it, in hex: IPv4 as a number in the machine's byte order, and the port."""
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
