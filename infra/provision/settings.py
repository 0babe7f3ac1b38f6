"""What provisioning is told by its environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from infra.provision.roles import SHORTEST
from shared.settings import MigrationSettings, Settings, StorageSettings


class _Fallback(Settings):
    database_url: Annotated[SecretStr | None, Field(default=None)]


class ProvisionSettings(StorageSettings, MigrationSettings, _Fallback):
    """Which project, and with what rights. (Of the bases' fields, the last one's are read first.)"""

    migration_url: Annotated[
        SecretStr | None,
        Field(
            default=None,
            validate_default=True,
            description="Postgres as its owner: a direct or session address, not the transaction pooler.",
        ),
    ]
    api_password: Annotated[
        SecretStr | None,
        Field(default=None, min_length=SHORTEST, description="Password for millrace_api, instead of a random one."),
    ]
    engine_password: Annotated[
        SecretStr | None,
        Field(default=None, min_length=SHORTEST, description="Password for millrace_engine, instead of a random one."),
    ]

    @field_validator("migration_url")
    @classmethod
    def _one_of_two(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        found = url or info.data.get("database_url")
        if found is None:
            raise PydanticCustomError("missing", "is not set")
        return found

    @property
    def owner_url(self) -> str:
        """Of the database, as its owner."""
        return self.migration_url.get_secret_value() if self.migration_url is not None else ""

    @property
    def supabase_url(self) -> str | None:
        """Of the project that keeps the objects, if one does."""
        kind, _, rest = self.storage.partition(":")
        return rest if kind == "supabase" else None

    @property
    def passwords(self) -> dict[str, str]:
        """Those that were given, by role."""
        given = {"millrace_api": self.api_password, "millrace_engine": self.engine_password}
        return {role: password.get_secret_value() for role, password in given.items() if password is not None}
