"""A delivery's own marks: the id its sender gives it, and what the run sees of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from functions.webhook_intake.payload import Keeper, Payload
from functions.webhook_intake.request import Request
from functions.webhook_intake.subscription import Subscription
from shared import strict_json
from shared.payloads import MARK, is_reference

#: Where each scheme's senders put the id that stays the same when they send again.
ID_HEADERS = {
    "github": ("x-github-delivery",),
    "standard-webhooks": ("webhook-id", "svix-id"),
    "shopify": ("x-shopify-webhook-id",),
    "twilio": ("i-twilio-idempotency-token",),
}
ID_FIELDS = {"stripe": "id", "slack": "event_id"}

#: Headers that never reach a run's data: credentials and signatures, whatever they are called.
_PRIVATE = re.compile(
    r"cookie|authorization|signature|hmac|token|secret|password|credential|api-?key|(?:^|-)auth(?:-|$)", re.IGNORECASE
)
_LONGEST_ID = 255


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that was judged good."""

    delivery_id: str | None
    payload: Payload
    marks: Mapping[str, Any]  #: the run's trigger data without the payload
    text: str  #: the same as JSON

    def trigger(self, keep: Keeper) -> str:
        """The run's trigger data as JSON text: a large payload by reference, one that looks so wrapped."""
        body = self.payload.text
        if (reference := keep(body.encode(), "application/json")) is not None:
            body = _dump(reference)
        elif is_reference(self.payload.value):
            body = f'{{"{MARK}":{{"value":{body}}}}}'
        return f'{self.text[:-1]},"payload":{body}}}'


def delivery_id(subscription: Subscription, headers: Mapping[str, str], payload: Any) -> str | None:
    """The id under which the sender would send this delivery again, if it gives one explicitly."""
    named = subscription.delivery_id_header
    found: Any = None
    for header in (named,) if named else ID_HEADERS.get(subscription.scheme, ()):
        found = found or headers.get(header)
    if not named and subscription.scheme in ID_FIELDS and isinstance(payload, dict):
        found = payload.get(ID_FIELDS[subscription.scheme])
    if not isinstance(found, str) or not found:
        return None
    if len(found) > _LONGEST_ID:
        return "sha256:" + hashlib.sha256(found.encode()).hexdigest()
    return found


def deliver(request: Request, subscription: Subscription, payload: Payload, now: float) -> Delivery:
    """The delivery, with trigger data as the run will see it. Raises ``Invalid`` for what ``jsonb`` cannot hold."""
    id_ = delivery_id(subscription, request.headers, payload.value)
    marks = {
        "trigger_type": "webhook",
        "method": request.method,
        "path": request.path,
        "query": request.parameters() if request.query else {},
        "headers": public_headers(request.headers, subscription.required_headers),
        "delivery_id": id_,
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
    }
    text = _dump(marks)
    if "\\u0000" in text or "\\ud" in text:
        strict_json.check(marks)
    return Delivery(id_, payload, marks, text)


_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def public_headers(headers: Mapping[str, str], required: Mapping[str, str | None]) -> dict[str, str]:
    """The headers that a run may see. A required header with a value is a shared secret, so it is left out too."""
    return {
        name: value
        for name, value in headers.items()
        if not _is_private(name) and (name not in required or required[name] is None)
    }


@lru_cache(maxsize=1024)
def _is_private(name: str) -> bool:
    return _PRIVATE.search(name) is not None
