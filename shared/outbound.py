"""HTTP to addresses that users name, and to no address of ours (server-side request forgery, OWASP SSRF).

Every connection is made by :class:`_Gate`: it resolves the host's name once, refuses it unless every answer is a public
address, and connects to one of the very addresses it checked. So a name that answers differently the second time
("rebinding") gains nothing, and neither does a redirect, which is another connection. Name, ``Host`` header and TLS
server name stay those of the URL. Proxies and other settings from the environment are not used.

``MILLRACE_OUTBOUND_ALLOW`` names local peers (``host:port``, comma between) that may be reached though they are
private; for development and tests.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

import httpcore
import httpx

from shared.errors import Invalid, TooLarge

if TYPE_CHECKING:
    import ssl

MAX_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 5
TIMEOUT = 30.0  #: seconds, from the first name looked up to the last byte read, all redirects included

Allow = frozenset[tuple[str, int]]
Resolve = Callable[[str, int], list[str]]

#: IPv4 that is not the public internet. The standard library's ``is_global`` lets some of these through.
_REFUSED_4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is a cloud's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host, a public address that only a machine inside can reach
        "169.254.0.0/16",  # link-local, with the metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is a cloud's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
#: The only IPv6 that is the public internet, and what in it is not. All else is refused: loopback, IPv4 in any mapped
#: or translated form (::ffff:0:0/96, 64:ff9b::/96), unique-local, link-local, multicast.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3fff::/20",  # documentation
    )
)
#: Names for this machine and this network, whatever a resolver says of them.
_REFUSED_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa")

#: Ports of services that take HTTP's first lines for commands, and of those that trust whoever reaches them: all below
#: 1024 but the web's, and of the others the "bad ports" of the Fetch standard and usual databases, caches and daemons.
_WEB_PORTS = frozenset({80, 443})
_REFUSED_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566, 6665}
    | {6666, 6667, 6668, 6669, 6679, 6697, 9042, 9200, 9300, 10080, 10250, 10255, 11211, 27017}
)

#: What may go along to another origin. Everything else (credentials by whatever name) stays with the first.
_TRAVELS = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "content-length", "user-agent"})

_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z", re.IGNORECASE)
_PIECE = 4096  #: bytes decoded at once: at deflate's best, 4 MB


class BlockedAddress(Invalid):
    """The address may not be called from here."""

    slug = "blocked-address"


class ResponseTooLarge(TooLarge):
    """The answer is larger than is accepted."""

    slug = "response-too-large"


def check_url(url: str, *, allow: Allow | None = None, resolve: Resolve | None = None) -> None:
    """Raise :class:`BlockedAddress` when ``url`` may not be called: at once, and before anything is sent.

    A name that does not resolve now passes; the client resolves it again, and judges that answer. To call the URL use
    :func:`client`, for between a check and a call a name may change.
    """
    allowed = _allowed() if allow is None else allow
    host, port = _check_parts(_parse(url), allowed)
    if (host, port) in allowed or _literal(host) is not None:
        return
    with contextlib.suppress(OSError):
        _check_answers(host, (resolve or _resolve)(host, port))


def parse_allow(text: str) -> Allow:
    """``host:port, [v6]:port`` as pairs; ValueError for anything else."""
    pairs = set()
    for entry in filter(None, (each.strip() for each in text.split(","))):
        host, colon, port = entry.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{entry!r} is not host:port")
        pairs.add((_plain(host.removeprefix("[").removesuffix("]")), int(port)))
    return frozenset(pairs)


def _allowed() -> Allow:
    from shared.settings import OutboundSettings

    return parse_allow(OutboundSettings.load().outbound_allow)


def _parse(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, ValueError, TypeError):
        raise BlockedAddress("That is not a URL.") from None
    if any(ord(char) <= 0x20 or char in "\\\x7f" for char in url):
        # where parsers disagree about which host is meant
        raise BlockedAddress("A URL has no spaces, control characters or backslashes.")
    return parsed


def _check_parts(url: httpx.URL, allowed: Allow) -> tuple[str, int]:
    """Host and port of ``url`` when its parts are in order; the answers for a name are not looked at here."""
    if url.scheme not in ("http", "https"):
        raise BlockedAddress("Only http and https are called.")
    if url.userinfo:
        raise BlockedAddress("A URL with a user name or password is not called.", remedy="Use a header instead.")
    host = _plain(url.raw_host.decode("ascii"))
    port = _port(url)
    if not host:
        raise BlockedAddress("The URL names no host.")
    if (host, port) in allowed:
        return host, port
    if port not in _WEB_PORTS and (not 1024 <= port < 65536 or port in _REFUSED_PORTS):
        raise BlockedAddress(f"Port {port} is not called.")
    literal = _literal(host)
    if literal is not None:
        _check_address(host, literal)
    elif host in _REFUSED_NAMES or host.endswith(tuple(f".{name}" for name in _REFUSED_NAMES)):
        raise BlockedAddress(f"{host} is a name of the local network.")
    return host, port


def _plain(host: str) -> str:
    """A host as it is compared: lower case, no final dot, an address in its shortest form."""
    name = host.lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that ``host`` is, or None for a name.

    Other spellings of addresses (``127.1``, ``0x7f000001``, ``2130706433``, ``0177.0.0.1``) are refused: resolvers take
    them for addresses, each in its own way. The rule which they are is the URL standard's ("ends in a number").
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        if ":" in host or _NUMERIC.match(host.rpartition(".")[2]):
            raise BlockedAddress(f"{host} is not written as an address should be.") from None
        return None


def _check_address(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if isinstance(address, ipaddress.IPv4Address):
        public = not any(address in network for network in _REFUSED_4)
    else:
        public = (
            address.scope_id is None and address in _PUBLIC_6 and not any(address in network for network in _REFUSED_6)
        )
    if not public:
        raise BlockedAddress(f"{host} is not an address of the public internet.")


def _check_answers(host: str, answers: Iterable[str]) -> None:
    """Refuse the name when any of its addresses is refused, without telling which: that would map the network."""
    for answer in answers:
        try:
            _check_address(host, ipaddress.ip_address(answer))
        except ValueError:
            raise BlockedAddress(f"{host} is not an address of the public internet.") from None


def _resolve(host: str, port: int) -> list[str]:
    """The addresses of ``host``, each once; OSError when there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("the name is too long") from error
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


