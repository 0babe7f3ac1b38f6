"""The queue face: S3 and the tick tell the queue, the queue brings batches."""

from __future__ import annotations

from typing import Any

from functions.storage_intake import batch, jobs
from shared import records
from shared.database import database
from shared.doorbell import doorbell
from shared.settings import CapabilitySettings, DatabaseSettings, DoorbellSettings, ExpressionSettings
from shared.telemetry import observed


class Settings(DatabaseSettings, DoorbellSettings, ExpressionSettings, CapabilitySettings):
    """What the intake of stored files is told."""


@observed
def handler(event: Any, context: Any) -> dict[str, Any]:
    """The AWS entry point. Asks for the messages that failed to come again; with the database out of reach, for all."""
    settings = Settings.load()
    messages = {record["messageId"]: record.get("body") for record in records.records(event)}
    return records.failures(batch.start(database(), doorbell(), messages, jobs.deployed(settings.deployed)))
