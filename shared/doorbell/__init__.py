"""The doorbell: telling a queue that a row wants attention.

Postgres holds the truth; a bell only saves waiting for the next tick. So ringing never fails a caller: a bell that
cannot be delivered is counted and forgotten, and ``schedule_tick`` rings again for whatever is due and unattended.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from shared.doorbell.datagrams import SocketDoorbell
from shared.doorbell.port import MAX_DELAY_SECONDS, RUNS, Doorbell, RecordingDoorbell, SilentDoorbell
from shared.doorbell.sqs import SqsDoorbell

__all__ = [
    "MAX_DELAY_SECONDS",
    "RUNS",
    "Doorbell",
    "RecordingDoorbell",
    "SilentDoorbell",
    "SocketDoorbell",
    "SqsDoorbell",
    "doorbell",
]


@cache
def doorbell() -> Doorbell:
    """The process's doorbell, as ``MILLRACE_DOORBELL`` names it. Opens no connection: its first bell does."""
    from shared.settings import DoorbellSettings

    kind, _, rest = DoorbellSettings.load().doorbell.partition(":")
    if kind == "socket":
        return SocketDoorbell(Path(rest))
    if kind == "sqs":
        return SqsDoorbell(rest)
    return SilentDoorbell()
