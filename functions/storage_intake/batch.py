"""A batch of queue messages about stored objects: one statement starts what waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.storage_intake import notification
from shared import statements
from shared.database import Database
from shared.doorbell import RUNS, Doorbell
from shared.errors import Invalid
from shared.payloads import is_payload
from shared.telemetry import logger


def start(database: Database, bell: Doorbell, messages: Mapping[str, Any]) -> list[str]:
    """Start the workflows that wait for the objects in ``messages`` (bodies by message id).

    Returns the ids of the messages that failed and shall come again: those that S3 would not send, and those whose
    objects could not be handled. The others are done, also when they start nothing.
    """
    failed: list[str] = []
    objects: list[dict[str, Any]] = []
    for message, body in messages.items():
        try:
            created = notification.read(body)
        except Invalid as error:
            logger.error("message %s: %s", message, error.detail)
            failed.append(message)
            continue
        objects += [
            {
                "message": message,
                "owner": found.owner,
                "bucket": found.bucket,
                "key": found.key,
                "sequencer": found.sequencer,
                "trigger": found.trigger(),
            }
            for found in created
            if not is_payload(found.bucket, found.key)
        ]
    if not objects:
        return failed
    rows = database.call(statements.load("storage_intake")["start"], {"objects": objects})
    for row in rows:
        if row["failure"] is not None:
            logger.error("message %s: %s", row["message"], row["failure"])
            failed.append(row["message"])
    started = [str(row["execution_id"]) for row in rows if row["execution_id"] is not None]
    if started:
        bell.ring(RUNS, started)
    return list(dict.fromkeys(failed))
