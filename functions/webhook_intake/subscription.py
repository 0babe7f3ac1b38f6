"""Subscriptions, looked up by path and kept for a few seconds.

What is kept is never trusted alone. An acceptance names the revision that the delivery was judged by, and the database
answers ``stale`` when the subscription or its secret changed since; before a refusal, a copy older than a second is
looked up again. So a rotated secret or a new filter counts at once, and a busy path costs one round trip a delivery.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared import statements
from shared.database import Database
from shared.telemetry import conceal

#: Opens a sealed secret: ``(owner id, row id, key id, nonce, ciphertext) -> the secret``.
Opener = Callable[[UUID, UUID, str, bytes, bytes], str]

KEPT = 4096  #: paths, known and unknown ones
UNKNOWN_SECONDS = 2.0  #: so that a path works soon after its subscription is made


@dataclass(frozen=True, slots=True)
class Subscription:
    """What deliveries at one path are judged by."""

    id: UUID
    owner_id: UUID
    revision: str
    disabled: str | None  #: why, if it takes no deliveries
    scheme: str
    secret: str | None = field(repr=False)
    secret_fault: str | None  #: why the secret it has cannot be used
    tolerance_seconds: int
    delivery_id_header: str | None
    required_headers: Mapping[str, str | None]  #: by lower-case name; None asks only that it is there
    filters: Mapping[str, Any]  #: values by dotted path into the payload
    filter_expression: str | None
    method: str | None  #: the only one taken; None takes POST, PUT and PATCH


class Subscriptions:
    """The paths this process has met lately."""

    def __init__(
        self,
        database: Database,
        open_secret: Opener,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._open_secret = open_secret
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Subscription | None]] = OrderedDict()
        self._find = statements.load("webhook_intake")["find"]

    def find(self, path: str, max_age: float | None = None) -> Subscription | None:
        """The subscription at ``path``, read at most ``max_age`` seconds ago (the cache's own time when left out)."""
        now = self._clock()
        kept = self._kept.get(path)
        if kept is not None:
            read_at, subscription = kept
            limit = self._seconds if subscription is not None else min(self._seconds, UNKNOWN_SECONDS)
            if now - read_at < (limit if max_age is None else max_age):
                return subscription
        rows = self._database.call(self._find, {"path": path})
        subscription = self._from_row(rows[0]) if rows else None
        self._kept[path] = (now, subscription)
        self._kept.move_to_end(path)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return subscription

    def _from_row(self, row: Mapping[str, Any]) -> Subscription:
        secret, fault = None, None
        if row["secret_id"] is not None:
            try:
                sealed = row["secret_key_id"], row["secret_nonce"], row["secret_ciphertext"]
                secret = conceal(self._open_secret(row["owner_id"], row["secret_id"], *sealed))
            except Exception as error:  # whatever the keyring says: the deliveries are told, not this reader
                fault = f"the secret cannot be opened ({type(error).__name__})"
        elif row["scheme"] != "none":
            fault = "the subscription has no secret"
        disabled = None
        if not row["is_active"]:
            disabled = "the subscription is disabled"
        elif not row["workflow_is_active"]:
            disabled = "the workflow is disabled"
        required = {**(row["headers"] or {}), **(row["required_headers"] or {})}
        return Subscription(
            id=row["id"],
            owner_id=row["owner_id"],
            revision=row["revision"],
            disabled=disabled,
            scheme=row["scheme"],
            secret=secret,
            secret_fault=fault,
            tolerance_seconds=row["tolerance_seconds"],
            delivery_id_header=(row["delivery_id_header"] or "").lower() or None,
            required_headers={name.lower(): None if value is None else str(value) for name, value in required.items()},
            filters=row["filters"] or {},
            filter_expression=row["filter_expression"] or None,
            method=row["method"],
        )
