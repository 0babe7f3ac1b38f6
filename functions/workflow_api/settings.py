"""What the workflow API is told by its environment, and what its routes make of it."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request

from functions.workflow_api.subscriptions import Seal
from shared.settings import (
    ApiSettings,
    DatabaseSettings,
    DoorbellSettings,
    ExpressionSettings,
    GraphSettings,
    IdentitySettings,
    LimitSettings,
    NodeSettings,
    SecretSettings,
    StorageSettings,
)
from shared.tenant import Tenant


class Settings(
    DatabaseSettings,
    IdentitySettings,
    DoorbellSettings,
    SecretSettings,
    StorageSettings,
    LimitSettings,
    GraphSettings,
    NodeSettings,
    ExpressionSettings,
    ApiSettings,
):
    """Everything that this function reads from its environment."""


def deployed() -> frozenset[str]:
    """The capabilities whose nodes a workflow may use."""
    return frozenset(name for name in Settings.load().capabilities.split(",") if name)


def base_url(request: Request) -> str:
    """The address that others reach this installation at."""
    return Settings.load().public_url or str(request.base_url).rstrip("/")


def seal_for(caller: Tenant) -> Seal:
    """Seals secrets that belong to ``caller``."""
    from shared.secrets import sealer  # cryptography: only for who keeps a secret
    from shared.telemetry import conceal

    seal = sealer(Settings.load())

    def sealed(row: UUID, plaintext: str) -> tuple[str, bytes, bytes]:
        return seal(caller.user_id, row, conceal(plaintext))

    return sealed
