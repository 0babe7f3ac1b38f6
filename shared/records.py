"""SQS batches: which bells they bring, and which records are to come again.

A face that reads a queue answers with the ids of the records that failed (``ReportBatchItemFailures``), so that the
good ones of a batch are not delivered again. See
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from shared.errors import BadRequest


def records(event: Any) -> list[dict[str, Any]]:
    """The records of an SQS event. Anything else, such as another service's event, is a :class:`BadRequest`."""
    found = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(found, list) or not all(
        isinstance(record, dict) and record.get("eventSource") == "aws:sqs" and isinstance(record.get("messageId"), str)
        for record in found
    ):
        raise BadRequest("This function reads a queue: the event must hold SQS records.")
    return found


def bells(event: Any) -> tuple[dict[str, str], list[str]]:
    """What an SQS event of bells brings: row id by message id, and the message ids of records that are no bell.

    A bell's body is ``{"id": uuid}``.
    """
    ids: dict[str, str] = {}
    poisoned: list[str] = []
    for record in records(event):
        try:
            ids[record["messageId"]] = str(UUID(json.loads(record["body"])["id"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            poisoned.append(record["messageId"])
    return ids, poisoned


def failures(message_ids: list[str]) -> dict[str, Any]:
    """The answer that asks for these records again."""
    return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in message_ids]}
