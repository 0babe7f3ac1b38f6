"""Who is calling, and the database as they may see it.

A caller shows either a Supabase access token, which is verified here by its signature, or one of our own platform
tokens (``mr_…``), which Postgres knows by its SHA-256. Either becomes a :class:`Tenant`, whose every statement runs
with the caller's claims, so row-level security and our SQL functions decide what it may see and do.

What the database says about a credential is remembered for a few seconds, so that a request is normally one round trip.
The price: a revoked platform token works until then (``MILLRACE_TOKEN_CACHE_SECONDS``, 5 unless set). A deactivated
account does not: the database looks at it again in every statement. Whoever deletes the account and comes back with a
token that is still good starts anew, with an empty one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from shared import scopes, statements
from shared.database import Database, database
from shared.errors import Forbidden, Unauthenticated
from shared.settings import DatabaseSettings, IdentitySettings

#: A signed-in subject has a row: that need not be asked again soon.
SIGN_IN_SECONDS = 60.0
#: Remembered credentials per process.
REMEMBERED = 2048

REMEDY = "Send `Authorization: Bearer <token>` with a Supabase access token or a platform token (mr_…)."


class Caller(Protocol):
    """What a capability's logic needs of whoever calls it: statements that run as them."""

    def call(self, query: str, params: Mapping[str, Any] | None = None, /) -> list[dict[str, Any]]:
        """The rows of one statement, in one round trip, under the caller's claims."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """An authenticated caller."""

    user_id: UUID
    claims: Mapping[str, Any]
    scopes: frozenset[str]
    person: bool  #: signed in, rather than a platform token
    database: Database = field(repr=False)

    def call(self, query: str, params: Mapping[str, Any] | None = None, /) -> list[dict[str, Any]]:
        """The rows of one statement, in one round trip, under the caller's claims."""
        return self.database.call_as(dict(self.claims), query, params)

    def require(self, scope: str) -> None:
        """Raise :class:`Forbidden` unless this caller may do what ``scope`` names."""
        if not scopes.covers(self.scopes, scope):
            raise Forbidden(
                f"This token lacks the scope {scope}.", remedy=f"Make a token with {scope}, or sign in as a person."
            )


class GateSettings(DatabaseSettings, IdentitySettings):
    """What telling callers apart needs."""


class Gate:
    """Turns bearer tokens into tenants, and remembers for a while which ones it knew."""

    def __init__(self, db: Database, settings: IdentitySettings) -> None:
        self._database = db
        self._settings = settings
        self._known: dict[object, tuple[float, Any]] = {}

    def admit(self, token: str) -> Tenant:
        """The tenant who holds ``token``.

        Raises :class:`Unauthenticated` for a token that is not good, :class:`Forbidden` for a deactivated account and
        :class:`~shared.errors.Conflict` for an e-mail address that belongs to another account.
        """
        return self._admit_token(token) if token.startswith("mr_") else self._admit_person(token)

    def forget(self, user_id: UUID) -> None:
        """Ask the database anew about everything that this account holds."""
        self._known = {key: entry for key, entry in self._known.items() if entry[1]["user_id"] != user_id}

    def _admit_person(self, token: str) -> Tenant:
        from shared.auth import verify_jwt  # cryptography is paid for only by those who need it

        claims = verify_jwt(token, self._settings)
        try:
            subject = UUID(str(claims.sub))
        except ValueError:
            raise Unauthenticated("The token's subject is not a user's id.", remedy=REMEDY) from None
        row = self._recall(subject)
        if row is None:
            details = claims.raw.get("user_metadata")
            name = details.get("full_name") or details.get("name") if isinstance(details, dict) else None
            [row] = self._database.call(
                statements.load("identity")["sign_in"],
                {"subject": subject, "email": claims.email, "name": name if isinstance(name, str) else None},
            )
            self._remember(subject, row, SIGN_IN_SECONDS)
        return Tenant(
            user_id=row["user_id"],
            claims={"sub": str(subject), "role": "authenticated"},
            scopes=frozenset({scopes.EVERYTHING}),
            person=True,
            database=self._database,
        )

    def _admit_token(self, token: str) -> Tenant:
        from shared.auth import hash_token

        token_hash = hash_token(token)
        row = self._recall(token_hash)
        if row is None:
            rows = self._database.call(statements.load("identity")["authenticate_token"], {"token_hash": token_hash})
            if not rows:
                raise Unauthenticated("The token is unknown, revoked or expired.", remedy="Make a new one.")
            [row] = rows
            self._remember(token_hash, row, self._settings.token_cache_seconds)
        return Tenant(
            user_id=row["user_id"],
            claims={"sub": str(row["auth_id"]), "role": "authenticated"},
            scopes=frozenset(row["scopes"]),
            person=False,
            database=self._database,
        )

    def _recall(self, key: object) -> Any:
        until, row = self._known.get(key, (0.0, None))
        return row if until > time.monotonic() else None

    def _remember(self, key: object, row: dict[str, Any], seconds: float) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.clear()  # rarer than it is worth being clever about
        self._known[key] = (time.monotonic() + seconds, row)


@functools.cache
def gate() -> Gate:
    """This process's gate."""
    return Gate(database(), GateSettings.load())
