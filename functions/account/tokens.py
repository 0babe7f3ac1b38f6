"""The caller's platform tokens (``mr_…``): made and shown once, kept as SHA-256."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from shared import statements
from shared.errors import Forbidden, Invalid
from shared.ids import uuid7
from shared.models.account import TokenInput, TokenMade, TokenOutput
from shared.models.api import Page, page_of, read_cursor
from shared.scopes import covers
from shared.tenant import Caller

SQL = statements.load("account")


def list_tokens(caller: Caller, cursor: str | None, limit: int) -> Page[TokenOutput]:
    """The caller's tokens, newest first, a page at a time."""
    (before,) = read_cursor(cursor, UUID)
    rows = caller.call(SQL["list_tokens"], {"before": before, "limit": limit + 1})
    return page_of(TokenOutput, rows, limit, "id")


def create_token(caller: Caller, granted: Iterable[str], new: TokenInput) -> TokenMade:
    """A new token. ``granted`` are the caller's own scopes: nobody hands on more than they have."""
    from shared.auth import new_token

    granted = frozenset(granted)
    if beyond := [scope for scope in new.scopes if not covers(granted, scope)]:
        raise Forbidden(f"You do not hold {', '.join(beyond)} yourself.", remedy="Sign in as a person.")
    if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
        raise Invalid("The token would be expired.", errors=[{"path": "expires_at", "message": "is in the past"}])
    token, token_hash, prefix = new_token()
    [row] = caller.call(
        SQL["create_token"],
        {
            "id": uuid7(),
            "name": new.name,
            "hash": token_hash,
            "prefix": prefix,
            "scopes": new.scopes,
            "expires_at": new.expires_at,
        },
    )
    return TokenMade(**row, token=token)


def revoke_token(caller: Caller, id_: UUID) -> None:
    """The token no longer works, but for the few seconds that functions may remember it."""
    caller.call(SQL["revoke_token"], {"id": id_})
