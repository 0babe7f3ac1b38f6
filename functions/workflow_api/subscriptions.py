"""Webhook subscriptions: an address, how its deliveries are judged, and a sealed signing secret."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from functions.workflow_api.filters import check_filter
from functions.workflow_api.listing import below, only
from shared import statements
from shared.errors import Invalid
from shared.ids import uuid7
from shared.models.api import Page, page_of, read_cursor
from shared.models.webhook import (
    DeliveryOutput,
    RotateInput,
    SubscriptionInput,
    SubscriptionMade,
    SubscriptionOutput,
    SubscriptionPatch,
)
from shared.tenant import Caller

SQL = statements.load("workflow_api")

#: Seals a secret: ``(row id, plaintext) -> (key id, nonce, ciphertext)``, for the caller as its owner.
Seal = Callable[[UUID, str], tuple[str, bytes, bytes]]

#: Schemes whose secret the sender makes, so that ours would fit nothing.
SENDERS_OWN = frozenset({"stripe", "slack", "shopify", "twilio"})

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def list_subscriptions(
    caller: Caller, base_url: str, workflow_id: UUID | None, cursor: str | None, limit: int
) -> Page[SubscriptionOutput]:
    """The caller's subscriptions, newest first, a page at a time."""
    at, before = read_cursor(cursor, datetime, UUID)
    rows = caller.call(
        SQL["list_subscriptions"], {"workflow": workflow_id, "at": at, "before": before, "limit": limit + 1}
    )
    return page_of(SubscriptionOutput, [_with_url(row, base_url) for row in rows], limit, "created_at", "id")


def create_subscription(caller: Caller, seal: Seal, base_url: str, new: SubscriptionInput) -> SubscriptionMade:
    """A new subscription at ``/<12 random characters>/<webhook_path>``.

    Its secret is in the answer if it was made here. For a scheme whose senders make it, and none given, one is put in
    its place that nobody knows: the address exists, to be told to the sender, and accepts nothing yet.
    """
    check_filter(new.filter_expression)
    id_ = uuid7()
    fields = new.model_dump(mode="json", exclude={"secret", "webhook_path"})
    fields["webhook_path"] = f"/{''.join(secrets.choice(_LETTERS) for _ in range(12))}/{new.webhook_path.strip('/')}"
    shown, sealed = None, None
    if new.scheme == "none":
        if new.secret is not None:
            raise Invalid(
                "Nothing is signed.", errors=[{"path": "secret", "message": "is not used by the scheme none"}]
            )
    else:
        given = new.secret.get_secret_value() if new.secret else None
        check_secret(new.scheme, given)
        made = given or make_secret(new.scheme)
        shown = made if given is None and new.scheme not in SENDERS_OWN else None
        sealed = _sealed(seal, id_, made)
    [row] = caller.call(SQL["create_subscription"], {"id": id_, "new": fields, "secret": sealed})
    return _made(row, base_url, shown)


def read_subscription(caller: Caller, base_url: str, id_: UUID) -> SubscriptionOutput:
    """One subscription."""
    row = only(caller.call(SQL["read_subscription"], {"id": id_}), "subscription")
    return SubscriptionOutput(**_with_url(row, base_url))


def update_subscription(caller: Caller, base_url: str, id_: UUID, patch: SubscriptionPatch) -> SubscriptionOutput:
    """The subscription with its changes."""
    check_filter(patch.filter_expression)
    [row] = caller.call(SQL["update_subscription"], {"id": id_, "changes": patch.changes()})
    return SubscriptionOutput(**_with_url(row, base_url))


def rotate_secret(caller: Caller, seal: Seal, base_url: str, id_: UUID, new: RotateInput) -> SubscriptionMade:
    """The subscription with another secret, which is in the answer if it was made here. The old one is forgotten."""
    before = read_subscription(caller, base_url, id_)
    given = new.secret.get_secret_value() if new.secret else None
    if before.scheme == "none":
        raise Invalid("This subscription has no secret: its scheme is none.")
    if given is None and before.scheme in SENDERS_OWN:
        raise Invalid(
            f"With {before.scheme} the sender makes the secret.",
            errors=[{"path": "secret", "message": "is required"}],
        )
    check_secret(before.scheme, given)
    made = given or make_secret(before.scheme)
    [row] = caller.call(SQL["rotate_secret"], {"id": id_, "secret": _sealed(seal, id_, made)})
    return _made(row, base_url, None if given else made)


def delete_subscription(caller: Caller, id_: UUID) -> None:
    """The address is gone, and with it the secret and the ledger."""
    caller.call(SQL["delete_subscription"], {"id": id_})


def list_deliveries(
    caller: Caller, id_: UUID, verdict: str | None, cursor: str | None, limit: int
) -> Page[DeliveryOutput]:
    """A subscription's ledger, newest first, a page at a time."""
    at, before = read_cursor(cursor, datetime, UUID)
    rows = caller.call(
        SQL["list_deliveries"],
        {"subscription": id_, "verdict": verdict, "at": at, "before": before, "limit": limit + 1},
    )
    return page_of(DeliveryOutput, below(rows, "id", "subscription"), limit, "received_at", "id")


def make_secret(scheme: str) -> str:
    """A new secret as its scheme writes it: `whsec_` and base64 for Standard Webhooks, else 64 hexadecimal digits."""
    if scheme == "standard-webhooks":
        return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(32)


def check_secret(scheme: str, secret: str | None) -> None:
    """Raise :class:`Invalid` for a secret that its scheme cannot use."""
    if secret is None or scheme != "standard-webhooks":
        return
    try:
        if len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) < 16:
            raise ValueError("short")
    except ValueError:
        raise Invalid(
            "The secret does not fit the scheme.",
            errors=[{"path": "secret", "message": "must be `whsec_` and at least 16 bytes in base64"}],
        ) from None


def _sealed(seal: Seal, subscription: UUID, plaintext: str) -> dict[str, Any]:
    id_ = uuid4()
    key_id, nonce, ciphertext = seal(id_, plaintext)
    return {
        "id": str(id_),
        "name": f"webhook:{subscription}:{id_}",
        "key_id": key_id,
        "nonce": nonce.hex(),
        "ciphertext": ciphertext.hex(),
    }


def _made(row: dict[str, Any], base_url: str, shown: str | None) -> SubscriptionMade:
    return SubscriptionMade(**{**_with_url(row, base_url), "secret": shown})  # over the inherited column, always null


def _with_url(row: dict[str, Any], base_url: str) -> dict[str, Any]:
    return {**row, "url": f"{base_url}/hooks{row['webhook_path']}"}
