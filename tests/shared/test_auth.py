"""A token is believed when the right key signed it for us and its time has not passed; otherwise it is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from shared.auth import KeySet, hash_token, new_token, verify_jwt
from shared.errors import Unauthenticated, Unavailable
from shared.settings import IdentitySettings

SECRET = "a-shared-secret-of-at-least-32-characters"
ISSUER = "https://project.test/auth/v1"

EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1())
DEEP = base64.urlsafe_b64encode(b"[" * 9_000).decode() + ".AAAA.AAAA"
RSA_KEY = rsa.generate_private_key(65537, 2048)


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {"sub": "u-1", "aud": "authenticated", "exp": now + 60, "iat": now, "email": "a@b.test", **changed}
    return {name: value for name, value in said.items() if value is not None}


def signed(key: Any, algorithm: str, kid: str | None = None, **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm, headers={"kid": kid} if kid else None)


def public(key: Any, kid: str, **extra: Any) -> dict[str, Any]:
    as_jwk = ECAlgorithm.to_jwk if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm.to_jwk
    return {**as_jwk(key.public_key(), as_dict=True), "kid": kid, **extra}


class Issuer:
    """An issuer's key set behind a real address; ``broken`` makes it answer 500."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.broken = False
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = json.dumps({"keys": issuer.keys}).encode()
                self.send_response(500 if issuer.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/{id(self)}/jwks.json"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


def settings(**given: Any) -> IdentitySettings:
    return IdentitySettings.model_validate({"jwt_secret": None, "jwt_jwks_url": None, **given})


def refused(token: str, config: IdentitySettings, reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason) as caught:
        verify_jwt(token, config)
    assert token not in str(caught.value)


def test_a_token_of_the_shared_secret_is_believed() -> None:
    token = signed(SECRET, "HS256", role="authenticated", email_verified=True)
    found = verify_jwt(token, settings(jwt_secret=SECRET))
    assert (found.sub, found.email, found.email_verified, found.role) == ("u-1", "a@b.test", True, "authenticated")
    assert found.raw["aud"] == "authenticated"


def test_what_users_write_about_themselves_confirms_no_email() -> None:
    token = signed(SECRET, "HS256", user_metadata={"email_verified": True})
    assert not verify_jwt(token, settings(jwt_secret=SECRET)).email_verified


@pytest.mark.parametrize(("key", "algorithm"), [(EC_KEY, "ES256"), (RSA_KEY, "RS256")])
def test_a_token_of_the_key_set_is_believed(issuer: Issuer, key: Any, algorithm: str) -> None:
    issuer.keys = [public(OTHER_EC_KEY, "k0"), public(key, "k1", use="sig", alg=algorithm)]
    config = settings(jwt_jwks_url=issuer.url)
    for _ in range(3):
        assert verify_jwt(signed(key, algorithm, "k1"), config).sub == "u-1"
    assert issuer.asked == 1


def test_both_ways_of_signing_are_believed_while_one_replaces_the_other(issuer: Issuer) -> None:
    issuer.keys = [public(EC_KEY, "k1")]
    config = settings(jwt_jwks_url=issuer.url, jwt_secret=SECRET)
    assert verify_jwt(signed(EC_KEY, "ES256", "k1"), config).sub == "u-1"
    assert verify_jwt(signed(SECRET, "HS256"), config).sub == "u-1"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": 1_000_000_000}, "expired"),
        ({"exp": None}, "lacks the claim exp"),
        ({"exp": "soon"}, "exp is not a number"),
        ({"exp": True}, "exp is not a number"),
        ({"nbf": 9_000_000_000}, "not valid yet"),
        ({"iat": 9_000_000_000}, "not valid yet"),
        ({"nbf": []}, "nbf is not a number"),
        ({"aud": "someone-else"}, "another audience"),
        ({"aud": ["a", "b"]}, "another audience"),
        ({"aud": None}, "lacks the claim aud"),
        ({"aud": {"authenticated": 1}}, "another audience"),
        ({"sub": None}, "lacks the claim sub"),
        ({"sub": 7}, "signature does not hold"),
        ({"iss": "https://evil.test"}, "another issuer"),
        ({"iss": None}, "lacks the claim iss|another issuer"),
    ],
)
def test_a_claim_that_does_not_hold_is_refused(changed: dict[str, Any], reason: str) -> None:
    changed = {"iss": ISSUER, **changed}
    body = {name: value for name, value in {**claims(), **changed}.items() if value is not None}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, body)]
    text = b".".join(parts)
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text, "sha256")).rstrip(b"=")
    refused((text + b"." + signature).decode(), settings(jwt_secret=SECRET, jwt_issuer=ISSUER), reason)


