"""Uploads: announced, brought past us straight to the store, looked at, and only then put where they belong.

What is announced gets addresses of a landing place. Completing looks at what lies there, copies what passes to the key
that was chosen at the beginning, writes down the outcome, and clears the landing place, in this order: whatever is
killed in between, the next completion finds either the object at its place or the landing place as it was. Nothing is
locked while the store works; several that complete one upload at once are told apart by the copy, which overwrites
nothing, and by the row, which leaves ``pending`` once.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from functions.storage import buckets, keys
from functions.storage.buckets import Limits
from functions.storage.verification import LARGE_BYTES, Verdict, verify
from shared import statements
from shared.errors import Conflict, Invalid, MillraceError, NotFound, TooLarge
from shared.ids import uuid7
from shared.models.upload import (
    ObjectOutput,
    UploadCompletion,
    UploadInput,
    UploadOutput,
    UploadPart,
    UploadRow,
    UploadTicket,
)
from shared.storage import DEFAULT_MEDIA_TYPE, Storage, Stored, Way
from shared.telemetry import logger
from shared.tenant import Caller

SQL = statements.load("storage")

#: Landing places that one request clears of what others left.
CLEARED_AT_ONCE = 5


class Uploads:
    """Everything one process needs to take uploads.

    ``seconds`` is how long a file may be brought; one larger than ``whole_bytes`` comes in parts of ``part_bytes``.
    """

    def __init__(
        self,
        store: Storage,
        limits: dict[str, Limits],
        *,
        seconds: int,
        whole_bytes: int,
        part_bytes: int,
    ) -> None:
        self._store = store
        self._limits = limits
        self._seconds = seconds
        self._whole_bytes = whole_bytes
        self._part_bytes = part_bytes

    def begin(self, caller: Caller, owner: UUID, new: UploadInput) -> UploadTicket:
        """Addresses to bring a file to. Raises :class:`TooLarge` for one that its bucket does not take."""
        limits = buckets.of(self._limits, new.bucket)
        if new.size > limits.size:
            raise TooLarge(f"The bucket {new.bucket} takes files of at most {limits.size} bytes.")
        self._clear_others(caller)
        id_ = uuid7()
        landing = keys.landing_key(owner, id_)
        way = self._store.way_in(
            keys.LANDING,
            landing,
            size=new.size,
            media_type=new.media_type or DEFAULT_MEDIA_TYPE,
            sha256=new.sha256,
            expires_in=self._seconds,
            part_bytes=self._part_bytes if new.size > self._whole_bytes else None,
        )
        upload = {
            "id": str(id_),
            "bucket": new.bucket,
            "key": keys.final_key(owner, new.folder, new.filename),
            "landing_key": landing,
            "filename": new.filename,
            "declared_type": new.media_type,
            "declared_bytes": new.size,
            "declared_sha256": new.sha256,
            "parts_id": way.parts_id,
            "seconds": self._seconds,
        }
        try:
            [row] = caller.call(SQL["begin_upload"], {"upload": upload})
        except MillraceError:
            if way.parts_id is not None:
                self._store.abort(keys.LANDING, landing, way.parts_id)
            raise
        return _ticket(UploadRow(**row), way, new.size)

    def read(self, caller: Caller, id_: UUID) -> UploadOutput:
        """An upload, or :class:`NotFound`."""
        return _shown(self._row(caller, id_))

    def complete(self, caller: Caller, id_: UUID, done: UploadCompletion) -> ObjectOutput:
        """The stored file. May be repeated: the answer is the same, be it the file or the reason that it was refused.

        Raises :class:`Invalid` with that reason, and :class:`Conflict` when nothing was uploaded or it is too late.
        """
        row = self._row(caller, id_)
        if row.status == "pending":
            row = self._settle(caller, row, done)
        if row.status == "refused":
            raise Invalid(f"The file was refused and is not kept. {row.reason}", remedy="Make a new upload.")
        if row.status != "stored":
            raise Conflict(f"The upload is {row.status}. {row.reason or ''}".strip(), remedy="Make a new upload.")
        return _object(self._store.head(row.bucket, row.key), row.sha256)

    def cancel(self, caller: Caller, id_: UUID) -> None:
        """Give a pending upload up; what arrived is removed. One that was stored stays stored: :class:`Conflict`."""
        row = self._row(caller, id_)
        if row.status == "pending":
            row = self._end(caller, row, "cancelled", Verdict(None, None, "Its owner gave it up."))
        if row.status == "stored":
            raise Conflict("The file is stored already.", remedy="Delete the file itself.")
        self._clear(row)

    # --- the parts of a completion ------------------------------------------------------------------------------------

    def _settle(self, caller: Caller, row: UploadRow, done: UploadCompletion) -> UploadRow:
        landed = self._landed(row, done)
        if landed is None:
            again = self._row(caller, row.id)  # another completion may have been faster
            if again.status == "pending":
                raise Conflict(
                    "Nothing was uploaded yet.", remedy="Send the file to the address that the upload was given, first."
                )
            return again
        try:
            verdict = self._verdict(caller, row, landed)
        except NotFound:  # cleared by a faster completion
            return self._row(caller, row.id)
        if verdict.reason is not None:
            row = self._end(caller, row, "refused", verdict)
        else:
            row = self._keep(caller, row, landed, verdict)
        self._clear(row)
        return row

    def _verdict(self, caller: Caller, row: UploadRow, landed: Stored) -> Verdict:
        """What the content is. Of a large one this is written down, for whoever goes on when our time is over."""
        noted = row.verified or {}
        if noted.get("etag") == landed.etag:
            return Verdict(noted["media_type"], noted["sha256"], None)
        verdict = verify(self._store, landed, row, buckets.of(self._limits, row.bucket))
        if landed.bytes > LARGE_BYTES and verdict.reason is None:
            noted = {"etag": landed.etag, "media_type": verdict.media_type, "sha256": verdict.sha256}
            caller.call(SQL["note_upload"], {"id": row.id, "verified": noted})
        return verdict

    def _landed(self, row: UploadRow, done: UploadCompletion) -> Stored | None:
        """What lies at the landing place, put together from its parts when it came in parts."""
        try:
            return self._store.head(keys.LANDING, row.landing_key)
        except NotFound:
            if row.parts_id is None or not done.etags:
                return None
        try:
            self._store.finish(keys.LANDING, row.landing_key, row.parts_id, done.etags)
        except (NotFound, Conflict):
            logger.info("parts of upload %s were finished before", row.id)
        try:
            return self._store.head(keys.LANDING, row.landing_key)
        except NotFound:
            return None

    def _keep(self, caller: Caller, row: UploadRow, landed: Stored, verdict: Verdict) -> UploadRow:
        media_type = verdict.media_type or DEFAULT_MEDIA_TYPE
        try:
            self._store.copy(keys.LANDING, row.landing_key, row.bucket, row.key, media_type, etag=landed.etag)
        except NotFound:  # cleared by a faster completion
            return self._row(caller, row.id)
        except Conflict:
            # It is there: from a completion that was killed before it wrote so down, or one that runs now. Nobody else
            # knows the key. If it is not, what landed became another after it was looked at: that is looked at anew.
            try:
                if self._store.head(row.bucket, row.key).bytes != landed.bytes:
                    raise Conflict(f"There is another object at {row.key!r}.")
            except NotFound:
                raise Conflict(
                    "The file is being stored, or changed while it was looked at.", remedy="Complete the upload again."
                ) from None
        ended = self._end(caller, row, "stored", verdict)
        if ended.status != "stored":  # given up, or expired, meanwhile
            self._store.delete(row.bucket, row.key)
        return ended

    def _end(
        self, caller: Caller, row: UploadRow, status: Literal["stored", "refused", "cancelled"], verdict: Verdict
    ) -> UploadRow:
        [ended] = caller.call(
            SQL["settle_upload"],
            {
                "id": row.id,
                "status": status,
                "reason": verdict.reason,
                "media_type": verdict.media_type,
                "sha256": verdict.sha256,
            },
        )
        return UploadRow(**ended)

    def _row(self, caller: Caller, id_: UUID) -> UploadRow:
        rows = caller.call(SQL["read_upload"], {"id": id_})
        if not rows:
            raise NotFound("There is no such upload, or it is not yours.")
        return UploadRow(**rows[0])

    # --- landing places -----------------------------------------------------------------------------------------------

    def _clear(self, row: UploadRow) -> None:
        """Empty the landing place. If the store is in trouble, never mind: it is emptied again when it has expired."""
        try:
            self._empty(row.landing_key, row.parts_id)
        except MillraceError as error:
            logger.warning("upload %s: the landing place is not cleared yet: %s", row.id, error)

    def _empty(self, landing_key: str, parts_id: str | None) -> None:
        if parts_id is not None:
            self._store.abort(keys.LANDING, landing_key, parts_id)
        self._store.purge(keys.LANDING, landing_key)

    def _clear_others(self, caller: Caller) -> None:
        """Empty a few landing places whose addresses have ended, whosoever they were."""
        due: list[dict[str, Any]] = caller.call(SQL["uploads_to_clear"], {"limit": CLEARED_AT_ONCE})
        cleared = []
        for row in due:
            try:
                self._empty(row["landing_key"], row["parts_id"])
            except MillraceError as error:
                logger.warning("upload %s: the landing place is not cleared yet: %s", row["id"], error)
            else:
                cleared.append(row["id"])
        if cleared:
            caller.call(SQL["uploads_cleared"], {"ids": cleared})


def _shown(row: UploadRow) -> UploadOutput:
    return UploadOutput(
        **row.model_dump(
            include={"id", "bucket", "key", "filename", "status", "reason", "media_type", "created_at", "expires_at"}
        ),
        size=row.declared_bytes,
        sha256=row.sha256 or row.declared_sha256,
        ended_at=row.ended_at,
    )


def _ticket(row: UploadRow, way: Way, size: int) -> UploadTicket:
    part_size = way.part_bytes
    in_parts = way.parts_id is not None and part_size is not None
    parts = [
        UploadPart(number=number, url=url, size=min(part_size or size, size - (number - 1) * (part_size or size)))
        for number, url in enumerate(way.urls, 1)
    ]
    return UploadTicket(
        **_shown(row).model_dump(),
        method=way.method,
        url=None if in_parts else way.urls[0],
        headers=dict(way.headers),
        parts=parts if in_parts else [],
        part_size=part_size,
        metadata=dict(way.metadata),
    )


def _object(stored: Stored, sha256: str | None) -> ObjectOutput:
    return ObjectOutput(
        bucket=stored.bucket,
        key=stored.key,
        size=stored.bytes,
        media_type=stored.media_type or None,
        sha256=stored.sha256 or sha256,
        etag=stored.etag,
        modified_at=stored.modified_at,
    )
