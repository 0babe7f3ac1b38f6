"""What the command line is told by its environment beside its options (MILLRACE_URL, MILLRACE_TOKEN, MILLRACE_HOME)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from infra.cli.exits import Exit, Failure
from shared.settings import MigrationSettings, Settings, SettingsError, StorageSettings


def _pattern(model: type[Settings], name: str) -> str | None:
    """The pattern of another model's field."""
    rules = model.model_fields[name].metadata
    return next((rule.pattern for rule in rules if getattr(rule, "pattern", None)), None)


class CommandSettings(MigrationSettings):
    """Which Postgres ``dev`` and ``migrate`` use instead of the embedded one."""

    database_url: Annotated[SecretStr | None, Field(default=None)]

    @property
    def addresses(self) -> tuple[str | None, str | None]:
        """Of the database, and for migrations if they need another."""
        given = (self.database_url, self.migration_url)
        database, migration = (url.get_secret_value() if url else None for url in given)
        return database, migration


class StoreSettings(Settings):
    """Where the objects are that a command looks at from outside: it needs no key of theirs."""

    storage: Annotated[str | None, Field(default=None, pattern=_pattern(StorageSettings, "storage"))]


def settings() -> CommandSettings:
    """From the environment; what is wrong with it is a usage :class:`Failure`."""
    try:
        return CommandSettings.load()
    except SettingsError as error:
        raise Failure(str(error), exit_code=Exit.USAGE) from error


def storage_setting() -> str | None:
    """MILLRACE_STORAGE, if it is set; what is wrong with it is a usage :class:`Failure`."""
    try:
        return StoreSettings.load().storage
    except SettingsError as error:
        raise Failure(str(error), exit_code=Exit.USAGE) from error
