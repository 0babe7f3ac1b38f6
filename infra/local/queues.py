"""SQS on this machine: queues in memory, rung by datagrams, emptied by functions as Lambda's event sources do it.

A queue's message is only a doorbell: Postgres is the truth, and what a stopped stack forgets, the tick rings again. So
queues live in memory, and a bell for an id that is waiting already is not queued twice.

A bell reaches its function at once if a process is free, alone or with whatever else is waiting, up to the batch size;
there is no window in which to gather. What a function reports as failed is invisible for the visibility timeout and
then comes again, until it has been received as often as the queue allows: then it lies in the dead-letter queue.

Source: SQS Developer Guide, "Dead-letter queues", "Quotas"; Lambda Developer Guide, "Using Lambda with Amazon SQS".
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import json
import socket
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.logs import Logs
from infra.local.runtime import Function, FunctionError, Invocation, Outcome

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_DELAY_SECONDS = 900.0

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
#: Datagrams read in one go before other work of the loop has its turn.
_DATAGRAMS_AT_ONCE = 256


class MessageTooLargeError(Exception):
    """The message is over SQS's quota."""


class Message:
    """One message of a queue. ``key`` is the id that was rung for, or None for a message that is its own truth."""

    __slots__ = ("body", "first_received", "id", "key", "receives", "sent", "visible_since")

    def __init__(self, body: str, key: str | None) -> None:
        self.id = str(uuid.uuid4())
        self.body = body
        self.key = key
        self.sent = time.time()
        self.first_received = 0.0
        self.receives = 0
        self.visible_since = time.perf_counter()

    def record(self, queue: Queue) -> dict[str, Any]:
        """The message as a record of the event that a function gets."""
        return {
            "messageId": self.id,
            "receiptHandle": f"{self.id}#{self.receives}",
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": str(self.receives),
                "SentTimestamp": str(int(self.sent * 1000)),
                "SenderId": "000000000000",
                "ApproximateFirstReceiveTimestamp": str(int(self.first_received * 1000)),
            },
            "messageAttributes": {},
            "md5OfBody": hashlib.md5(self.body.encode(), usedforsecurity=False).hexdigest(),
            "eventSource": "aws:sqs",
            "eventSourceARN": queue.arn,
            "awsRegion": queue.region,
        }


@dataclass(frozen=True)
class QueueSettings:
    """A queue as ``serverless.yml`` defines it."""

    name: str  #: what is rung: ``workflow-run``
    visibility_seconds: float = 30.0
    dead_letter: str | None = None  #: the name of the queue that takes what was received ``max_receives`` times
    max_receives: int = 0
    region: str = "us-east-1"
    attributes: dict[str, Any] = field(default_factory=dict, compare=False)


class Queue:
    """Messages that are visible, delayed or being handled."""

    def __init__(self, settings: QueueSettings) -> None:
        self.name = settings.name
        self.settings = settings
        self.region = settings.region
        self.arn = f"arn:aws:sqs:{settings.region}:000000000000:{settings.name}"
        self.loop = asyncio.get_running_loop()
        self.dead_letter: Queue | None = None
        self.mapping: Mapping | None = None
        self.handled: Callable[[str], None] | None = None  #: told the key of each message that was taken care of
        self.visible: deque[Message] = deque()
        self.flying: dict[str, Message] = {}
        self.counts: Counter[str] = Counter()
        self._keys: set[str] = set()  # of the visible messages
        self._later: list[tuple[float, int, Message]] = []
        self._order = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    def __len__(self) -> int:
        """Messages that are in the queue: visible, delayed or being handled."""
        return len(self.visible) + len(self._later) + len(self.flying)

    def ring(self, id_: str, delay: float = 0) -> None:
        """Ring for ``id_``, at once or ``delay`` seconds from now; fractions count."""
        self.send(_encode({"id": id_}), delay, key=id_)

    def send(self, body: str, delay: float = 0, *, key: str | None = None) -> None:
        """Put a message in. Raises :class:`MessageTooLargeError`."""
        if len(body) > MAX_MESSAGE_BYTES or (
            len(body) * 4 > MAX_MESSAGE_BYTES and len(body.encode()) > MAX_MESSAGE_BYTES
        ):
            raise MessageTooLargeError(f"a message to {self.name} is over {MAX_MESSAGE_BYTES} bytes")
        self.counts["sent"] += 1
        if delay > 0:
            self._put_later(Message(body, key), min(delay, MAX_DELAY_SECONDS))
        elif key is not None and key in self._keys:
            self.counts["merged"] += 1
        else:
            self._show(Message(body, key))

    def receive(self, limit: int) -> list[Message]:
        """Up to ``limit`` visible messages, which are then invisible until ``settle``."""
        taken: list[Message] = []
        now = time.time()
        while self.visible and len(taken) < limit:
            message = self.visible.popleft()
            if message.key is not None:
                self._keys.discard(message.key)
            message.receives += 1
            message.first_received = message.first_received or now
            self.flying[message.id] = message
            taken.append(message)
        return taken

    def settle(self, messages: Iterable[Message], failed: frozenset[str] | None) -> None:
        """Delete what was handled; ``failed`` are message ids to keep for another try, None means all of them."""
        for message in messages:
            self.flying.pop(message.id, None)
            if failed is not None and message.id not in failed:
                self.counts["handled"] += 1
                if self.handled is not None and message.key is not None:
                    self.handled(message.key)
                continue
            self.counts["failed"] += 1
            if self.dead_letter is not None and message.receives >= self.settings.max_receives:
                self.counts["dead"] += 1
                message.visible_since = time.perf_counter()
                self.dead_letter._show(message)
            else:
                self._put_later(message, self.settings.visibility_seconds)

    def give_back(self, messages: list[Message]) -> None:
        """Messages that no function could take: visible again soon, and not counted as received."""
        for message in messages:
            self.flying.pop(message.id, None)
            message.receives -= 1
            self._put_later(message, 1.0)

    def stop(self) -> None:
        """Let nothing more become visible."""
        if self._timer is not None:
            self._timer.cancel()

    def _show(self, message: Message) -> None:
        if message.key is not None:
            if message.key in self._keys:
                self.counts["merged"] += 1
                return
            self._keys.add(message.key)
        message.visible_since = time.perf_counter()
        self.visible.append(message)
        if self.mapping is not None:
            self.mapping.function.pull(self.mapping)

    def _put_later(self, message: Message, delay: float) -> None:
        due = self.loop.time() + delay
        self._order += 1
        heapq.heappush(self._later, (due, self._order, message))
        if self._timer is None or due < self._timer_due:
            self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self.loop.call_at(due, self._show_due)

    def _show_due(self) -> None:
        self._timer = None
        # uvloop's timers have a resolution of a millisecond and may come that much early.
        now = self.loop.time() + 0.001
        while self._later and self._later[0][0] <= now:
            self._show(heapq.heappop(self._later)[2])
        if self._later:
            self._set_timer(self._later[0][0])


