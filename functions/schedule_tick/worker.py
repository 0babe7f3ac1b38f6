"""The schedule face: EventBridge calls it each minute, the local stack each second."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Any

from functions.schedule_tick.tick import Tick
from shared.database import database
from shared.doorbell import doorbell
from shared.errors import BadRequest
from shared.settings import DatabaseSettings, DoorbellSettings, TickSettings
from shared.telemetry import observed

#: Kept of the invocation's time.
MARGIN_SECONDS = 10.0


class Settings(DatabaseSettings, DoorbellSettings, TickSettings):
    """What the tick is told."""


@functools.cache
def tick() -> Tick:
    """The process's own."""
    settings = Settings.load()
    return Tick(
        database(),
        doorbell(),
        horizon=settings.tick_seconds,
        grace=settings.bell_seconds,
        limit=settings.tick_limit,
        delivery_days=settings.delivery_days,
        run_days=settings.run_days,
    )


@observed
def handler(event: Any, context: Any) -> dict[str, Any]:
    """The AWS entry point. Answers how many runs and jobs were rung for, and what became of schedules."""
    if not isinstance(event, dict) or event.get("detail-type") != "Scheduled Event":
        raise BadRequest("This function is called by a schedule: the event must be a Scheduled Event of EventBridge.")
    return asdict(tick().run(context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS))
