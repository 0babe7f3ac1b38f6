"""Stored objects on this machine: their signed URLs, and the events that tell of new ones.

The store is ``shared.storage.DirectoryStorage``. Its URLs lead here (``GET`` and ``PUT /objects/<bucket>/<key>``), past
the API and its functions. What a ``put`` wrote down becomes the event that S3 would send to the queue
``storage-events``, and is acknowledged when its function has taken care of it; so an event that a stopped stack forgot
is sent again by the next one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote_to_bytes

from infra.local.http import Exchange, Header
from infra.local.queues import Queue
from shared.errors import Invalid, MillraceError, NotFound, Unavailable
from shared.storage import DEFAULT_MEDIA_TYPE, Created, DirectoryStorage

OBJECTS_PREFIX = "/objects/"
#: What one upload may have; S3 itself takes 5 GB, but here it is held in memory.
MAX_OBJECT_BYTES = 100 * 1024 * 1024
#: How often events whose bell was lost are looked for.
SWEEP_SECONDS = 5.0


class Objects:
    """Serves the signed URLs of a directory store."""

    def __init__(self, storage: DirectoryStorage) -> None:
        self.storage = storage
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="objects")  # files are synced: not in the loop

    def serve(self, exchange: Exchange, query: str, done: Callable[[int], None]) -> None:
        """Answer one request; ``done`` is told the status."""

        def finish(answer: asyncio.Future[tuple[int, list[Header], bytes]]) -> None:
            if answer.cancelled():
                return
            error = answer.exception()
            if error is None:
                status, headers, body = answer.result()
            else:
                status, headers, body = _refusal(error)
            exchange.respond(status, headers, body)
            done(status)

        self._loop.run_in_executor(self._threads, self._answer, exchange, query).add_done_callback(finish)

    def stop(self) -> None:
        """Finish what has begun."""
        self._threads.shutdown()

    def _answer(self, exchange: Exchange, query: str) -> tuple[int, list[Header], bytes]:
        request = exchange.request
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
            stored = self.storage.accept(grant, request.body, media_type)
            return 200, [(b"etag", f'"{stored.etag}"'.encode())], b""
        stored = self.storage.head(bucket, key)
        headers = [
            (b"content-type", stored.media_type.encode()),
            (b"etag", f'"{stored.etag}"'.encode()),
            # Uploaded by whoever: never a page of this origin.
            (b"content-security-policy", b"sandbox; default-src 'none'"),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"private, no-store"),
        ]
        return 200, headers, self.storage.get(bucket, key)


def _refusal(error: BaseException) -> tuple[int, list[Header], bytes]:
    refused = error if isinstance(error, MillraceError) else Unavailable(f"The store failed: {error}")
    document = {
        "type": f"urn:millrace:problem:{refused.slug}",
        "title": (type(refused).__doc__ or "").strip().rstrip("."),
        "status": refused.status,
        "detail": refused.detail,
    }
    return refused.status, [(b"content-type", b"application/problem+json")], json.dumps(document).encode()


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
        """A bell for an event of the store: send what it tells."""
        if id_ in self._known:
            return
        try:
            event = self._storage.event(id_)
        except NotFound:
            self._storage.acknowledge(id_)  # its object was replaced or removed since
            return
        except OSError:
            return  # the sweep will try again
        self._send(event, delay)

    def stop(self) -> None:
        """Look for no more."""
        self._timer.cancel()

    def _send(self, event: Created, delay: float = 0) -> None:
        self._known.add(event.id)
        self._queue.send(json.dumps(object_created(event, self._queue.region)), delay, key=event.id)

    def _handled(self, id_: str) -> None:
        self._storage.acknowledge(id_)
        self._known.discard(id_)

    def _sweep(self) -> None:
        try:
            for event in self._storage.events():
                if event.id not in self._known:
                    self._send(event)
        finally:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)


def object_created(event: Created, region: str) -> dict[str, Any]:
    """The notification that S3 sends for a new object.

    Source: Amazon S3 User Guide, "Event message structure". Keys are URL-encoded as S3 does it: a blank as ``+``.
    """
    stored = event.object
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": region,
                "eventTime": stored.modified_at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
                "eventName": "ObjectCreated:Put",
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
                    "object": {
                        "key": quote_plus(stored.key, safe="/"),
                        "size": stored.bytes,
                        "eTag": stored.etag,
                        "sequencer": event.sequencer,
                    },
                },
            }
        ]
    }
