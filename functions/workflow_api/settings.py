"""What the workflow API is told by its environment, and what its routes make of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from fastapi import Request

from functions.workflow_api.subscriptions import Seal
from shared.database import dump_json
from shared.payloads import Payloads
from shared.settings import (
    ApiSettings,
    CapabilitySettings,
    DatabaseSettings,
    DoorbellSettings,
    ExpressionSettings,
    GraphSettings,
    IdentitySettings,
    LimitSettings,
    NodeSettings,
    SecretSettings,
    StorageSettings,
    StoredFileSettings,
)
from shared.storage import storage
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
    CapabilitySettings,
    StoredFileSettings,
):
    """Everything that this function reads from its environment."""


def deployed() -> frozenset[str]:
    """The capabilities whose nodes a workflow may use."""
    return Settings.load().deployed


def base_url(request: Request) -> str:
    """The address that others reach this installation at."""
    return Settings.load().public_url or str(request.base_url).rstrip("/")


def input_bytes() -> int:
    """How large a value may be that is copied into many rows."""
    return Settings.load().payload_inline_bytes


def storage_triggers_most() -> int:
    """How many storage triggers one owner may have for one bucket."""
    return Settings.load().storage_triggers


def keep_for(caller: Tenant) -> Callable[[Any], Any]:
    """Gives what a row of ``caller``'s holds for a value: itself, or a reference to where it is kept."""
    settings = Settings.load()
    kept = Payloads(storage, inline_bytes=settings.payload_inline_bytes, largest_bytes=settings.payload_limit_bytes)
    return lambda value: kept.keep(caller.user_id, value, len(dump_json(value)))


def seal_for(caller: Tenant) -> Seal:
    """Seals secrets that belong to ``caller``."""
    from shared.secrets import sealer  # cryptography: only for who keeps a secret
    from shared.telemetry import conceal

    seal = sealer(Settings.load())

    def sealed(row: UUID, plaintext: str) -> tuple[str, bytes, bytes]:
        return seal(caller.user_id, row, conceal(plaintext))

    return sealed
