"""What callers send and are told about their account and its platform tokens."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field, field_validator

from shared.models.api import In, Instant, Out, Patch
from shared.scopes import EVERYTHING, Scope


class AccountOut(Out):
    """The caller's account."""

    id: UUID
    email: str
    full_name: str | None
    is_active: bool
    is_superuser: bool


class AccountPatch(Patch):
    """What changes in the account. The e-mail address is the identity provider's to change."""

    nullable: ClassVar[frozenset[str]] = frozenset({"full_name"})

    full_name: str | None = Field(default=None, max_length=255)


class TokenIn(In):
    """A new platform token."""

    name: str = Field(min_length=1, max_length=255, examples=["deploy script"])
    """What it is for."""
    scopes: list[str] = Field(min_length=1, max_length=50, examples=[["workflows:read", "runs:write"]])
    """What it may do; `*` is everything."""
    expires_at: AwareDatetime | None = None
    """When it stops working; never, when null."""

    @field_validator("scopes")
    @classmethod
    def _known(cls, scopes: list[str]) -> list[str]:
        if unknown := sorted(set(scopes) - {EVERYTHING, *Scope}):
            raise ValueError(f"unknown: {', '.join(unknown)[:200]}; there are {', '.join([*Scope, EVERYTHING])}")
        return sorted(set(scopes))


class TokenOut(Out):
    """A platform token, without what is secret of it."""

    id: UUID
    name: str
    prefix: str
    """Its first characters, to know it again."""
    scopes: list[str]
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    last_used_at: Instant | None
    """To the minute."""


class TokenMade(TokenOut):
    """A new platform token, this once with the token itself."""

    token: str
    """Shown now and never again."""