def test_a_token_ends_on_the_second_and_begins_with_a_little_skew() -> None:
    config = settings(jwt_secret=SECRET)
    token = signed(SECRET, "HS256", exp=2_000, iat=1_000)
    assert verify_jwt(token, config, now=1_999.9).sub == "u-1"
    assert verify_jwt(token, config, now=996).sub == "u-1"
    with pytest.raises(Unauthenticated, match="expired"):
        verify_jwt(token, config, now=2_000)
    with pytest.raises(Unauthenticated, match="not valid yet"):
        verify_jwt(token, config, now=994)


def test_alg_none_is_refused(issuer: Issuer) -> None:
    issuer.keys = [public(EC_KEY, "k1")]
    config = settings(jwt_secret=SECRET, jwt_jwks_url=issuer.url)
    algorithms: list[Any] = ["none", "None", "NONE", "", None, 7, ["HS256"], {}]
    for alg in algorithms:
        head = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "k1"}).encode()).rstrip(b"=").decode()
        body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=").decode()
        for signature in ("", "AAAA"):
            refused(f"{head}.{body}.{signature}", config, "not accepted|not a JWT")


def test_an_hmac_made_with_the_public_key_is_refused(issuer: Issuer) -> None:
    issuer.keys = [public(RSA_KEY, "k1")]
    pem = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k1"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.digest(pem, head + b"." + body, "sha256")).rstrip(b"=")
    token = b".".join((head, body, signature)).decode()
    refused(token, settings(jwt_jwks_url=issuer.url), "not accepted")
    refused(token, settings(jwt_jwks_url=issuer.url, jwt_secret=SECRET), "signature does not hold")


def test_a_shared_secret_in_the_key_set_is_no_key(issuer: Issuer) -> None:
    encoded = base64.urlsafe_b64encode(SECRET.encode()).decode()
    issuer.keys = [{"kty": "oct", "k": encoded, "kid": "k1", "alg": "HS256"}]
    refused(signed(SECRET, "HS256", "k1"), settings(jwt_jwks_url=issuer.url), "not accepted")


def test_a_key_of_another_kind_use_or_algorithm_is_not_known(issuer: Issuer) -> None:
    issuer.keys = [public(RSA_KEY, "rsa"), public(EC_KEY, "enc", use="enc"), public(RSA_KEY, "ps", alg="PS256")]
    config = settings(jwt_jwks_url=issuer.url)
    refused(signed(EC_KEY, "ES256", "rsa"), config, "not known")
    refused(signed(EC_KEY, "ES256", "enc"), config, "not known")
    refused(signed(RSA_KEY, "RS256", "ps"), config, "not known")


def test_a_signature_of_the_wrong_key_is_refused(issuer: Issuer) -> None:
    issuer.keys = [public(EC_KEY, "k1")]
    refused(signed(OTHER_EC_KEY, "ES256", "k1"), settings(jwt_jwks_url=issuer.url), "signature does not hold")
    refused(signed("another-secret-of-at-least-32-characters", "HS256"), settings(jwt_secret=SECRET), "does not hold")
    token = signed(SECRET, "HS256")
    head, body, signature = token.split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims(sub="u-2")).encode()).rstrip(b"=").decode()
    refused(f"{head}.{other}.{signature}", settings(jwt_secret=SECRET), "does not hold")
    refused(f"{head}.{body}.", settings(jwt_secret=SECRET), "does not hold")


def test_a_token_must_name_its_key(issuer: Issuer) -> None:
    issuer.keys = [public(EC_KEY, "k1")]
    refused(signed(EC_KEY, "ES256"), settings(jwt_jwks_url=issuer.url), "does not name its key")


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "....", "é.é.é", "\0", "x" * 20_000, "e30.e30.e30", DEEP, "e30." + DEEP]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        verify_jwt(token, settings(jwt_secret=SECRET))


def test_an_extension_that_must_be_understood_is_refused() -> None:
    token = jwt.encode(claims(), SECRET, "HS256", headers={"crit": ["exp"]})
    with pytest.raises(Unauthenticated, match=r"critical extensions|not a JWT"):
        verify_jwt(token, settings(jwt_secret=SECRET))


