"""What happened to an object, whoever tells of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.payloads import is_payload

#: What a run of code left, in its own folder.
_ARTIFACT = re.compile(r"[0-9a-f-]{36}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/")


@dataclass(frozen=True, slots=True)
class Change:
    """An object came to be, was replaced, or went: our bucket's short name, and the key as it was written."""

    bucket: str
    key: str
    sequencer: str  #: what tells two events of one key apart
    removed: bool
    size: int | None  #: in bytes; of what was removed, who tells of it may not know
    etag: str | None
    version_id: str | None
    event: str  #: such as ``ObjectCreated:Put``
    time: str  #: ISO 8601, UTC
    row: int | None = None  #: of ``millrace.storage_event``, when that tells of it

    @property
    def owner(self) -> str | None:
        """The tenant in whose folder it is: the key's first part, when that is an id."""
        first, slash, _ = self.key.partition("/")
        try:
            return str(UUID(first)) if slash and len(first) == 36 else None
        except ValueError:
            return None

    @property
    def is_own(self) -> bool:
        """Whether the object is the system's own, about which nobody is told; as ``millrace.is_own_object`` says it.

        These are large values that rows refer to, uploads that were not looked at yet (they are heard of when they are
        moved to their place), and files that runs of code left, lest a workflow starts itself.
        """
        match self.bucket:
            case "user-uploads":
                return self.key.startswith("incoming/")
            case "code-executions":
                return _ARTIFACT.match(self.key) is not None
            case _:
                return is_payload(self.bucket, self.key)

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

    def told(self, number: int) -> dict[str, Any]:
        """This change as ``millrace.start_for_objects`` takes it, under the caller's ``number``."""
        return {
            "number": number,
            "owner": self.owner,
            "bucket": self.bucket,
            "key": self.key,
            "sequencer": self.sequencer,
            "removed": self.removed,
            "trigger": self.trigger(),
            "event": self.row,
        }