#: When the request under way must have ended, by ``time.monotonic``.
_deadline: ContextVar[float] = ContextVar("outbound_deadline", default=float("inf"))


@contextlib.contextmanager
def _until(deadline: float) -> Iterator[None]:
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def _remaining(timeout: float | None, late: type[Exception]) -> float | None:
    """What is left of the whole request's time, or of ``timeout`` if that is less; ``late`` when nothing is."""
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise late("the time for the whole request is over")
    if left == float("inf"):
        return timeout
    return left if timeout is None else min(left, timeout)


class _Gate(httpcore.NetworkBackend):
    """Opens connections, to checked addresses only."""

    def __init__(self, allowed: Allow, resolve: Resolve, network: httpcore.NetworkBackend) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        name = _plain(host)
        literal = None if (name, port) in self._allowed else _literal(name)
        if literal is not None:
            _check_address(name, literal)
            answers = [name]
        else:
            answers = self._look_up(name, port, _remaining(timeout, httpcore.ConnectTimeout))
            if (name, port) not in self._allowed:
                _check_answers(name, answers)
        failure: Exception = httpcore.ConnectError(f"{name} has no address")
        for answer in answers:
            left = _remaining(timeout, httpcore.ConnectTimeout)
            try:
                return _Timed(self._network.connect_tcp(answer, port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> NoReturn:
        raise BlockedAddress("Only the public internet is called.")

    def _look_up(self, host: str, port: int, seconds: float | None) -> list[str]:
        """As ``resolve``, but within ``seconds``: the system's resolver may take half a minute to give up."""
        outcome: list[list[str] | Exception] = []

        def look_up() -> None:
            try:
                outcome.append(self._resolve(host, port))
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(seconds)
        if not outcome:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time")
        if isinstance(outcome[0], OSError):
            raise httpcore.ConnectError(f"{host} cannot be resolved")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]


class _Timed(httpcore.NetworkStream):
    """A connection on which no operation outlasts the whole request's deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _remaining(timeout, httpcore.ConnectTimeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """httpcore's errors as the httpx errors of the same names."""
    try:
        yield
    except Exception as error:
        for kind in type(error).__mro__:
            if kind.__module__.startswith("httpcore") and isinstance(
                mapped := getattr(httpx, kind.__name__, None), type
            ):
                raise mapped(str(error)) from error
        raise


class _Transport(httpx.BaseTransport):
    """Sends requests through the gate and bounds the answers, whichever way the client was asked."""

    def __init__(self, gate: _Gate, allowed: Allow, max_bytes: int, verify: ssl.SSLContext | None) -> None:
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._plain = httpcore.ConnectionPool(network_backend=gate, ssl_context=verify or _no_tls())
        self._gate = gate
        self._verify = verify
        self._secure: httpcore.ConnectionPool | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        _check_parts(request.url, self._allowed)
        request.headers["Host"] = request.url.netloc.decode("ascii")  # never one that the caller made up
        inner = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = self._pool(request.url.scheme).handle_request(inner)
        headers = httpx.Headers(answer.headers)
        length = headers.get("content-length", "")
        if request.method != "HEAD" and length.isdigit() and int(length) > self._max_bytes:
            answer.close()
            raise _too_large(self._max_bytes)
        return httpx.Response(
            status_code=answer.status,
            headers=headers,
            stream=_Bounded(answer, self._max_bytes, _deadline.get()),
            extensions=answer.extensions,
        )

    def _pool(self, scheme: str) -> httpcore.ConnectionPool:
        if scheme == "http":
            return self._plain
        if self._secure is None:
            self._secure = httpcore.ConnectionPool(network_backend=self._gate, ssl_context=self._verify or _tls())
        return self._secure

    def close(self) -> None:
        self._plain.close()
        if self._secure is not None:
            self._secure.close()


class _Bounded(httpx.SyncByteStream):
    """An answer's bytes as they came over the wire, counted, in pieces that stay small when they are decoded."""

    def __init__(self, answer: httpcore.Response, max_bytes: int, deadline: float) -> None:
        self._answer = answer
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._answer.iter_stream())
        while True:
            with _until(self._deadline), _as_httpx():
                chunk = next(chunks, None)
            if chunk is None:
                return
            self._left -= len(chunk)
            if self._left < 0:
                raise _too_large(self._max_bytes)
            for start in range(0, len(chunk), _PIECE):
                yield chunk[start : start + _PIECE]

    def close(self) -> None:
        self._answer.close()


