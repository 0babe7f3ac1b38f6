"""Everything that the doctor looks at, in the order in which one thing needs another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from infra.doctor import database, parts
from infra.doctor.finding import Finding, failing, skipped
from infra.doctor.settings import AddressSettings, Environment
from shared.settings import DoorbellSettings, IdentitySettings, SecretSettings, StorageSettings, TickSettings


def _guarded(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What ``look`` finds; a part that cannot even be looked at is a finding too, and the next one's turn comes."""
    try:
        yield from look()
    except ImportError as error:
        yield failing(name, f"The package {error.name} is not installed here.", 'pip install "millrace[aws,supabase]"')
    except Exception as error:  # its text may hold an address or a key
        yield failing(name, f"It cannot be looked at: {type(error).__name__}.", "Look at its settings.")


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
        engine = addresses.engine_database_url.get_secret_value()
        yield from _guarded("database as millrace_api", lambda: database.look_as("millrace_api", api))
        yield from _guarded("database as millrace_engine", lambda: database.look_as("millrace_engine", engine))
        yield from _guarded("database as its owner", lambda: database.look_as_owner(owner))
        if (tick := environment.get(TickSettings)) is not None:
            yield from _guarded("tick", lambda: database.look_at_tick(api, tick.tick_seconds))
    if (identity := environment.get(IdentitySettings)) is not None:
        yield from _guarded("sign-in", lambda: parts.identity(identity))
    if (doorbell := environment.get(DoorbellSettings)) is not None:
        yield from _guarded("bells", lambda: parts.bells(doorbell))
    if (storage := environment.get(StorageSettings)) is not None:
        yield from _guarded("storage", parts.storage)
        yield from _guarded("buckets", lambda: parts.buckets(storage, owner))
    if (secrets := environment.get(SecretSettings)) is not None:
        yield from _guarded("keys", lambda: parts.keys(secrets, owner))
