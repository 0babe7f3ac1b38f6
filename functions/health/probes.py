"""A look at each part of an installation: the database, the bells, the storage, the tick.

A probe returns a few words about what it found, or raises. It changes nothing and costs one request, so that it may be
called every minute. ``millrace doctor`` looks at the same parts more closely.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from shared import statements
from shared.doorbell import RUNS
from shared.errors import MillraceError, NotFound, Unavailable
from shared.storage import EVENTS, DirectoryStorage, Storage

#: The queues that every installation has.
QUEUES = (RUNS, EVENTS)

#: Where the storage is looked at. Nothing is ever put under this key.
BUCKET, KEY = "workflow-attachments", "health"

#: A tick is late after this many of its intervals, and never sooner than this.
MISSED_TICKS = 3
SOONEST_SECONDS = 30.0
#: What is due waits this long at most, or something that should take it is not there.
LATE_SECONDS = 300.0


class Caller(Protocol):
    """Statements as somebody who may ask for the installation's health."""

    def call(self, query: str, params: Any = None, /) -> list[dict[str, Any]]: ...


class Failing(Exception):
    """A part does not do what it is for. The message says what, and holds no secret."""


def figures(caller: Caller) -> dict[str, Any]:
    """What the database says of itself, the tick and the queues: the columns of ``millrace.health``."""
    [row] = caller.call(statements.load("health")["figures"])
    return row


def tick(lag: float | None, interval: float) -> str:
    """Whether the tick comes. ``lag``: seconds since the last one ended; ``interval``: between two."""
    if lag is None:
        raise Failing("The schedule tick never ran.")
    said = f"The last tick ended {lag:.0f} s ago."
    if lag > max(MISSED_TICKS * interval, SOONEST_SECONDS):
        raise Failing(said)
    return said


def work(late: dict[str, float]) -> str:
    """Whether what is due is taken. ``late``: by how many seconds the oldest of each kind is overdue."""
    kind, seconds = max(late.items(), key=lambda item: item[1])
    if seconds > LATE_SECONDS:
        raise Failing(f"The oldest of the {kind} that are due has waited {seconds:.0f} s: nobody takes them.")
    return f"What is due is taken; the oldest has waited {seconds:.0f} s."


def bells(doorbell: str, queues: Iterable[str] = QUEUES) -> str:
    """Whether a bell would reach each queue of ``MILLRACE_DOORBELL``. None is rung."""
    kind, _, where = doorbell.partition(":")
    if kind == "none":
        return "None are rung: waking is left to the tick."
    wrong = {queue: said for queue in queues if (said := _deaf(kind, where, queue)) is not None}
    if wrong:
        raise Failing("; ".join(f"{queue}: {said}" for queue, said in wrong.items()))
    return "Every queue takes bells."


def _deaf(kind: str, where: str, queue: str) -> str | None:
    return _deaf_socket(Path(where), queue) if kind == "socket" else _deaf_sqs(where, queue)


def _deaf_socket(directory: Path, queue: str) -> str | None:
    import socket

    path = directory / f"{queue}.sock"
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return f"{path} is no socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
            bell.connect(str(path))
    except FileNotFoundError:
        return f"there is no socket {path}"
    except OSError as error:
        return f"nobody listens at {path} ({error.strerror})"
    return None


def _deaf_sqs(prefix: str, queue: str) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    from shared import aws

    try:
        aws.client("sqs").get_queue_attributes(QueueUrl=f"{prefix}-{queue}", AttributeNames=["QueueArn"])
    except ClientError as error:
        return f"SQS answers {error.response.get('Error', {}).get('Code', 'an error')} for {prefix}-{queue}"
    except BotoCoreError as error:  # no connection, no credentials, no region
        return f"SQS cannot be asked: {type(error).__name__}"
    return None


def storage(store: Storage) -> str:
    """Whether the store answers for one of our buckets."""
    try:
        if isinstance(store, DirectoryStorage):  # which looks at every object to list one, and makes its buckets itself
            with suppress(NotFound):
                store.head(BUCKET, KEY)
        else:
            store.list(BUCKET, f"{KEY}/", limit=1)
    except Unavailable as error:
        raise Failing(error.detail) from error
    except MillraceError as error:
        raise Failing(f"The storage refuses: {error.detail}") from error
    return "The storage answers."
