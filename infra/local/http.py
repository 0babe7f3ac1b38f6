"""HTTP/1.1 on the server side, over httptools: what the gateway and the Lambda Runtime API both stand on.

A request is handed over whole, as one call of ``handle(exchange)``; the answer is one ``exchange.respond(...)``, at
once or later, written with one system call. No task is made per request. Large bodies, where the server has a place for
them, are files on disk in both directions and never in memory as a whole.

Requests that a client pipelines are answered in order, one at a time. Bodies and headers over their limits are refused
before they are read (413, 431), connections that dawdle in the middle of a request are closed, and ``drain`` lets what
has begun end.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

import httptools

Header = tuple[bytes, bytes]

#: What API Gateway allows for the request line and all headers together.
MAX_HEAD_BYTES = 10_240
#: Requests that one connection may have sent ahead of the answer to the first; beyond it we stop reading.
MAX_PIPELINED = 16
#: Seconds for a whole request to arrive once its first byte has, and for a kept connection to be used again.
REQUEST_SECONDS = 30
KEEP_ALIVE_SECONDS = 75
#: A body that is larger is kept in a file, where the server has a place for it; files are sent in pieces of this size.
SPOOL_BYTES = 256 * 1024

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_BODILESS = frozenset({204, 304})


class Request:
    """One whole request: ``target`` as sent (path and query), header names lower-cased, in the order sent.

    A large body may be in ``file`` instead of ``body``; whoever handles the request closes it.
    """

    __slots__ = ("body", "file", "headers", "keep_alive", "method", "target", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        headers: list[Header],
        body: bytes,
        version: str,
        keep_alive: bool,
        file: BinaryIO | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.version = version
        self.keep_alive = keep_alive
        self.file = file

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Exchange:
    """A request and the one answer it gets."""

    __slots__ = ("answered", "connection", "request", "started")

    def __init__(self, request: Request, connection: Connection) -> None:
        self.request = request
        self.connection = connection
        self.answered = False
        self.started = time.perf_counter()

    @property
    def peer(self) -> str:
        """The caller's IP address."""
        return self.connection.peer

    @property
    def gone(self) -> bool:
        """Whether the caller has closed the connection, so that an answer would reach nobody."""
        return self.connection.transport is None

    def respond(self, status: int, headers: Iterable[Header] = (), body: bytes = b"", *, close: bool = False) -> None:
        """Answer, once; a second answer is ignored, and so is one to a caller who has left."""
        if self.answered:
            return
        self.answered = True
        self.connection.write(self.request, status, headers, body, close)

    def respond_file(self, status: int, headers: Iterable[Header], file: BinaryIO, size: int) -> None:
        """Answer with the next ``size`` bytes of a file, which is closed when they are sent or nobody wants them."""
        if self.answered or self.gone:
            file.close()
            return
        self.answered = True
        self.connection.write(self.request, status, headers, b"", False, (file, size))


Handler = Callable[[Exchange], None]


