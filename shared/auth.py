"""Who is calling: a person by a signed JWT, a program by a platform token.

A JWT (RFC 7519) is verified by signature, audience and expiry. Which key may verify it is ours to say, never the
token's: HS256 goes with the shared secret only, RS256 and ES256 with the key set (JWKS, RFC 7517) only, so that neither
``alg: none`` nor an HMAC made with a public key gets anywhere. A platform token is 256 random bits; its SHA-256 is what
is kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.errors import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from jwt import PyJWK

    from shared.settings import IdentitySettings

REMEDY = "Sign in again."
SKEW = 5  #: seconds by which another clock may be ahead; an expired token gets none

_LONGEST_TOKEN = 16 * 1024
_LONGEST_KEY_SET = 256 * 1024


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. ``email_verified`` is the issuer's own claim, never the user's metadata."""

    sub: str
    email: str | None
    email_verified: bool
    role: str | None
    raw: dict[str, Any] = field(repr=False)


def verify_jwt(token: str, settings: IdentitySettings, *, now: float | None = None) -> Claims:
    """The claims of ``token``; :class:`Unauthenticated` for one that is not good.

    Raises :class:`Unavailable` when the key set that it needs cannot be fetched. ``now`` is in epoch seconds.
    """
    import jwt  # with cryptography about 50 ms: for those who need it

    now = time.time() if now is None else now
    if len(token) > _LONGEST_TOKEN:
        raise Unauthenticated("The token is too long.", remedy=REMEDY)
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Unauthenticated("The token is not a JWT.", remedy=REMEDY) from None
    if "crit" in header:
        raise Unauthenticated("The token has critical extensions, and none are known here.", remedy=REMEDY)
    algorithm = header.get("alg")
    key: Any
    if algorithm == "HS256" and settings.jwt_secret:
        key = settings.jwt_secret.get_secret_value()
    elif isinstance(algorithm, str) and algorithm in KEY_TYPES and settings.jwt_jwks_url:
        key = key_set(settings.jwt_jwks_url).key(header.get("kid"), algorithm).key
    else:
        raise Unauthenticated("The token is signed in a way that is not accepted here.", remedy=REMEDY)
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            # Times are checked below: against our clock, and without lengthening a token's life by the skew.
            options={"require": ["exp", "sub", "aud"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except jwt.InvalidAudienceError:
        raise Unauthenticated("The token is for another audience.", remedy=REMEDY) from None
    except jwt.InvalidIssuerError:
        raise Unauthenticated("The token is from another issuer.", remedy=REMEDY) from None
    except jwt.MissingRequiredClaimError as error:
        raise Unauthenticated(f"The token lacks the claim {error.claim}.", remedy=REMEDY) from None
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Unauthenticated("The token's signature does not hold.", remedy=REMEDY) from None
    _check_times(claims, now)
    email = claims.get("email")
    role = claims.get("role")
    return Claims(
        sub=claims["sub"],
        email=email if isinstance(email, str) and email else None,
        email_verified=claims.get("email_verified") is True,
        role=role if isinstance(role, str) else None,
        raw=claims,
    )


def _check_times(claims: dict[str, Any], now: float) -> None:
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Unauthenticated(f"The token's {name} is not a number.", remedy=REMEDY)
    if claims["exp"] <= now:
        raise Unauthenticated("The token has expired.", remedy=REMEDY)
    if max(claims.get("nbf", 0), claims.get("iat", 0)) > now + SKEW:
        raise Unauthenticated("The token is not valid yet.", remedy=REMEDY)


#: Which kind of key (``kty``) an algorithm needs. HS256 is not here: a shared secret never comes from a key set.
KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}


class KeySet:
    """The public keys that an issuer serves, fetched when first needed and kept for a while.

    A key id that is not known makes it look again, so that a rotated key is known at once; but at most once in
    ``retry_seconds``, so that invented ids do not become requests to the issuer. When the issuer does not answer, the
    keys that are known go on serving.
    """

    def __init__(
        self,
        fetch: Callable[[], bytes],
        *,
        keep_seconds: float = 600,
        retry_seconds: float = 30,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._keep_seconds = keep_seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, PyJWK] | None = None
        self._fetched = self._next_try = float("-inf")

    def key(self, kid: object, algorithm: str) -> PyJWK:
        """The key named ``kid``, which must be one for ``algorithm``; :class:`Unauthenticated` if there is none."""
        if not isinstance(kid, str) or not kid:
            raise Unauthenticated("The token does not name its key.", remedy=REMEDY)
        found = (self._keys or {}).get(kid)
        if found is None or self._clock() - self._fetched > self._keep_seconds:
            found = self._look_again().get(kid)
        if found is None or found.key_type != KEY_TYPES[algorithm] or found.algorithm_name != algorithm:
            raise Unauthenticated("The token's key is not known.", remedy=REMEDY)
        return found

    def _look_again(self) -> dict[str, PyJWK]:
        with self._lock:
            if self._clock() >= self._next_try:
                try:
                    self._keys = _read_keys(self._fetch())
                    self._fetched = self._clock()
                    self._next_try = self._fetched + self._retry_seconds
                except (OSError, ValueError):
                    # Without any key nobody gets in, so try again soon; a moment later, for many may be waiting.
                    self._next_try = self._clock() + (self._retry_seconds if self._keys else 2)
            if self._keys is None:
                raise Unavailable("The issuer's keys cannot be read.", retry_after=5)
            return self._keys


def _read_keys(document: bytes) -> dict[str, PyJWK]:
    """The signature keys of a JWKS by id. Others in it (encryption, unknown kinds, shared secrets) are left out."""
    import jwt

    listed = json.loads(document)
    if not isinstance(listed, dict) or not isinstance(listed.get("keys"), list):
        raise ValueError("not a key set")
    keys: dict[str, PyJWK] = {}
    for each in listed["keys"]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig" or not isinstance(each.get("kid"), str):
            continue
        if each.get("kty") not in KEY_TYPES.values():
            continue
        try:
            keys[each["kid"]] = jwt.PyJWK(each)
        except jwt.PyJWTError:
            continue  # a curve or size that we do not know; the others still serve
    return keys


def _fetch(url: str) -> bytes:
    """The operator's own address, hence without the guard of ``shared.outbound``; OSError when it gives nothing."""
    import httpx

    try:
        with (
            httpx.Client(timeout=5, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            response.raise_for_status()
            document = b""
            for chunk in response.iter_bytes(16 * 1024):
                document += chunk
                if len(document) > _LONGEST_KEY_SET:
                    raise ValueError("the key set is too large")
            return document
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(str(error)) from error


def fetch_keys(url: str) -> dict[str, PyJWK]:
    """The keys that an issuer serves now, past every cache. Raises OSError or ValueError when it serves none."""
    return _read_keys(_fetch(url))


@functools.cache
def key_set(url: str) -> KeySet:
    """This process's key set of ``url``."""
    return KeySet(lambda: _fetch(url))


def new_token() -> tuple[str, bytes, str]:
    """A new platform token, its hash, and the prefix by which its owner may tell it from others.

    The token is shown once; only hash and prefix are kept.
    """
    token = "mr_" + secrets.token_urlsafe(32)
    return token, hash_token(token), token[:8]


def hash_token(token: str) -> bytes:
    """SHA-256 of a platform token. Plain, for 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
