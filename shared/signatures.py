"""Whether a webhook was signed by the one who shares the secret, over its raw bytes.

Each scheme is a provider's published way of signing; the names of the schemes are those of ``SCHEMES``. A signature is
compared as text and in constant time, so that no second spelling of the same bytes passes. A scheme that signs a
timestamp refuses deliveries outside the replay window, in both directions.

Sources: standardwebhooks.com (spec/standard-webhooks.md); docs.github.com "Validating webhook deliveries";
docs.stripe.com "Resolve webhook signature verification errors"; api.slack.com "Verifying requests from Slack";
shopify.dev "Verify a webhook's origin"; twilio.com "Webhooks security"; RFC 2104 for HMAC.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from shared.errors import Unauthenticated

TOLERANCE = 300  #: seconds between the signed timestamp and now
_MOST_SIGNATURES = 16  #: of one header; a provider that rotates its secret sends two
_TIMESTAMP = re.compile(r"[0-9]{1,12}\Z")

#: Where senders of the generic scheme put their signature, in the order in which we look.
GENERIC_HEADERS = ("x-signature", "x-signature-256", "x-hub-signature-256", "x-webhook-signature", "x-hmac-sha256")


class SignatureError(Unauthenticated):
    """The signature does not match."""

    slug = "bad-signature"


@dataclass(frozen=True, slots=True)
class _Delivery:
    secret: str
    headers: Mapping[str, str]  # by lower-case name
    body: bytes
    now: float
    url: str | None
    tolerance: float

    def header(self, *names: str) -> str:
        """The first of these headers that came; SignatureError when none did."""
        for name in names:
            if value := self.headers.get(name, "").strip():
                return value
        raise SignatureError(f"The header {names[0]} is missing.")

    def check_age(self, timestamp: str) -> None:
        if not _TIMESTAMP.match(timestamp):
            raise SignatureError("The timestamp is not a number of seconds.")
        if abs(self.now - int(timestamp)) > self.tolerance:
            raise SignatureError(f"The timestamp is more than {self.tolerance:g} seconds from now.")


def verify(
    scheme: str,
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    url: str | None = None,
    *,
    tolerance: float = TOLERANCE,
    header: str | None = None,
) -> None:
    """Return when ``body`` was signed with ``secret`` under ``scheme``; raise :class:`SignatureError` when not.

    ``secret`` is as the provider shows it, ``body`` the raw bytes, ``now`` in epoch seconds, ``url`` the full address
    that the sender called (twilio signs it). ``header`` names the header of the ``hmac-sha256`` scheme where it is none
    of ``GENERIC_HEADERS``. The error says which rule failed, never what would have passed.
    """
    check = _CHECKS.get(scheme)
    if check is None:
        raise SignatureError(f"The signature scheme {scheme!r} is not known.")
    if not secret:
        raise SignatureError("There is no secret to verify with.")
    named = {name.lower(): value for name, value in headers.items() if isinstance(value, str)}
    if header and scheme == "hmac-sha256":
        named = {GENERIC_HEADERS[0]: named.get(header.lower(), "")}
    check(_Delivery(secret, named, body, now, url, tolerance))


def _standard_webhooks(delivery: _Delivery) -> None:
    """``v1,<base64>`` signatures over ``id.timestamp.body``; ``svix-`` is the older spelling of the headers."""
    message = delivery.header("webhook-id", "svix-id")
    timestamp = delivery.header("webhook-timestamp", "svix-timestamp")
    given = delivery.header("webhook-signature", "svix-signature")
    delivery.check_age(timestamp)
    signed = b"%b.%b.%b" % (_raw(message), _raw(timestamp), delivery.body)
    expected = base64.b64encode(_hmac(_standard_key(delivery.secret), signed))
    versions = (part.partition(",") for part in given.split())
    _match(expected, (signature for version, _, signature in versions if version == "v1"))


def _standard_key(secret: str) -> bytes:
    """The bytes of a ``whsec_`` secret. Without the prefix it may also be plain text, as some senders have it."""
    encoded = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if key:
        return key
    if secret.startswith("whsec_"):
        raise SignatureError("The secret is not base64 after whsec_.")
    return secret.encode()


def _github(delivery: _Delivery) -> None:
    """``sha256=<hex>`` over the body. The older SHA-1 header is not looked at."""
    given = delivery.header("x-hub-signature-256")
    expected = b"sha256=" + _hmac(delivery.secret.encode(), delivery.body).hex().encode()
    _match(expected, [given])


def _stripe(delivery: _Delivery) -> None:
    """``t=<seconds>,v1=<hex>[,v1=<hex>]`` over ``timestamp.body``; ``v0`` is for tests and counts nothing."""
    pairs = [tuple(part.strip().partition("=")[::2]) for part in delivery.header("stripe-signature").split(",")]
    timestamps = [value for name, value in pairs if name == "t"]
    if len(timestamps) != 1:
        raise SignatureError("The header stripe-signature has no timestamp, or several.")
    delivery.check_age(timestamps[0])
    signed = b"%b.%b" % (_raw(timestamps[0]), delivery.body)
    expected = _hmac(delivery.secret.encode(), signed).hex().encode()
    _match(expected, (value for name, value in pairs if name == "v1"))


def _slack(delivery: _Delivery) -> None:
    """``v0=<hex>`` over ``v0:timestamp:body``."""
    timestamp = delivery.header("x-slack-request-timestamp")
    given = delivery.header("x-slack-signature")
    delivery.check_age(timestamp)
    signed = b"v0:%b:%b" % (_raw(timestamp), delivery.body)
    _match(b"v0=" + _hmac(delivery.secret.encode(), signed).hex().encode(), [given])


def _shopify(delivery: _Delivery) -> None:
    """Base64 over the body."""
    given = delivery.header("x-shopify-hmac-sha256")
    _match(base64.b64encode(_hmac(delivery.secret.encode(), delivery.body)), [given])


def _twilio(delivery: _Delivery) -> None:
    """Base64 HMAC-SHA1 over the URL and the form's parameters; other bodies are signed by ``bodySHA256`` in the URL.

    Twilio signs parameters by name without separators, each value once, and sometimes leaves a standard port out of
    the URL or puts it in: these are its rules, not ours.
    """
    given = delivery.header("x-twilio-signature")
    if delivery.url is None:
        raise SignatureError("This scheme signs the URL, which is not known.")
    url = urlsplit(delivery.url)
    hashes = [value for name, value in parse_qsl(url.query) if name == "bodySHA256"]
    if hashes:
        digest = hashlib.sha256(delivery.body).hexdigest().encode()
        if len(hashes) != 1 or not hmac.compare_digest(digest, _raw(hashes[0])):
            raise SignatureError("The body does not have the hash that its URL names.")
    content_type = delivery.headers.get("content-type", "").partition(";")[0].strip().lower()
    parameters = b""
    if content_type == "application/x-www-form-urlencoded":
        parameters = _twilio_parameters(delivery.body)
    elif delivery.body and not hashes:
        raise SignatureError("The body is neither a form nor signed by bodySHA256.")
    key = delivery.secret.encode()
    spellings = _with_and_without_port(delivery.url)
    expected = [base64.b64encode(hmac.digest(key, _raw(each) + parameters, "sha1")) for each in spellings]
    _match_any(expected, [given])


def _twilio_parameters(body: bytes) -> bytes:
    try:
        pairs = parse_qsl(body.decode("utf-8", "surrogateescape"), True, errors="surrogateescape", max_num_fields=1000)
    except ValueError:
        raise SignatureError("The form has too many fields.") from None
    return b"".join(_raw(name) + _raw(value) for name, value in sorted(set(pairs)))


def _with_and_without_port(url: str) -> Iterable[str]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise SignatureError("The URL has no valid port.") from None
    standard = 443 if parts.scheme == "https" else 80
    if port is None:
        return url, urlunsplit(parts._replace(netloc=f"{parts.netloc}:{standard}"))
    return url, urlunsplit(parts._replace(netloc=parts.netloc.removesuffix(f":{port}")))


def _generic(delivery: _Delivery) -> None:
    """Hex or base64 over the body, with or without ``sha256=`` before it."""
    given = delivery.header(*GENERIC_HEADERS)
    if given[:7].lower() == "sha256=":
        given = given[7:]
    digest = _hmac(delivery.secret.encode(), delivery.body)
    written = digest.hex()
    url_safe = base64.urlsafe_b64encode(digest)
    _match_any(
        [written.encode(), written.upper().encode(), base64.b64encode(digest), url_safe, url_safe.rstrip(b"=")], [given]
    )


_CHECKS: dict[str, Callable[[_Delivery], None]] = {
    "standard-webhooks": _standard_webhooks,
    "github": _github,
    "stripe": _stripe,
    "slack": _slack,
    "shopify": _shopify,
    "twilio": _twilio,
    "hmac-sha256": _generic,
}

SCHEMES = tuple(_CHECKS)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _raw(text: str) -> bytes:
    """The bytes of a header or URL; what came as undecodable bytes goes back to them."""
    return text.encode("utf-8", "surrogateescape")


def _match(expected: bytes, given: Iterable[str]) -> None:
    _match_any([expected], given)


def _match_any(expected: Iterable[bytes], given: Iterable[str]) -> None:
    """Return if one of ``given`` is one of ``expected``; each pair is compared, in constant time."""
    candidates = [_raw(each) for each in given][:_MOST_SIGNATURES]
    matches = [hmac.compare_digest(right, each) for right in expected for each in candidates]
    if not any(matches):
        raise SignatureError
