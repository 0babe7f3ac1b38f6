"""What code execution is told by its environment."""

from __future__ import annotations

from shared.settings import (
    CapabilitySettings,
    CodeSettings,
    DatabaseSettings,
    DoorbellSettings,
    ExpressionSettings,
    IdentitySettings,
    InvocationSettings,
    JobSettings,
    LimitSettings,
    StorageSettings,
)


class Settings(
    DatabaseSettings,
    IdentitySettings,
    DoorbellSettings,
    StorageSettings,
    LimitSettings,
    ExpressionSettings,
    JobSettings,
    CapabilitySettings,
    CodeSettings,
):
    """What the API reads from its environment."""


class WorkerSettings(
    DatabaseSettings,
    DoorbellSettings,
    StorageSettings,
    ExpressionSettings,
    InvocationSettings,
    CodeSettings,
):
    """What the worker reads from its environment."""
