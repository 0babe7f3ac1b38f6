"""One look at everything, at the same time and within a bound: what does not answer by then is failing too."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Any

from functions.health import probes
from functions.health.probes import Caller, Failing
from shared.errors import MillraceError
from shared.models.health import Condition, HealthOutput, PartOutput
from shared.settings import DoorbellSettings, StorageSettings, TickSettings
from shared.storage import storage
from shared.telemetry import logger

#: How long one look may take.
SECONDS = 8.0


class HealthSettings(DoorbellSettings, StorageSettings, TickSettings):
    """What is looked at."""


def examine(caller: Caller, settings: HealthSettings, *, seconds: float = SECONDS) -> HealthOutput:
    """How each part is. Never raises for a part that fails."""
    found: dict[str, Any] = {}

    def database() -> str:
        found.update(probes.figures(caller))
        version = found["server_version"]
        return f"Postgres {version // 10_000}.{version % 10_000} answers."

    looks: dict[str, Callable[[], str]] = {
        "database": database,
        "bells": lambda: probes.bells(settings.doorbell),
        "storage": lambda: probes.storage(storage()),
    }
    pool = ThreadPoolExecutor(len(looks), thread_name_prefix="health")
    try:
        futures = {name: pool.submit(_look, name, look) for name, look in looks.items()}
        wait(futures.values(), timeout=seconds)
        parts = [
            future.result()
            if future.done()
            else _part(name, Condition.FAILING, f"No answer within {seconds:g} s.", seconds)
            for name, future in futures.items()
        ]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if found:
        late = {kind: float(found[f"{kind}_late"]) for kind in ("runs", "jobs", "files")}
        parts.append(_look("tick", lambda: probes.tick(found["tick_lag"], settings.tick_seconds)))
        parts.append(_look("work", lambda: probes.work(late)))
    failing = [part for part in parts if part.status is Condition.FAILING]
    for part in failing:
        logger.error("health: %s: %s", part.name, part.detail)
    return HealthOutput(
        status=Condition.FAILING if failing else Condition.OK,
        checked_at=datetime.now(UTC),
        tick_lag_seconds=found.get("tick_lag"),
        parts=parts,
    )


def _look(name: str, look: Callable[[], str]) -> PartOutput:
    began = time.monotonic()
    try:
        condition, detail = Condition.OK, look()
    except Failing as failing:
        condition, detail = Condition.FAILING, str(failing)
    except MillraceError as error:
        condition, detail = Condition.FAILING, error.detail
    except Exception as error:  # a library's own: its text may hold an address or a key, so only its kind is told
        logger.exception("health: %s", name)
        condition, detail = Condition.FAILING, f"It cannot be looked at: {type(error).__name__}."
    return _part(name, condition, detail, time.monotonic() - began)


def _part(name: str, condition: Condition, detail: str, seconds: float) -> PartOutput:
    return PartOutput(name=name, status=condition, detail=detail, milliseconds=round(seconds * 1000, 1))
