"""Ids that sort by the time they were made."""

from __future__ import annotations

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    """A time-ordered UUID (RFC 9562, version 7), for rows whose id is chosen before the database is asked.

    Like ``millrace.uuid7()`` in SQL: 48 bits of milliseconds, 12 bits of the rest of the millisecond, 62 random bits.
    """
    microseconds = time.time_ns() // 1000
    milliseconds, rest = divmod(microseconds, 1000)
    value = milliseconds << 80 | 7 << 76 | (rest * 4096 // 1000) << 64 | 2 << 62
    return UUID(int=value | int.from_bytes(os.urandom(8)) >> 2)