class Mapping:
    """An event source mapping: batches of a queue to a function, so many at a time."""

    def __init__(
        self,
        queue: Queue,
        function: Function,
        logs: Logs,
        *,
        batch_size: int = 10,
        concurrency: int = 1000,
        report_failures: bool = True,
    ) -> None:
        """``report_failures`` is ``ReportBatchItemFailures``: without it, an answer never keeps a message."""
        self.queue = queue
        self.function = function
        self.logs = logs
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.report_failures = report_failures
        self.running = 0
        queue.mapping = self

    def take(self) -> Invocation | None:
        """A batch of whatever is visible, if one more may run."""
        if self.running >= self.concurrency or not self.queue.visible:
            return None
        messages = self.queue.receive(self.batch_size)
        self.running += 1
        payload = _encode({"Records": [message.record(self.queue) for message in messages]}).encode("utf-8", "replace")
        return Invocation(payload, lambda outcome: self._done(messages, outcome))

    def waiting_since(self) -> float | None:
        """When the oldest visible message became so; None if none is or as many batches run as may."""
        if self.running >= self.concurrency or not self.queue.visible:
            return None
        return self.queue.visible[0].visible_since

    def _done(self, messages: list[Message], outcome: Outcome) -> None:
        self.running -= 1
        error = outcome.error
        if error is not None and error.type == "Stack.Stopping":
            self.queue.give_back(messages)
            return
        failed: frozenset[str] | None = frozenset()
        if error is not None:
            failed = None
        elif self.report_failures:
            failed, error = failed_items(outcome.payload, {message.id for message in messages})
        self.queue.settle(messages, failed)
        bad = len(messages) if failed is None else len(failed)
        note = f"{bad} failed" if bad else ""
        if error is not None:
            note += f": {error.type}: {error.message}"
        what = f"{self.queue.name} {len(messages)} message{'s' if len(messages) > 1 else ''}"
        self.logs.request(what, "failed" if bad else "ok", outcome.seconds, self.function.name, note)
        if self.queue.visible:
            self.function.pull(self)


def failed_items(payload: bytes, ids: set[str]) -> tuple[frozenset[str] | None, FunctionError | None]:
    """The message ids that a function reports as failed, or None for the whole batch with the reason.

    Lambda takes the batch for handled when the answer is null, an empty object or an empty list of failures; for failed
    when it is not readable, or names an id that is empty, null or not in the batch.
    """

    def whole(reason: str) -> tuple[None, FunctionError]:
        return None, FunctionError("BadAnswer", reason)

    try:
        answer = json.loads(payload) if payload else None
    except ValueError:
        return whole("the answer is not JSON")
    if answer is None:
        return frozenset(), None
    if not isinstance(answer, dict):
        return whole("the answer is not an object")
    failures = answer.get("batchItemFailures")
    if failures is None:
        return frozenset(), None
    if not isinstance(failures, list):
        return whole("batchItemFailures is not a list")
    failed = set()
    for failure in failures:
        item = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(item, str) or item not in ids:
            return whole(f"batchItemFailures names {item!r}, which is not in the batch")
        failed.add(item)
    return frozenset(failed), None


class BellSocket:
    """The Unix datagram socket that rings a queue: ``<directory>/<queue>.sock``, ``{"id": …, "delay": seconds}``."""

    def __init__(self, directory: Path, name: str, ring: Callable[[str, float], None]) -> None:
        self.path = directory / f"{name}.sock"
        self._ring = ring
        self.malformed = 0
        self._loop = asyncio.get_running_loop()
        self.path.unlink(missing_ok=True)  # of a stack that was killed
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        self._socket.bind(str(self.path))
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        for _ in range(_DATAGRAMS_AT_ONCE):
            try:
                datagram = self._socket.recv(65536)
            except BlockingIOError:
                return
            try:
                bell = json.loads(datagram)
                self._ring(str(bell["id"]), float(bell.get("delay") or 0))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                self.malformed += 1  # not worth a crash: whatever it was about, the tick will find

    def close(self) -> None:
        """Stop listening and leave no socket behind."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self.path.unlink(missing_ok=True)
