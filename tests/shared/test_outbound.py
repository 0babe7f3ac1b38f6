"""From a URL that a user names, nothing private is ever reached, and nothing takes more than its share."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from shared import settings
from shared.outbound import (
    MAX_REDIRECTS,
    BlockedAddress,
    Client,
    ResponseTooLarge,
    check_url,
    client,
    parse_allow,
)

NOBODY: frozenset[tuple[str, int]] = frozenset()
PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "2606:2800:220:1:248:1893:25c8:1946"


class Peer:
    """A listener on this machine. ``answer`` is called with each request's handler."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: reply(handler, b"hello")
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                peer.requests.append((self.command, self.path, headers))
                with contextlib.suppress(OSError):  # the client may have had enough
                    peer.answer(self)

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def reply(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


class Names:
    """A resolver that answers from a list of answers per name, the last of them for ever."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if answers is None:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Internet(httpcore.NetworkBackend):
    """Stands for the network: writes down which address is dialled, and dials a local listener instead."""

    def __init__(self, port: int, unreachable: Iterable[str] = ()) -> None:
        self.port = port
        self.dialled: list[tuple[str, int]] = []
        self.unreachable = set(unreachable)
        self.backend = httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        self.dialled.append((host, port))
        if host in self.unreachable:
            raise httpcore.ConnectError("unreachable")
        return self.backend.connect_tcp("127.0.0.1", self.port, *args, **kwargs)


def calling(peer: Peer, names: Names | None = None, **given: Any) -> tuple[Client, Internet]:
    internet = Internet(peer.port, given.pop("unreachable", ()))
    names = names or Names(site_test=[[PUBLIC]])
    return client(allow=given.pop("allow", NOBODY), resolve=names, network=internet, **given), internet


PRIVATE_HOSTS = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:93.184.216.34]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::5db8:d822]",
    "[64:ff9b:1::1]",
    "[100::1]",
    "[2001::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:5db8:d822::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
]

DISGUISED_HOSTS = [
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.0.0.01",
    "0",
    "0x",
    "1.1.1.1.1",
    "a.0x7f",
    "example.123",
    "1.2.3.256",
    "\uff11\uff12\uff17.0.0.1",  # full-width digits
    "127\u30020\u30020\u30021",  # ideographic full stops
    "\u2460\u2461\u2466.0.0.1",  # circled digits
    "[::1%25eth0]",
    "[fe80::1%eth0]",
]

LOCAL_NAMES = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "printer.local",
    "metadata.google.internal",
    "metadata.google.internal.",
    "router.home.arpa",
    "localhost.localdomain",
]


@pytest.mark.parametrize("host", PRIVATE_HOSTS + DISGUISED_HOSTS + LOCAL_NAMES)
def test_no_private_address_is_called_however_it_is_written(peer: Peer, host: str) -> None:
    names = Names()
    for url in (f"http://{host}/", f"https://{host}/", f"http://{host}:{peer.port}/"):
        with pytest.raises(BlockedAddress):
            check_url(url, allow=NOBODY, resolve=names)
        http, internet = calling(peer, names)
        with http, pytest.raises(BlockedAddress):
            http.get(url)
        assert internet.dialled == []
    assert peer.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://user@site.test/",
        "http://user:secret@site.test/",
        "http://93.184.216.34@127.0.0.1/",
        "ftp://site.test/",
        "file:///etc/passwd",
        "gopher://site.test/",
        "unix:/run/x.sock",
        "data:text/plain,x",
        "//site.test/",
        "/path",
        "site.test",
        "",
        "http://",
        "http:///path",
        "http://?",
        "http://site.test:0/",
        "http://site.test:99999/",
        "http://site.test:x/",
        "http://site.test\\@127.0.0.1/",
        "http://site.test/a b",
        "http://site.test/\r\nHost: evil",
        "http://site.test\0/",
        "http://[::1",
        "http://[::1]x/",
        "http://site..test/",
        "http://" + "a" * 70 + ".test/",
        "http://" + "a." * 5000 + "test/",
        "http://\ud800.test/",
    ],
)
def test_what_is_no_plain_web_address_is_not_called(peer: Peer, url: str) -> None:
    names = Names(site_test=[[PUBLIC]])
    http, internet = calling(peer, names)
    refused: list[Exception] = []
    try:
        check_url(url, allow=NOBODY, resolve=names)
    except BlockedAddress as error:
        refused.append(error)
    with http, pytest.raises((BlockedAddress, httpx.ConnectError)):
        http.get(url)
    assert internet.dialled == []
    assert peer.requests == []
    assert refused or "test/" in url  # a name that cannot exist is left to the resolver
    assert all("secret" not in str(error) for error in refused)


@pytest.mark.parametrize("port", [0, 1, 21, 22, 25, 53, 81, 389, 445, 587, 2375, 3306, 5432, 6379, 9200, 11211, 65536])
def test_ports_of_other_services_are_not_called(peer: Peer, port: int) -> None:
    http, internet = calling(peer)
    with http, pytest.raises(BlockedAddress, match=f"Port {port}"):
        http.get(f"http://site.test:{port}/")
    assert internet.dialled == []


@pytest.mark.parametrize("url", ["http://site.test/", "https://site.test:8443/x?y=z#f", "http://[2606:4700::1111]/"])
def test_public_addresses_pass(url: str) -> None:
    check_url(url, allow=NOBODY, resolve=Names(site_test=[[PUBLIC, OTHER_PUBLIC]]))


def test_a_name_that_does_not_resolve_now_passes_the_check_and_fails_in_the_call(peer: Peer) -> None:
    check_url("http://nowhere.test/", allow=NOBODY, resolve=Names())
    http, _ = calling(peer, Names())
    with http, pytest.raises(httpx.ConnectError, match="cannot be resolved"):
        http.get("http://nowhere.test/")


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(ADDRESSES)
def test_what_the_standard_library_calls_private_is_never_public_here(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    try:
        check_url(f"http://{host}/", allow=NOBODY)
    except BlockedAddress:
        return
    assert address.is_global
    assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_no_address_passes_inside_another(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for carrier in (
        0xFFFF << 32 | number,  # mapped
        number,  # compatible
        0x64FF9B << 96 | number,  # NAT64
        0x2002 << 112 | number << 80,  # 6to4
        0x20010000 << 96 | (number ^ 0xFFFFFFFF),  # Teredo
    ):
        with pytest.raises(BlockedAddress):
            check_url(f"http://[{ipaddress.IPv6Address(carrier)}]/", allow=NOBODY)


def test_the_checked_address_is_the_one_that_is_called(peer: Peer) -> None:
    names = Names(site_test=[[PUBLIC], ["127.0.0.1"]])
    http, internet = calling(peer, names)
    with http:
        response = http.get("http://site.test:8080/path?q=1")
    assert response.text == "hello"
    assert names.asked == ["site.test"]  # once
    assert internet.dialled == [(PUBLIC, 8080)]
    method, path, headers = peer.requests[0]
    assert (method, path, headers["host"]) == ("GET", "/path?q=1", "site.test:8080")


def test_a_name_that_is_rebound_after_the_check_is_refused(peer: Peer) -> None:
    names = Names(site_test=[[PUBLIC], ["127.0.0.1"]])
    check_url(f"http://site.test:{peer.port}/", allow=NOBODY, resolve=names)
    http, internet = calling(peer, names)
    with http, pytest.raises(BlockedAddress) as refused:
        http.get(f"http://site.test:{peer.port}/")
    assert internet.dialled == []
    assert "127.0.0.1" not in str(refused.value)  # a refusal maps no network


@pytest.mark.parametrize("private", ["10.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%eth0", "junk"])
def test_one_private_answer_among_public_ones_refuses_the_name(peer: Peer, private: str) -> None:
    names = Names(site_test=[[PUBLIC, private, OTHER_PUBLIC]])
    with pytest.raises(BlockedAddress):
        check_url("http://site.test/", allow=NOBODY, resolve=names)
    http, internet = calling(peer, names)
    with http, pytest.raises(BlockedAddress):
        http.get("http://site.test/")
    assert internet.dialled == []


def test_when_the_first_address_is_dead_the_next_checked_one_is_called(peer: Peer) -> None:
    http, internet = calling(peer, Names(site_test=[[OTHER_PUBLIC, PUBLIC]]), unreachable=[OTHER_PUBLIC])
    with http:
        assert http.get("http://site.test/").text == "hello"
    assert internet.dialled == [(OTHER_PUBLIC, 80), (PUBLIC, 80)]


def test_the_real_resolver_and_network_are_guarded_too(peer: Peer) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", socket.gethostname()):
        with client(allow=NOBODY, timeout=5) as http, pytest.raises((BlockedAddress, httpx.ConnectError)):
            http.get(f"http://{host}:{peer.port}/")
    assert peer.requests == []


def test_an_allowed_peer_is_called_at_its_port_only(peer: Peer) -> None:
    allow = parse_allow(f" localhost:{peer.port} , 127.0.0.1:{peer.port},[::1]:{peer.port}")
    check_url(f"http://localhost:{peer.port}/", allow=allow)
    check_url(f"http://[0::1]:{peer.port}/", allow=allow)
    with client(allow=allow, timeout=5) as http:
        assert http.get(f"http://127.0.0.1:{peer.port}/").text == "hello"
        assert http.get(f"http://LocalHost.:{peer.port}/").text == "hello"
        with pytest.raises(BlockedAddress):
            http.get(f"http://127.0.0.1:{peer.port + 1}/")
        with pytest.raises(BlockedAddress):
            http.get(f"http://127.0.0.2:{peer.port}/")


@pytest.mark.parametrize("text", ["localhost", "localhost:", ":80", "a:b", "a:0", "a:65536", "a:\u0661", "http://a/"])
def test_an_allowance_is_host_and_port(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        parse_allow(text)


def test_the_allowance_comes_from_the_setting(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_OUTBOUND_ALLOW", f"127.0.0.1:{peer.port}")
    settings.forget()
    try:
        check_url(f"http://127.0.0.1:{peer.port}/")
        with client(timeout=5) as http:
            assert http.get(f"http://127.0.0.1:{peer.port}/").text == "hello"
    finally:
        monkeypatch.undo()
        settings.forget()


def test_the_environments_proxy_is_not_used(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Peer()
    try:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        http, internet = calling(peer)
        with http:
            http.get("http://site.test/")
        assert internet.dialled == [(PUBLIC, 80)]
        assert proxy.requests == []
    finally:
        proxy.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/secret",
        "http://localhost:{port}/secret",
        "http://rebound.test:{port}/secret",
        "//[::1]:{port}/secret",
        "http://2130706433:{port}/secret",
        "http://169.254.169.254/latest/meta-data/",
        "http://user:pw@site.test/secret",
        "file:///etc/passwd",
        "ftp://site.test/secret",
    ],
)
def test_a_redirect_to_a_private_address_is_refused(peer: Peer, status: int, location: str) -> None:
    to = location.format(port=peer.port)
    peer.answer = lambda handler: reply(handler, b"", status, Location=to)
    http, internet = calling(peer, Names(site_test=[[PUBLIC]], rebound_test=[["127.0.0.1"]]))
    with http, pytest.raises((BlockedAddress, httpx.UnsupportedProtocol, httpx.RemoteProtocolError)):
        http.post("http://site.test/", content=b"x")
    assert internet.dialled == [(PUBLIC, 80)]
    assert [path for _, path, _ in peer.requests] == ["/"]


def test_credentials_do_not_follow_to_another_origin(peer: Peer) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/":
            reply(handler, b"", 307, Location="/same")
        elif handler.path == "/same":
            reply(handler, b"", 307, Location="http://other.test/there", Set_Cookie="session=1")
        else:
            reply(handler, b"done")

    peer.answer = answer
    http, internet = calling(peer, Names(site_test=[[PUBLIC]], other_test=[[OTHER_PUBLIC]]))
    sent = {"Authorization": "Bearer x", "X-Api-Key": "x", "Cookie": "a=x", "Idempotency-Key": "x", "Accept": "text/x"}
    with http:
        response = http.post("http://site.test/", headers=sent, content=b"body")
    assert response.text == "done"
    assert [each.status_code for each in response.history] == [307, 307]
    same, there = peer.requests[1][2], peer.requests[2][2]
    assert same["authorization"] == "Bearer x"
    assert same["x-api-key"] == "x"
    assert not {"authorization", "x-api-key", "cookie", "idempotency-key"} & set(there)
    assert (there["accept"], there["host"], there["content-length"]) == ("text/x", "other.test", "4")
    assert internet.dialled == [(PUBLIC, 80), (OTHER_PUBLIC, 80)]


def test_another_port_or_scheme_is_another_origin(peer: Peer) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/":
            reply(handler, b"", 302, Location="http://site.test:8080/there")
        else:
            reply(handler, b"done")

    peer.answer = answer
    http, _ = calling(peer)
    with http:
        http.get("http://site.test/", headers={"X-Api-Key": "x"})
    assert "x-api-key" not in peer.requests[1][2]


def test_redirects_come_to_an_end(peer: Peer) -> None:
    peer.answer = lambda handler: reply(handler, b"", 302, Location="/again")
    http, _ = calling(peer)
    with http, pytest.raises(httpx.TooManyRedirects):
        http.get("http://site.test/")
    assert len(peer.requests) == MAX_REDIRECTS + 1


def test_a_redirect_is_handed_back_when_it_is_not_to_be_followed(peer: Peer) -> None:
    peer.answer = lambda handler: reply(handler, b"moved", 302, Location="http://127.0.0.1/")
    http, _ = calling(peer)
    with http:
        response = http.get("http://site.test/", follow_redirects=False)
    assert (response.status_code, response.text) == (302, "moved")


def test_the_host_header_is_the_urls(peer: Peer) -> None:
    http, _ = calling(peer)
    with http:
        http.get("http://site.test/", headers={"Host": "internal.service"})
    assert peer.requests[0][2]["host"] == "site.test"


def test_an_answer_over_the_limit_is_cut_off(peer: Peer) -> None:
    peer.answer = lambda handler: reply(handler, b"x" * 1001)
    http, _ = calling(peer, max_bytes=1000)
    with http:
        with pytest.raises(ResponseTooLarge, match="1000 bytes"):
            http.get("http://site.test/")
        peer.answer = lambda handler: reply(handler, b"x" * 1000)
        assert len(http.get("http://site.test/").content) == 1000


def test_an_answer_that_does_not_say_how_long_it_is_is_counted(peer: Peer) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    peer.answer = endless
    http, _ = calling(peer, max_bytes=100_000)
    with http, pytest.raises(ResponseTooLarge):
        http.get("http://site.test/")
    http, _ = calling(peer, max_bytes=100_000)
    with http, http.stream("GET", "http://site.test/") as response, pytest.raises(ResponseTooLarge):
        list(response.iter_bytes())


def test_a_compressed_bomb_does_not_unfold(peer: Peer) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000, 9)
    peer.answer = lambda handler: reply(handler, bomb, Content_Encoding="gzip")
    http, _ = calling(peer, max_bytes=1_000_000)
    assert len(bomb) < 100_000
    with http, pytest.raises(ResponseTooLarge):
        http.get("http://site.test/")
    peer.answer = lambda handler: reply(handler, gzip.compress(b"small"), Content_Encoding="gzip")
    http, _ = calling(peer)
    with http:
        assert http.get("http://site.test/").text == "small"


def test_an_answer_that_drips_ends_at_the_deadline(peer: Peer) -> None:
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not stop.wait(0.02):
            handler.wfile.write(b"x")

    peer.answer = drip
    http, _ = calling(peer, timeout=0.3)
    began = time.monotonic()
    with http, pytest.raises(httpx.ReadTimeout):
        http.get("http://site.test/")
    stop.set()
    assert time.monotonic() - began < 2


def test_redirects_share_one_deadline(peer: Peer) -> None:
    stop = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        stop.wait(0.12)
        reply(handler, b"", 302, Location="/again")

    peer.answer = slow
    http, _ = calling(peer, timeout=0.3)
    with http, pytest.raises(httpx.TimeoutException):
        http.get("http://site.test/")
    stop.set()
    assert len(peer.requests) <= 3


def test_a_resolver_that_hangs_ends_at_the_deadline(peer: Peer) -> None:
    stop = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        stop.wait(10)
        return [PUBLIC]

    http = client(allow=NOBODY, resolve=hang, network=Internet(peer.port), timeout=0.2)
    with http, pytest.raises(httpx.ConnectTimeout):
        http.get("http://slow.test/")
    stop.set()
    assert peer.requests == []


def test_a_url_is_not_logged(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    http, _ = calling(peer)
    with http, caplog.at_level(logging.INFO):
        http.get("http://site.test/?api_key=canary")
    assert "canary" not in caplog.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for site.test, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("site.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "site.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_asks_for_the_urls_name_and_checks_it(peer: Peer, certificate: Path) -> None:
    asked: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    peer.server.socket = server.wrap_socket(peer.server.socket, server_side=True)
    trusting = ssl.create_default_context(cafile=str(certificate))
    names = Names(site_test=[[PUBLIC]], other_test=[[PUBLIC]])
    http, internet = calling(peer, names, verify=trusting)
    with http:
        assert http.get("https://site.test/").text == "hello"
        with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
            http.get("https://other.test/")
    assert internet.dialled == [(PUBLIC, 443), (PUBLIC, 443)]
    assert asked == ["site.test", "other.test"]
    http, _ = calling(peer, names)
    with http, pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        http.get("https://site.test/")  # the usual certificates do not know this one


def test_a_kept_connection_serves_the_next_request_to_the_same_origin(peer: Peer) -> None:
    http, internet = calling(peer)
    with http:
        for _ in range(3):
            http.get("http://site.test/")
    assert len(internet.dialled) == 1
