"""Stored objects on this machine: their signed URLs, and the events that tell of what came and went.

The store is ``shared.storage.DirectoryStorage``. Its URLs lead here (``GET`` and ``PUT /objects/<bucket>/<key>``), past
the API and its functions: whole objects, parts of large ones, ranges. Nothing is held in memory as a whole.

What a ``put`` or ``delete`` wrote down becomes the event that S3 would send to the queue ``storage-events``, and is
acknowledged when its function has taken care of it; so an event that a stopped stack forgot is sent again by the next.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, quote_plus, unquote_to_bytes

from infra.local.http import Exchange, Header
from infra.local.queues import Queue
from shared.errors import Invalid, MillraceError, NotFound, Unavailable
from shared.storage import DEFAULT_MEDIA_TYPE, DirectoryStorage, Event, Grant, attachment

OBJECTS_PREFIX = "/objects/"
#: What one request may bring: an object that is not uploaded in parts, or a part. S3 itself takes 5 GB.
MAX_OBJECT_BYTES = 100 * 1024 * 1024
#: RFC 9110, 14.1.2; of several ranges, or of what is no range, nothing is made: the whole is sent, as is allowed.
_RANGE = re.compile(rb"bytes=(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))")
#: How often events whose bell was lost are looked for.
SWEEP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """Status and headers, and the content: bytes, or so many of a file's next."""

    status: int
    headers: list[Header]
    body: bytes = b""
    file: BinaryIO | None = None
    size: int = 0


class Objects:
    """Serves the signed URLs of a directory store."""

    def __init__(self, storage: DirectoryStorage) -> None:
        self.storage = storage
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="objects")  # files are synced: not in the loop

    def serve(self, exchange: Exchange, query: str, done: Callable[[int], None]) -> None:
        """Answer one request; ``done`` is told the status."""

        def finish(future: asyncio.Future[_Answer]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            answer = future.result() if error is None else _refusal(error)
            if answer.file is not None:
                exchange.respond_file(answer.status, answer.headers, answer.file, answer.size)
            else:
                exchange.respond(answer.status, answer.headers, answer.body)
            done(answer.status)

        self._loop.run_in_executor(self._threads, self._answer, exchange, query).add_done_callback(finish)

    def stop(self) -> None:
        """Finish what has begun."""
        self._threads.shutdown()

    def _answer(self, exchange: Exchange, query: str) -> _Answer:
        request = exchange.request
        data: bytes | BinaryIO = request.body if request.file is None else request.file
        try:
            path = request.target.partition(b"?")[0][len(OBJECTS_PREFIX) :]
            bucket_bytes, _, key_bytes = path.partition(b"/")
            try:
                bucket, key = unquote_to_bytes(bucket_bytes).decode(), unquote_to_bytes(key_bytes).decode()
            except UnicodeDecodeError:
                raise Invalid("An object's key must be valid Unicode.") from None
            grant = self.storage.verify(bucket, key, dict(parse_qsl(query, keep_blank_values=True)))
            method = "GET" if request.method == "HEAD" else request.method
            if method != grant.method:
                raise Invalid(f"This address is for {grant.method}, not {request.method}.")
            if method == "PUT":
                media_type = (request.header(b"content-type") or DEFAULT_MEDIA_TYPE.encode()).decode("latin-1")
                return _Answer(200, [(b"etag", f'"{self.storage.accept(grant, data, media_type)}"'.encode())])
            return self._content(grant, request.header(b"range"))
        finally:
            if request.file is not None:
                request.file.close()

    def _content(self, grant: Grant, wanted: bytes | None) -> _Answer:
        stored, file = self.storage.content(grant.bucket, grant.key)
        headers = [
            (b"content-type", stored.media_type.encode()),
            (b"etag", f'"{stored.etag}"'.encode()),
            (b"accept-ranges", b"bytes"),
            # Uploaded by whoever: never a page of this origin.
            (b"content-security-policy", b"sandbox; default-src 'none'"),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"private, no-store"),
        ]
        if grant.filename is not None:
            headers.append((b"content-disposition", attachment(grant.filename).encode("latin-1")))
        found = _RANGE.fullmatch(wanted) if wanted is not None else None
        if found is None:
            return _Answer(200, headers, file=file, size=stored.bytes)
        if found[3] is not None:
            start, end = max(0, stored.bytes - int(found[3])), stored.bytes
        else:
            start = int(found[1])
            end = min(stored.bytes, int(found[2]) + 1) if found[2] is not None else stored.bytes
        if start >= end:
            file.close()
            return _Answer(416, [(b"content-range", b"bytes */%d" % stored.bytes)])
        file.seek(start, os.SEEK_CUR)
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, stored.bytes)))
        return _Answer(206, headers, file=file, size=end - start)


