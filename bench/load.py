"""A small HTTP load generator: keep-alive connections over uvloop and httptools, one process of its own.

It takes its orders as JSON on standard input and prints what it saw as JSON, so that it shares neither interpreter nor
lock with what it measures.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import httptools
import uvloop


@dataclass
class Seen:
    """What came back."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)  #: seconds, of answers 202
    runs: list[str] = field(default_factory=list)  #: acknowledged
    retry_after: int = 0  #: 429s that said when to come again


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, host: str, seen: Seen) -> None:
        self.host = host
        self.seen = seen
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = b""
        self.headers: dict[bytes, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionResetError())

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(None)

    async def post(self, path: str, body: bytes, signature: str) -> None:
        """One signed delivery with an id of its own."""
        assert self.transport is not None
        self._reset()
        self.answer = asyncio.get_running_loop().create_future()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-type: application/json\r\n"
            f"x-github-event: push\r\nx-github-delivery: {uuid.uuid4()}\r\nx-hub-signature-256: sha256={signature}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        self.transport.write(head.encode() + body)
        await self.answer
        status = self.parser.get_status_code()
        self.seen.statuses[str(status)] += 1
        if status == 202:
            self.seen.latencies.append(time.perf_counter() - began)
            self.seen.runs.append(json.loads(self.body)["id"])
        elif status == 429 and b"retry-after" in self.headers:
            self.seen.retry_after += 1


async def generate(order: dict[str, Any]) -> Seen:
    """``{host, port, path, secret, body, connections, seconds, rate?}``: as fast as may be, or ``rate`` a second."""
    seen = Seen()
    body = order["body"].encode()
    signature = hmac.new(order["secret"].encode(), body, hashlib.sha256).hexdigest()
    loop = asyncio.get_running_loop()

    async def connect() -> Client:
        _, client = await loop.create_connection(lambda: Client(order["host"], seen), order["host"], order["port"])
        return client

    idle: asyncio.Queue[Client] = asyncio.Queue()
    for _ in range(order["connections"]):
        idle.put_nowait(await connect())
    until = time.perf_counter() + order["seconds"]

    async def send(client: Client) -> None:
        try:
            await client.post(order["path"], body, signature)
        except ConnectionResetError:
            seen.statuses["connection lost"] += 1
            client = await connect()
        idle.put_nowait(client)

    async def steadily() -> None:
        sending = set()
        began = time.perf_counter()
        number = 0
        while time.perf_counter() < until:
            await asyncio.sleep(max(0.0, began + number / order["rate"] - time.perf_counter()))
            number += 1
            task = asyncio.create_task(send(await idle.get()))
            sending.add(task)
            task.add_done_callback(sending.discard)
        await asyncio.gather(*sending)

    async def hurriedly() -> None:
        while time.perf_counter() < until:
            await send(await idle.get())

    if order.get("rate"):
        await steadily()
    else:
        await asyncio.gather(*(hurriedly() for _ in range(order["connections"])))
    return seen


if __name__ == "__main__":
    result = uvloop.run(generate(json.load(sys.stdin)))
    json.dump(result.__dict__, sys.stdout)