class Connection(asyncio.Protocol):
    """One client connection: bytes to :class:`Request`, answers in order."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_busy",
        "_closing",
        "_file",
        "_head_bytes",
        "_headers",
        "_in_request",
        "_max_body",
        "_outgoing",
        "_parser",
        "_paused",
        "_refused",
        "_spool",
        "_target",
        "_waiting",
        "peer",
        "server",
        "since",
        "transport",
    )

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.since = time.monotonic()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._file: BinaryIO | None = None
        self._spool: Path | None = None
        self._outgoing: tuple[BinaryIO, int, bool] | None = None  # a file that is being sent, what is left, close then
        self._paused = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._max_body = 0
        self._waiting: deque[Exchange] = deque()
        self._busy = False
        self._in_request = False
        self._closing = False
        self._refused = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.server.connections.add(self)
        if self.server.admit is not None and not self.server.admit(peer, transport.get_extra_info("sockname")):
            self._refused = True
            self.transport.abort()  # type: ignore[union-attr]

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.server.connections.discard(self)
        self._forget_waiting()
        if self._file is not None:
            self._file.close()
        if self._outgoing is not None:
            self._outgoing[0].close()
            self._outgoing = None
        if self.server.on_lost is not None:
            self.server.on_lost(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We speak nothing else: the request is answered as plain HTTP, and what follows it is not ours to read.
            self._closing = self._refused = True
        except httptools.HttpParserError:
            self._refuse(400, "malformed HTTP")
        if len(self._waiting) >= MAX_PIPELINED and self.transport is not None:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_file()

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = []
        self._body = []
        self._head_bytes = self._body_bytes = 0
        self._in_request = True
        self.since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self.server.max_head:
            self._head_too_large()
            return
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._head_bytes > self.server.max_head:
            self._head_too_large()
            return
        self._max_body = self.server.max_body(self._target)
        self._spool = self.server.spool(self._target)
        for name, value in self._headers:
            if name == b"content-length" and int(value) > self._max_body:
                self._too_large()
            elif name == b"expect" and value.lower() == b"100-continue" and not self._refused and self.transport:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._max_body:
            self._too_large()
        elif not self._refused:
            self._take(body)

    def _take(self, body: bytes) -> None:
        if self._file is None and (self._spool is None or self._body_bytes <= SPOOL_BYTES):
            self._body.append(body)
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._spool)  # noqa: SIM115 - whoever handles it closes it
                self._file.writelines(self._body)
                self._body.clear()
            self._file.write(body)
        except OSError as error:
            self._refuse(503, f"there is no room for the body ({error.strerror})")

    def on_message_complete(self) -> None:
        self._in_request = False
        if self._refused:
            return
        parser = self._parser
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        file, self._file = self._file, None
        request = Request(
            parser.get_method().decode("ascii"),
            self._target,
            self._headers,
            body,
            parser.get_http_version(),
            parser.should_keep_alive() and not parser.should_upgrade(),
            file,
        )
        exchange = Exchange(request, self)
        if self._busy:
            self._waiting.append(exchange)
        else:
            self._busy = True
            self.server.handle(exchange)

    # --- answering

    def write(
        self,
        request: Request,
        status: int,
        headers: Iterable[Header],
        body: bytes,
        close: bool,
        file: tuple[BinaryIO, int] | None = None,
    ) -> None:
        """Write one answer with one call, or a file piece by piece, and turn to the next request that is waiting."""
        transport = self.transport
        if transport is None:
            return
        close = close or self._closing or not request.keep_alive or self.server.draining
        parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status, self.server.date_header()]
        for name, value in headers:
            parts.append(b"%b: %b\r\n" % (name, value))
        if status in _BODILESS:
            body = b""
        else:
            parts.append(b"content-length: %d\r\n" % (len(body) if file is None else file[1]))
        if close:
            parts.append(b"connection: close\r\n")
        elif request.version == "1.0":
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        if body and request.method != "HEAD":
            parts.append(body)
        transport.write(b"".join(parts))
        if file is None:
            self._answered(close)
        elif request.method == "HEAD":
            file[0].close()
            self._answered(close)
        else:
            self._outgoing = (*file, close)
            self._send_file()

    def _send_file(self) -> None:
        """Send of the file what the connection takes now; it says when it takes more."""
        while self._outgoing is not None and not self._paused and self.transport is not None:
            file, left, close = self._outgoing
            chunk = file.read(min(left, SPOOL_BYTES))
            if left and not chunk:  # it became shorter: the caller was promised more than there is
                self.transport.abort()
                return
            self.transport.write(chunk)
            self.since = time.monotonic()
            self._outgoing = (file, left - len(chunk), close)
            if left == len(chunk):
                file.close()
                self._outgoing = None
                self._answered(close)

    def _answered(self, close: bool) -> None:
        transport = self.transport
        if transport is None:
            return
        self.since = time.monotonic()
        if close:
            self._closing = self._refused = True
            self._forget_waiting()
            transport.close()
        elif self._waiting:
            following = self._waiting.popleft()
            if len(self._waiting) == MAX_PIPELINED - 1:
                transport.resume_reading()
            # Not at once: a handler that answers synchronously would recurse once for each pipelined request.
            self.server.loop.call_soon(self.server.handle, following)
        else:
            self._busy = False

    def _forget_waiting(self) -> None:
        for exchange in self._waiting:
            if exchange.request.file is not None:
                exchange.request.file.close()
        self._waiting.clear()

    def _too_large(self) -> None:
        self._refuse(413, f"the body is over {self._max_body} bytes")

    def _head_too_large(self) -> None:
        self._refuse(431, f"request line and headers are over {self.server.max_head} bytes")

    def _refuse(self, status: int, reason: str) -> None:
        """Answer for a request that will never be handled, and read no more."""
        if self._refused or self.transport is None:
            return
        self._refused = True
        headers, body = self.server.refusal(status, reason)
        request = Request("POST", self._target, self._headers, b"", "1.1", False)
        if self._busy:
            self._closing = True  # an earlier answer is still owed; it goes out with `connection: close`
        else:
            self.write(request, status, headers, body, True)

    def expired(self, now: float) -> bool:
        """Whether this connection has been idle, or in the middle of one request, for longer than is allowed."""
        if self._busy:
            return False
        return now - self.since > (REQUEST_SECONDS if self._in_request else KEEP_ALIVE_SECONDS)

    def close_when_idle(self) -> None:
        """Close now if nothing is owed, otherwise with the answer that is."""
        self._closing = True
        if not self._busy and self.transport is not None:
            self.transport.close()


def plain_refusal(status: int, reason: str) -> tuple[list[Header], bytes]:
    """What is said about a request that could not be read, where nobody reads problem documents."""
    return [(b"content-type", b"text/plain; charset=utf-8")], reason.encode()


class HttpServer:
    """A listening address, its connections, and the one function that handles their requests."""

    def __init__(
        self,
        handle: Handler,
        *,
        max_body: int | Callable[[bytes], int],
        max_head: int = MAX_HEAD_BYTES,
        spool: Callable[[bytes], Path | None] = lambda target: None,
        refusal: Callable[[int, str], tuple[list[Header], bytes]] = plain_refusal,
        on_lost: Callable[[Connection], None] | None = None,
        admit: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        """``max_body`` may depend on the request's target.

        ``spool(target)`` is the directory for files of bodies that are large, None where they are kept in memory.
        ``refusal(status, reason)`` gives headers and body of an answer to what could not be read. ``admit(peer's
        address, ours)`` says whether a new connection may speak.
        """
        self.handle = handle
        self.max_body = max_body if callable(max_body) else lambda target: max_body
        self.max_head = max_head
        self.spool = spool
        self.refusal = refusal
        self.on_lost = on_lost
        self.admit = admit
        self.connections: set[Connection] = set()
        self.draining = False
        self.port = 0
        self.loop: asyncio.AbstractEventLoop
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._date = (0, b"")

    async def listen(self, listener: socket.socket | None = None) -> None:
        """Listen on a bound socket, else on a free port of 127.0.0.1, which ``port`` then tells."""
        self.loop = asyncio.get_running_loop()
        if listener is None:
            listener = socket.create_server(("127.0.0.1", 0))
        self._server = await self.loop.create_server(lambda: Connection(self), sock=listener, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = self.loop.call_later(5, self._sweep)

    def date_header(self) -> bytes:
        """The Date line (RFC 9110, 6.6.1), made once a second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, b"date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii"))
        return self._date[1]

    async def drain(self, seconds: float) -> None:
        """Take no new connection, and give the requests that have begun this long to end."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        until = time.monotonic() + seconds
        while self.connections and time.monotonic() < until:  # noqa: ASYNC110 - counted down from many places
            await asyncio.sleep(0.01)
        self.close()

    def close(self) -> None:
        """Drop everything at once."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self.connections):
            if connection.transport is not None and connection.expired(now):
                connection.transport.abort()
        self._sweeper = self.loop.call_later(5, self._sweep)
