"""The HTTP server under the gateway and the Runtime API: order, bounds, and the ends of connections."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.local import http
from infra.local.http import Exchange, HttpServer

MAX_BODY = 1000


def echo(exchange: Exchange) -> None:
    """Answers with what it got: method, target, body."""
    request = exchange.request
    exchange.respond(200, [(b"x-method", request.method.encode())], request.target + b"|" + request.body)


@contextmanager
def serving(handle: Callable[[Exchange], None] = echo) -> Iterator[HttpServer]:
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = HttpServer(handle, max_body=MAX_BODY)
    asyncio.run_coroutine_threadsafe(server.listen(), loop).result(5)
    yield server
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with serving() as server:
        yield server


@contextmanager
def connected(server: HttpServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def talk(server: HttpServer, *pieces: bytes) -> bytes:
    """Send the pieces one by one, then read until the server closes."""
    with connected(server) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    got = b""
    while data := connection.recv(65536):
        got += data
    return got


def bodies(answers: bytes) -> list[bytes]:
    """The bodies of consecutive answers."""
    found = []
    while answers:
        head, _, answers = answers.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        found.append(answers[:length])
        answers = answers[length:]
    return found


def post(target: bytes, body: bytes = b"", *extra: bytes) -> bytes:
    lines = [b"POST " + target + b" HTTP/1.1", b"host: x", b"content-length: %d" % len(body), *extra]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


CLOSE = b"connection: close"

bodies_of_requests = st.lists(st.binary(max_size=200), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(contents=bodies_of_requests, cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_pipelined_requests_are_answered_in_order_however_they_are_cut(
    server: HttpServer, contents: list[bytes], cuts: list[int]
) -> None:
    last = len(contents) - 1
    stream = b"".join(post(b"/%d" % n, content, *([CLOSE] if n == last else [])) for n, content in enumerate(contents))
    places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert bodies(talk(server, *pieces)) == [b"/%d|%b" % (n, content) for n, content in enumerate(contents)]


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(min_size=1, max_size=300))
def test_noise_gets_a_400_or_nothing_and_the_server_goes_on(server: HttpServer, noise: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        answer = rest(connection)
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert bodies(talk(server, post(b"/ok", b"", CLOSE))) == [b"/ok|"]


def test_a_connection_is_kept_for_the_next_request(server: HttpServer) -> None:
    with connected(server) as connection:
        for n in range(3):
            connection.sendall(post(b"/%d" % n))
            assert connection.recv(65536).endswith(b"/%d|" % n)


def test_http_1_0_is_closed_after_the_answer(server: HttpServer) -> None:
    answer = talk(server, b"GET /old HTTP/1.0\r\n\r\n")
    assert b"connection: close" in answer
    assert answer.endswith(b"/old|")


def test_a_body_over_the_limit_is_refused_before_it_is_read(server: HttpServer) -> None:
    answer = talk(server, b"POST /big HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY + 1))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_counts_as_it_comes(server: HttpServer) -> None:
    head = b"POST /chunked HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    fits = b"%x\r\n%b\r\n" % (MAX_BODY // 2, b"a" * (MAX_BODY // 2))
    assert bodies(talk(server, head, fits, fits, b"0\r\n\r\n")) == [b"/chunked|" + b"a" * MAX_BODY]
    assert talk(server, head, fits, fits, b"1\r\na\r\n").startswith(b"HTTP/1.1 413 ")


def test_headers_over_the_limit_are_431(server: HttpServer) -> None:
    line = b"x-%d: " + b"y" * 1000 + b"\r\n"
    head = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(line % n for n in range(11))
    assert talk(server, head, b"\r\n").startswith(b"HTTP/1.1 431 ")
    assert talk(server, b"GET /" + b"z" * 11_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_client_that_asks_first_is_told_to_go_on(server: HttpServer) -> None:
    with connected(server) as connection:
        connection.sendall(
            b"POST /ask HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hi")
        assert bodies(rest(connection)) == [b"/ask|hi"]


def test_head_and_204_have_no_body() -> None:
    def handle(exchange: Exchange) -> None:
        exchange.respond(204 if exchange.request.target == b"/none" else 200, (), b"12345")

    with serving(handle) as server:
        answer = talk(server, b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"content-length: 5\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")
        answer = talk(server, b"GET /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"content-length" not in answer
        assert answer.endswith(b"\r\n\r\n")


def test_an_upgrade_is_answered_as_plain_http(server: HttpServer) -> None:
    answer = talk(
        server, b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", b"\x81\x05hello"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_second_answer_is_ignored() -> None:
    def handle(exchange: Exchange) -> None:
        exchange.respond(200, (), b"first")
        exchange.respond(500, (), b"second")

    with serving(handle) as server:
        assert bodies(talk(server, post(b"/", b"", CLOSE))) == [b"first"]


def test_one_client_cannot_make_us_hold_endlessly_many_requests() -> None:
    held: list[Exchange] = []
    with serving(held.append) as server, connected(server) as connection:
        requests = post(b"/flood", b"x" * 900) * 50_000  # more than the sockets' buffers hold
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.sendall(requests)
        (served,) = server.connections
        assert len(held) == 1  # one at a time
        assert len(served._waiting) < 1000  # what one read from the socket can hold, and no more


def test_draining_answers_what_has_begun_and_takes_nothing_new() -> None:
    held: list[Exchange] = []
    with serving(held.append) as server, connected(server) as busy, connected(server) as idle:
        busy.sendall(post(b"/begun"))
        while not held:
            time.sleep(0.001)
        draining = asyncio.run_coroutine_threadsafe(server.drain(5), server.loop)
        assert idle.recv(1) == b""
        try:
            answer = talk(server, post(b"/new", b"", CLOSE))
        except ConnectionError:
            answer = b""
        assert answer == b""
        server.loop.call_soon_threadsafe(held[0].respond, 200, (), b"done")
        answer = rest(busy)
        assert b"connection: close" in answer
        assert answer.endswith(b"done")
        draining.result(5)


def test_those_who_dawdle_in_a_request_or_idle_too_long_are_let_go() -> None:
    held: list[Exchange] = []
    with serving(held.append) as server, connected(server) as slow, connected(server), connected(server) as served:
        slow.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        served.sendall(post(b"/long"))
        while not held or len(server.connections) < 3:
            time.sleep(0.001)
        now = time.monotonic()
        expired = [c for c in server.connections if c.expired(now + http.REQUEST_SECONDS + 1)]
        assert len(expired) == 1
        expired = [c for c in server.connections if c.expired(now + http.KEEP_ALIVE_SECONDS + 1)]
        assert len(expired) == 2  # who waits for our answer is never cut off
