"""Large values by reference: a row holds where they are and what they must hash to, a bucket holds them.

A reference is ``{"$payload": {"bucket", "key", "sha256", "bytes", "media_type"}}``. Its key begins with the owner's id
and ends with the content's hash, so that equal values of one owner are kept once and nothing is ever overwritten; and
only the owner's own are followed, whatever a reference claims. A value of the user's that looks like a reference is
wrapped, so that it comes back as it went: ``{"$payload": {"value": ...}}``.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from shared.database import dump_json, load_json
from shared.errors import NotFound, TooLarge, Unavailable
from shared.storage import Storage

MARK = "$payload"
BUCKET = "workflow-attachments"
_JSON = "application/json"
_KEY = re.compile(r"[0-9a-f-]{36}/payloads/[0-9a-f]{64}")


class Owned(Protocol):
    """A row of a tenant's."""

    @property
    def owner_id(self) -> uuid.UUID: ...


def externalise(storage: Storage, owner: uuid.UUID, value: Any, limit: int, *, largest: int = 32 * 1024 * 1024) -> Any:
    """``value`` itself when its JSON has at most ``limit`` bytes, else a reference to where it is now kept.

    Raises :class:`TooLarge` above ``largest`` bytes and :class:`~shared.errors.Invalid` for what is not JSON.
    """
    data = dump_json(value)
    if len(data) > largest:
        raise TooLarge(f"The value has {len(data)} bytes as JSON; at most {largest} are kept.")
    if len(data) > limit:
        return keep(storage, owner, data, _JSON)
    if isinstance(value, dict) and MARK in value:
        return {MARK: {"value": value}}
    return value


def is_reference(value: Any) -> bool:
    """Whether :func:`resolve` would take ``value`` for what :func:`externalise` gave."""
    return isinstance(value, dict) and value.keys() == {MARK} and isinstance(value[MARK], dict)


def resolve(storage: Storage, owner: uuid.UUID, value: Any) -> Any:
    """What :func:`externalise` was given.

    Raises :class:`NotFound` when it is gone or not this owner's, :class:`Unavailable` when it is not what was kept.
    """
    if not is_reference(value):
        return value
    if value[MARK].keys() == {"value"}:
        return value[MARK]["value"]
    return load_json(fetch(storage, owner, value))


def keep(storage: Storage, owner: uuid.UUID, data: bytes, media_type: str) -> dict[str, Any]:
    """Keep these bytes under their hash, once; the reference to them."""
    digest = hashlib.sha256(data).hexdigest()
    key = f"{_prefix(owner)}{digest}"
    try:
        known = storage.head(BUCKET, key).bytes == len(data)
    except NotFound:
        known = False
    if not known:
        storage.put(BUCKET, key, data, media_type)
    return {MARK: {"bucket": BUCKET, "key": key, "sha256": digest, "bytes": len(data), "media_type": media_type}}


def fetch(storage: Storage, owner: uuid.UUID, reference: Mapping[str, Any]) -> bytes:
    """The bytes that ``reference[MARK]`` stands for; raises as :func:`resolve` does."""
    kept = reference.get(MARK)
    digest = kept.get("sha256") if isinstance(kept, dict) else None
    # The reference may have been written by anyone who can post to a webhook: the key is made anew, not believed.
    data = storage.get(*locate(owner, digest))
    if hashlib.sha256(data).hexdigest() != digest:
        raise Unavailable("The stored value is damaged: it does not match its hash.")
    return data


def locate(owner: uuid.UUID, sha256: object) -> tuple[str, str]:
    """Bucket and key of the owner's value with this hash in hex; :class:`NotFound` for what is no hash."""
    key = f"{_prefix(owner)}{sha256}"
    if _KEY.fullmatch(key) is None:
        raise NotFound("That is no reference to a stored value.")
    return BUCKET, key


class Payloads:
    """:func:`externalise` and :func:`resolve` over one store, which is opened when it is first needed."""

    def __init__(self, open_storage: Callable[[], Storage], *, inline_bytes: int, largest_bytes: int) -> None:
        self._open = open_storage
        self.inline_bytes = inline_bytes
        self.largest_bytes = largest_bytes

    def keep(self, owner: uuid.UUID, value: Any, size: int) -> Any:
        """What a row holds for ``value``, whose JSON has ``size`` bytes."""
        if size <= self.inline_bytes and not (isinstance(value, dict) and MARK in value):
            return value
        return externalise(self._open(), owner, value, self.inline_bytes, largest=self.largest_bytes)

    def resolve(self, owner: uuid.UUID, kept: Any) -> Any:
        """The value that a row holds or refers to."""
        if not isinstance(kept, dict) or MARK not in kept:
            return kept
        return resolve(self._open(), owner, kept)


def keeper(
    open_storage: Callable[[], Storage], limit: int
) -> Callable[[Owned], Callable[[bytes, str], dict[str, Any] | None]]:
    """For each owner, what keeps bytes above ``limit`` and gives their reference, and None for fewer.

    The store is opened when it is first needed.
    """

    def of(owned: Owned) -> Callable[[bytes, str], dict[str, Any] | None]:
        def keep_large(data: bytes, media_type: str) -> dict[str, Any] | None:
            return keep(open_storage(), owned.owner_id, data, media_type) if len(data) > limit else None

        return keep_large

    return of


def is_payload(bucket: str, key: str) -> bool:
    """Whether this object is one of ours, about which no workflow wants to hear."""
    return bucket == BUCKET and _KEY.fullmatch(key) is not None


def _prefix(owner: uuid.UUID) -> str:
    return f"{owner}/payloads/"