def _too_large(max_bytes: int) -> ResponseTooLarge:
    return ResponseTooLarge(f"The answer has more than {max_bytes} bytes.")


@functools.cache
def _tls() -> ssl.SSLContext:
    """Made once, for reading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=False)


@functools.cache
def _no_tls() -> ssl.SSLContext:
    """For the pool that is only given http: an empty context, so that no certificates are read for it."""
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Client(httpx.Client):
    """An ``httpx.Client`` for the public internet: see this module. ``timeout`` is for a whole request.

    Redirects are followed by hand, at most ``MAX_REDIRECTS``: each is checked like a first request, and to another
    origin nothing goes along that could be a credential. An answer beyond ``max_bytes``, raw or decoded, raises
    :class:`ResponseTooLarge`; with ``stream=True`` only the raw bytes are counted.
    """

    def __init__(self, transport: _Transport, timeout: float, max_bytes: int) -> None:
        super().__init__(transport=transport, timeout=timeout, trust_env=False, follow_redirects=True)
        self._seconds = timeout
        self._max_bytes = max_bytes

    def build_request(self, method: str, url: httpx.URL | str, **given: Any) -> httpx.Request:
        """As ``httpx.Client.build_request``; a text that is no URL, or is one only to some, is a blocked address."""
        return super().build_request(method, _parse(url) if isinstance(url, str) else url, **given)

    def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """As ``httpx.Client.send``. Raises httpx's errors, :class:`BlockedAddress` and :class:`ResponseTooLarge`."""
        follow = self.follow_redirects if follow_redirects is httpx.USE_CLIENT_DEFAULT else bool(follow_redirects)
        history: list[httpx.Response] = []
        with _until(time.monotonic() + self._seconds):
            while True:
                response = super().send(request, stream=True, auth=auth, follow_redirects=False)
                try:
                    response.history = list(history)
                    if not follow or response.next_request is None:
                        return response if stream else self._read(response)
                    if len(history) >= MAX_REDIRECTS:
                        raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects", request=request)
                    self._read(response)
                except BaseException:
                    response.close()
                    raise
                history.append(response)
                request = _onwards(request, response.next_request)
                auth = None  # the first origin's

    def _read(self, response: httpx.Response) -> httpx.Response:
        """``response`` with its body read and decoded."""
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > self._max_bytes:
                raise _too_large(self._max_bytes)
        response._content = bytes(body)  # what httpx's own read() does
        return response


def _onwards(first: httpx.Request, following: httpx.Request) -> httpx.Request:
    """The request that a redirect asks for, without what was for the first origin alone."""
    old, new = first.url, following.url
    if (old.scheme, old.host, _port(old)) != (new.scheme, new.host, _port(new)):
        for name in list(following.headers):
            if name not in _TRAVELS:
                del following.headers[name]
        following.headers["Host"] = new.netloc.decode("ascii")
    return following


def _port(url: httpx.URL) -> int:
    return (443 if url.scheme == "https" else 80) if url.port is None else url.port


def client(
    *,
    timeout: float = TIMEOUT,
    max_bytes: int = MAX_BYTES,
    allow: Allow | None = None,
    resolve: Resolve | None = None,
    network: httpcore.NetworkBackend | None = None,
    verify: ssl.SSLContext | None = None,
) -> Client:
    """A client to be closed after use. ``timeout`` in seconds covers a whole request with its redirects.

    ``allow`` stands in for ``MILLRACE_OUTBOUND_ALLOW``; ``resolve``, ``network`` and ``verify`` for the system's
    resolver, its network and the usual certificates.
    """
    # httpx logs every URL at INFO, and in a URL there may be a key.
    if (log := logging.getLogger("httpx")).level == logging.NOTSET:
        log.setLevel(logging.WARNING)
    allowed = _allowed() if allow is None else allow
    gate = _Gate(allowed, resolve or _resolve, network or httpcore.SyncBackend())
    return Client(_Transport(gate, allowed, max_bytes, verify), timeout, max_bytes)