def test_without_any_key_configured_nobody_gets_in() -> None:
    refused(signed(SECRET, "HS256"), settings(), "not accepted")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Served:
    """A key set in memory: what an issuer serves, and how often it was asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.down = False

    def __call__(self) -> bytes:
        self.asked += 1
        if self.down:
            raise OSError("down")
        return json.dumps({"keys": self.keys}).encode()


def test_a_rotated_key_is_known_at_once_and_an_invented_one_costs_one_request() -> None:
    served, clock = Served(public(EC_KEY, "old")), Clock()
    keys = KeySet(served, keep_seconds=600, retry_seconds=30, clock=clock)
    keys.key("old", "ES256")
    clock.now += 31
    served.keys = [public(OTHER_EC_KEY, "new")]
    keys.key("new", "ES256")
    assert served.asked == 2
    for attempt in range(100):
        with pytest.raises(Unauthenticated, match="not known"):
            keys.key(f"invented-{attempt}", "ES256")
    assert served.asked == 2
    with pytest.raises(Unauthenticated, match="not known"):
        keys.key("old", "ES256")
    clock.now += 31
    for attempt in range(100):
        with pytest.raises(Unauthenticated, match="not known"):
            keys.key(f"invented-{attempt}", "ES256")
    assert served.asked == 3


def test_a_withdrawn_key_is_forgotten_after_the_keeping_time() -> None:
    served, clock = Served(public(EC_KEY, "k1")), Clock()
    keys = KeySet(served, keep_seconds=600, retry_seconds=30, clock=clock)
    keys.key("k1", "ES256")
    served.keys = []
    clock.now += 599
    keys.key("k1", "ES256")
    clock.now += 2
    with pytest.raises(Unauthenticated, match="not known"):
        keys.key("k1", "ES256")


def test_known_keys_go_on_serving_while_the_issuer_is_down() -> None:
    served, clock = Served(public(EC_KEY, "k1")), Clock()
    keys = KeySet(served, keep_seconds=600, retry_seconds=30, clock=clock)
    keys.key("k1", "ES256")
    served.down = True
    clock.now += 700
    for _ in range(5):
        keys.key("k1", "ES256")
    assert served.asked == 2


def test_an_issuer_that_never_answered_is_unavailable_and_not_hammered(issuer: Issuer) -> None:
    served, clock = Served(public(EC_KEY, "k1")), Clock()
    served.down = True
    keys = KeySet(served, clock=clock)
    for _ in range(5):
        with pytest.raises(Unavailable):
            keys.key("k1", "ES256")
    assert served.asked == 1
    served.down = False
    clock.now += 3
    keys.key("k1", "ES256")
    issuer.broken = True
    with pytest.raises(Unavailable):
        verify_jwt(signed(EC_KEY, "ES256", "k1"), settings(jwt_jwks_url=issuer.url))


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 1}', b"<html>", b"\xff"])
def test_a_document_that_is_no_key_set_is_unavailable(document: bytes) -> None:
    with pytest.raises(Unavailable):
        KeySet(lambda: document).key("k1", "ES256")


def test_a_key_that_cannot_be_read_does_not_spoil_the_others() -> None:
    served = Served(
        {"kty": "EC", "crv": "P-999", "kid": "x"}, {"kty": "RSA", "kid": "y", "n": 1}, {}, public(EC_KEY, "k1")
    )
    assert KeySet(served).key("k1", "ES256").key_type == "EC"


def test_a_key_set_without_end_is_not_read(issuer: Issuer) -> None:
    issuer.keys = [{"kty": "EC", "kid": "x" * 1000}] * 300
    with pytest.raises(Unavailable):
        verify_jwt(signed(EC_KEY, "ES256", "k1"), settings(jwt_jwks_url=issuer.url))


def test_a_platform_token_is_kept_as_its_hash() -> None:
    token, token_hash, prefix = new_token()
    assert token.startswith("mr_")
    assert len(token) >= 43 + 3
    assert token_hash == hash_token(token) == hashlib.sha256(token.encode()).digest()
    assert token.startswith(prefix)
    assert len(prefix) == 8
    assert new_token()[0] != token
    assert hash_token("\ud800") != hash_token("?")
