"""Who may sign in, and what they keep with us: keys, tokens, secrets."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field, field_validator

from shared.models.api import Input, Output, Patch
from shared.models.base import Row, UtcDatetime
from shared.scopes import EVERYTHING, Scope


class UserRow(Row):
    """A user. ``auth_id`` is the ``sub`` of its tokens; ``hashed_password`` is empty since sign-in is elsewhere."""

    table = "user"

    id: UUID
    email: str
    is_active: bool
    is_superuser: bool
    full_name: str | None
    hashed_password: str = Field(repr=False, exclude=True)
    auth_id: UUID | None


class ApiTokenRow(Row):
    """A platform token (``mr_...``). Only its SHA-256 is kept; ``prefix`` is what its owner knows it by."""

    table = "apitoken"

    id: UUID
    owner_id: UUID
    name: str
    token_hash: bytes = Field(repr=False, exclude=True)
    prefix: str
    scopes: list[str]
    created_at: UtcDatetime
    expires_at: UtcDatetime | None
    revoked_at: UtcDatetime | None
    last_used_at: UtcDatetime | None


class SecretRow(Row):
    """A sealed secret: AES-256-GCM under the data key ``key_id``, bound to owner and row id."""

    table = "secret"

    id: UUID
    owner_id: UUID
    name: str
    key_id: str
    nonce: bytes = Field(repr=False, exclude=True)
    ciphertext: bytes = Field(repr=False, exclude=True)
    created_at: UtcDatetime
    updated_at: UtcDatetime


class UserApiKeyRow(Row):
    """A key for an outside service, from the system we adopt; it was kept in Infisical."""

    table = "user_api_key"

    id: UUID
    user_id: UUID
    service_name: str
    service_display_name: str
    credential_type: str | None
    infisical_path: str = Field(repr=False, exclude=True)
    key_hash: str = Field(repr=False, exclude=True)
    is_active: bool
    last_used_at: UtcDatetime | None
    created_at: UtcDatetime | None
    updated_at: UtcDatetime | None
    owner_id: UUID


class AccountOutput(Output):
    """The caller's account."""

    id: UUID
    email: str
    full_name: str | None
    is_active: bool
    is_superuser: bool


class AccountPatch(Patch):
    """What changes in the account. The e-mail address is the identity provider's to change."""

    nullable: ClassVar[frozenset[str]] = frozenset({"full_name"})

    full_name: str | None = Field(default=None, max_length=255, examples=["Ada Miller"])


class TokenInput(Input):
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


class TokenOutput(Output):
    """A platform token, without what is secret of it."""

    id: UUID
    name: str
    prefix: str
    """Its first characters, to know it again."""
    scopes: list[str]
    created_at: UtcDatetime
    expires_at: UtcDatetime | None
    revoked_at: UtcDatetime | None
    last_used_at: UtcDatetime | None
    """To the minute."""


class TokenMade(TokenOutput):
    """A new platform token, this once with the token itself."""

    token: str
    """Shown now and never again."""
