"""The queue face: a batch of bells, each the id of a run that is due."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import records
from shared.database import database
from shared.doorbell import doorbell
from shared.payloads import Payloads
from shared.settings import (
    DatabaseSettings,
    DoorbellSettings,
    EngineSettings,
    ExpressionSettings,
    GraphSettings,
    LimitSettings,
    NodeSettings,
    OutboundSettings,
    StorageSettings,
)
from shared.storage import storage
from shared.telemetry import logger, observed
from shared.workflow.drive import Driver
from shared.workflow.run import Bounds


class Settings(
    DatabaseSettings,
    DoorbellSettings,
    EngineSettings,
    ExpressionSettings,
    GraphSettings,
    LimitSettings,
    NodeSettings,
    OutboundSettings,
    StorageSettings,
):
    """What this function is told."""


@functools.cache
def driver() -> Driver:
    settings = Settings.load()
    return Driver(
        database(),
        doorbell(),
        ThreadPoolExecutor(settings.worker_threads, thread_name_prefix="step"),
        Bounds(
            parallel=settings.run_parallel,
            step_seconds=settings.step_seconds,
            job_seconds=settings.job_seconds,
            output_bytes=settings.step_output_bytes,
            context_bytes=settings.run_context_bytes,
        ),
        Payloads(storage, inline_bytes=settings.payload_inline_bytes, largest_bytes=settings.payload_limit_bytes),
        lease_seconds=settings.lease_seconds,
    )


@observed
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Drive what the bells name.

    A record that is no bell fails alone; when the database is out of reach, all come again.
    """
    ids, poisoned = records.bells(event)
    if poisoned:
        logger.error("records that are no bells", extra={"message_ids": poisoned})
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    margin = timedelta(seconds=Settings.load().stop_margin_seconds)
    if ids:
        driver().drive(set(ids.values()), datetime.now(UTC) + left - margin)
    return records.failures(poisoned)
