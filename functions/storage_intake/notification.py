"""What S3 says about objects, out of the queue messages that bring it.

Source: Amazon S3 User Guide, "Event message structure" (versions 2.x).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

from shared.errors import Invalid
from shared.storage import BUCKETS


@dataclass(frozen=True, slots=True)
class Created:
    """An object that came to be or was replaced: our bucket's short name, and the key as it was written."""

    bucket: str
    key: str
    sequencer: str  #: the event's, else the object's entity tag: what tells two writes of one key apart
    size: int
    etag: str | None
    version_id: str | None
    event: str  #: such as ``ObjectCreated:Put``
    time: str

    @property
    def owner(self) -> str | None:
        """The tenant in whose folder it is: the key's first part, when that is an id."""
        first, slash, _ = self.key.partition("/")
        try:
            return str(UUID(first)) if slash and len(first) == 36 else None
        except ValueError:
            return None

    def trigger(self) -> dict[str, Any]:
        """A run's trigger data."""
        return {
            "trigger_type": "storage",
            "event": self.event,
            "timestamp": self.time,
            "payload": {
                "bucket": self.bucket,
                "key": self.key,
                "size": self.size,
                "etag": self.etag,
                "version_id": self.version_id,
            },
        }


def read(body: str) -> list[Created]:
    """The objects that a message says were created; none for S3's test message and for other events.

    Raises :class:`Invalid` for what S3 does not send.
    """
    try:
        message = json.loads(body)
        if message.get("Event") == "s3:TestEvent" and "Records" not in message:
            return []
        return [_created(record) for record in message["Records"] if _is_creation(record)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid(f"The message is no notification of S3: {type(error).__name__} {error}") from error


def _is_creation(record: dict[str, Any]) -> bool:
    if record["eventSource"] != "aws:s3":
        raise ValueError(f"from {record['eventSource']}")
    return bool(record["eventName"].removeprefix("s3:").startswith("ObjectCreated:"))


def _created(record: dict[str, Any]) -> Created:
    found = record["s3"]["object"]
    # Keys are form-encoded once, also where they hold nothing special: a plus is a space, and %2B a plus.
    key = unquote_plus(found["key"], errors="strict")
    etag = found.get("eTag")
    sequencer = found.get("sequencer") or found.get("versionId") or etag
    if "\x00" in key or not key or not sequencer:
        raise ValueError("an object without a key, or without anything that tells its writes apart")
    return Created(
        bucket=_bucket(str(record["s3"]["bucket"]["name"])),
        key=key,
        sequencer=str(sequencer),
        size=int(found.get("size") or 0),
        etag=etag,
        version_id=found.get("versionId"),
        event=record["eventName"].removeprefix("s3:"),
        time=str(record["eventTime"]),
    )


def _bucket(name: str) -> str:
    """A bucket's short name. S3's names are the whole world's, so there ours begin with an installation's."""
    return next((short for short in BUCKETS if name.endswith(f"-{short}")), name)