def _refusal(error: BaseException) -> _Answer:
    refused = error if isinstance(error, MillraceError) else Unavailable(f"The store failed: {error}")
    document = {
        "type": f"urn:millrace:problem:{refused.slug}",
        "title": (type(refused).__doc__ or "").strip().rstrip("."),
        "status": refused.status,
        "detail": refused.detail,
    }
    if refused.remedy:
        document["remedy"] = refused.remedy
    return _Answer(refused.status, [(b"content-type", b"application/problem+json")], json.dumps(document).encode())


class ObjectEvents:
    """From what the store wrote down to messages in S3's shape, and back to its acknowledgement."""

    def __init__(self, storage: DirectoryStorage, queue: Queue) -> None:
        self._storage = storage
        self._queue = queue
        self._known: set[str] = set()  # on their way
        self._loop = asyncio.get_running_loop()
        queue.handled = self._handled
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def ring(self, id_: str, delay: float = 0) -> None:
        """A bell for an event of the store: send what it tells. A number is for ``storage_intake`` itself."""
        if id_.isdecimal():
            self._queue.ring(id_, delay)  # of Supabase's Storage: this stack's database is a project's
            return
        if id_ in self._known:
            return
        try:
            event = self._storage.event(id_)
        except NotFound:
            self._storage.acknowledge(id_)  # what it tells was undone since, which has an event of its own
            return
        except OSError:
            return  # the sweep will try again
        self._send(event, delay)

    def stop(self) -> None:
        """Look for no more."""
        self._timer.cancel()

    def _send(self, event: Event, delay: float = 0) -> None:
        self._known.add(event.id)
        self._queue.send(json.dumps(notification(event, self._queue.region)), delay, key=event.id)

    def _handled(self, id_: str) -> None:
        if id_ in self._known:
            self._storage.acknowledge(id_)
            self._known.discard(id_)

    def _sweep(self) -> None:
        try:
            for event in self._storage.events():
                if event.id not in self._known:
                    self._send(event)
        finally:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)


def notification(event: Event, region: str) -> dict[str, Any]:
    """What S3 sends for an object that came or went, of a bucket without versions.

    Source: Amazon S3 User Guide, "Event message structure". Keys are URL-encoded as S3 does it: a blank as ``+``.
    """
    stored = event.object
    known = {"size": stored.bytes, "eTag": stored.etag} if event.removed_at is None else {}
    at = event.removed_at or stored.modified_at
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": region,
                "eventTime": at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
                "eventName": "ObjectCreated:Put" if event.removed_at is None else "ObjectRemoved:Delete",
                "userIdentity": {"principalId": "AWS:local"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {"x-amz-request-id": event.id, "x-amz-id-2": event.id},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "storage-events",
                    "bucket": {
                        "name": stored.bucket,
                        "ownerIdentity": {"principalId": "local"},
                        "arn": f"arn:aws:s3:::{stored.bucket}",
                    },
                    "object": {"key": quote_plus(stored.key, safe="/"), **known, "sequencer": event.sequencer},
                },
            }
        ]
    }
