"""Everything that the doctor looks at, in the order in which one thing needs another."""

from __future__ import annotations

from collections.abc import Iterator

from infra.doctor import database, parts
from infra.doctor.finding import Finding, skipped
from infra.doctor.settings import AddressSettings, Environment
from shared.settings import DoorbellSettings, IdentitySettings, SecretSettings, StorageSettings, TickSettings


def examine() -> Iterator[Finding]:
    """One finding after the other about the installation that this process's environment describes."""
    environment = Environment()
    yield from environment.findings
    addresses = environment.get(AddressSettings)
    owner = addresses.migration_url.get_secret_value() if addresses else None
    if addresses is None or owner is None:
        yield skipped("database", "Its addresses are not all set.")
    else:
        api = addresses.api_database_url.get_secret_value()
        yield from database.look_as("millrace_api", api)
        yield from database.look_as("millrace_engine", addresses.engine_database_url.get_secret_value())
        yield from database.look_as_owner(owner)
        if (tick := environment.get(TickSettings)) is not None:
            yield from database.look_at_tick(api, tick.tick_seconds)
    if (identity := environment.get(IdentitySettings)) is not None:
        yield from parts.identity(identity)
    if (doorbell := environment.get(DoorbellSettings)) is not None:
        yield from parts.bells(doorbell)
    if (storage := environment.get(StorageSettings)) is not None:
        yield from parts.storage()
        yield from parts.buckets(storage, owner)
    if (secrets := environment.get(SecretSettings)) is not None:
        yield from parts.keys(secrets, owner)
