"""What the queue's messages say: S3's notifications about objects, and our own bells.

Source: Amazon S3 User Guide, "Event message structure" (versions 2.x) and "Supported event types".
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote_plus

from functions.storage_intake.change import Change
from shared.errors import Invalid
from shared.storage import BUCKETS

_LARGEST_NUMBER = 2**63 - 1  #: of a row, as Postgres counts them


def read(body: str) -> list[Change] | int:
    """What a message of S3's says happened; or, of a bell, the number of the row in ``millrace.storage_event``.

    Nothing happened by S3's test message, and by events that are neither creations nor removals. Raises
    :class:`Invalid` for what neither S3 nor the tick sends.
    """
    try:
        message = json.loads(body)
        if message.keys() == {"id"}:
            return _number(message["id"])
        if message.get("Event") == "s3:TestEvent" and "Records" not in message:
            return []
        return [change for record in message["Records"] if (change := _change(record)) is not None]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Invalid(f"The message is no notification of S3: {type(error).__name__} {error}") from error


def _number(id_: Any) -> int:
    if not isinstance(id_, str) or not id_.isdecimal() or int(id_) > _LARGEST_NUMBER:
        raise ValueError("a bell for no row of ours")
    return int(id_)


def _change(record: dict[str, Any]) -> Change | None:
    if record["eventSource"] != "aws:s3":
        raise ValueError(f"from {record['eventSource']}")
    event = record["eventName"].removeprefix("s3:")
    found = record["s3"]["object"]
    kind, _, how = event.partition(":")
    removed = kind in ("ObjectRemoved", "LifecycleExpiration")
    if not removed and kind != "ObjectCreated":
        return None
    # Where versions are kept, an object goes when it gets a delete marker. One of its versions being deleted, by a user
    # or because it was kept long enough, says nothing about the object.
    if removed and how == "Delete" and found.get("versionId"):
        return None
    # Keys are form-encoded once, also where they hold nothing special: a plus is a space, and %2B a plus.
    key = unquote_plus(found["key"], errors="strict")
    etag = found.get("eTag")
    sequencer = found.get("sequencer") or found.get("versionId") or (record["eventTime"] if removed else etag)
    if not key or not sequencer:
        raise ValueError("an object without a key, or without anything that tells its events apart")
    version = found.get("versionId")
    return Change(
        bucket=_bucket(_text(record["s3"]["bucket"]["name"])),
        key=_text(key),
        sequencer=_text(sequencer),
        removed=removed,
        size=None if removed else int(found.get("size") or 0),
        etag=None if removed or etag is None else _text(etag),
        version_id=None if version is None else _text(version),
        event=_text(event),
        time=_text(record["eventTime"]),
    )


def _text(value: Any) -> str:
    """A string that Postgres can hold: whatever one message says, the others of its batch are handled."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a text that cannot be kept")
    value.encode()  # UnicodeEncodeError, a ValueError, for half of a surrogate pair
    return value


def _bucket(name: str) -> str:
    """A bucket's short name. S3's names are the whole world's, so there ours begin with an installation's."""
    return next((short for short in BUCKETS if name.endswith(f"-{short}")), name)
