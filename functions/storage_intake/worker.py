"""The queue face: S3 tells the queue, the queue brings batches."""

from __future__ import annotations

from typing import Any

from functions.storage_intake import batch
from shared import records
from shared.database import database
from shared.doorbell import doorbell
from shared.settings import DatabaseSettings, DoorbellSettings
from shared.telemetry import observed


class Settings(DatabaseSettings, DoorbellSettings):
    """What the intake of stored files is told."""


@observed
def handler(event: Any, context: Any) -> dict[str, Any]:
    """The AWS entry point. Asks for the messages that failed to come again; with the database out of reach, for all."""
    Settings.load()
    messages = {record["messageId"]: record.get("body") for record in records.records(event)}
    return records.failures(batch.start(database(), doorbell(), messages))
