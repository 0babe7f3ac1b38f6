"""Webhooks that start workflows, and the ledger of their deliveries."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field, SecretStr

from shared.models.api import Input, Output, Patch
from shared.models.base import Json, Row, UtcDatetime

Scheme = Literal["standard-webhooks", "github", "stripe", "slack", "shopify", "twilio", "hmac-sha256", "none"]

_FILTERS: dict[str, Any] = {"max_length": 50, "examples": [{"repository.full_name": "ada/mill"}]}
#: A field name of RFC 9110.
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]


class WorkflowWebhookSubscriptionRow(Row):
    """A path that starts a workflow.

    ``headers`` and ``filters`` are equality conditions, ``required_headers`` names and values, ``filter_expression``
    CEL. The signing secret is the row ``secret_id``; ``secret`` is inherited and empty.
    """

    table = "workflowwebhooksubscription"

    id: UUID
    workflow_id: UUID
    webhook_path: str
    secret: str | None = Field(repr=False, exclude=True)
    headers: Json | None
    filters: Json | None
    is_active: bool
    created_at: UtcDatetime
    updated_at: UtcDatetime
    owner_id: UUID | None
    name: str | None
    scheme: str
    secret_id: UUID | None
    delivery_id_header: str | None
    tolerance_seconds: int
    required_headers: Json
    filter_expression: str | None
    rate_per_minute: int | None
    wait_limit: int | None


class WebhookDeliveryRow(Row):
    """What became of one delivery: accepted, duplicate, filtered, refused, disabled or failed."""

    table = "webhookdelivery"

    id: UUID
    owner_id: UUID | None
    subscription_id: UUID
    received_at: UtcDatetime
    verdict: str
    reason: str | None
    delivery_id: str | None
    execution_id: UUID | None
    bytes: int | None
    source_ip: str | None
    content_type: str | None


class SubscriptionInput(Input):
    """A new webhook address for a workflow."""

    workflow_id: UUID = Field(examples=["01a2035d-89e5-76d4-9900-e43e1ad6618f"])
    name: str | None = Field(default=None, min_length=1, max_length=255, examples=["Pushes"])
    webhook_path: str = Field(
        default="/hook", max_length=200, pattern=r"^/?[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$", examples=["/pushes"]
    )
    """How the address ends; 12 random characters come before it."""
    scheme: Scheme = "standard-webhooks"
    """How the sender signs."""
    secret: SecretStr | None = Field(default=None, min_length=8, max_length=255)
    """The signing secret as the sender shows it. Left out, it is made for you; but with stripe, slack, shopify and
    twilio the sender makes it, and nothing is accepted until you give it at `/rotate`."""
    filters: dict[str, Any] = Field(default_factory=dict, **_FILTERS)
    """Dotted paths in the payload, and what each must equal."""
    filter_expression: str | None = Field(default=None, min_length=1, max_length=4096)
    """A CEL expression that must be true."""
    required_headers: dict[HeaderName, str | None] = Field(default_factory=dict, max_length=50)
    """Headers that must be there, and the value each must have; null for any."""
    delivery_id_header: HeaderName | None = Field(default=None, examples=["X-GitHub-Delivery"])
    """The header whose value is the same when a delivery is repeated; the scheme's own when left out."""
    tolerance_seconds: int = Field(default=300, ge=1, le=86400)
    """How old a signature's timestamp may be."""
    rate_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    wait_limit: int | None = Field(default=None, ge=0, le=1000)
    """How many senders may wait for a run's answer at once."""
    is_active: bool = True


class SubscriptionPatch(Patch):
    """What changes in a subscription. Its address and scheme stay; its secret changes at `/rotate`."""

    nullable: ClassVar[frozenset[str]] = frozenset(
        {"name", "filter_expression", "delivery_id_header", "rate_per_minute", "wait_limit"}
    )

    name: str | None = Field(default=None, min_length=1, max_length=255)
    filters: dict[str, Any] | None = Field(default=None, **_FILTERS)
    filter_expression: str | None = Field(default=None, min_length=1, max_length=4096)
    required_headers: dict[HeaderName, str | None] | None = Field(default=None, max_length=50)
    delivery_id_header: HeaderName | None = None
    tolerance_seconds: int | None = Field(default=None, ge=1, le=86400)
    rate_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    wait_limit: int | None = Field(default=None, ge=0, le=1000)
    is_active: bool | None = None


class RotateInput(Input):
    """Another signing secret."""

    secret: SecretStr | None = Field(default=None, min_length=8, max_length=255)
    """As the sender shows it; made for you when you leave it out."""


class SubscriptionOutput(Output):
    """A webhook address, without its secret."""

    id: UUID
    workflow_id: UUID
    name: str | None
    webhook_path: str
    url: str
    """Where senders post to."""
    scheme: str
    filters: Json | None
    filter_expression: str | None
    required_headers: Json
    delivery_id_header: str | None
    tolerance_seconds: int
    rate_per_minute: int | None
    wait_limit: int | None
    is_active: bool
    created_at: UtcDatetime
    updated_at: UtcDatetime


class SubscriptionMade(SubscriptionOutput):
    """A webhook address, this once with the secret, if it was made here."""

    secret: str | None
    """Shown now and never again."""


class DeliveryOutput(Output):
    """What became of one delivery."""

    id: UUID
    received_at: UtcDatetime
    verdict: str
    """accepted, duplicate, filtered, refused, disabled or failed."""
    reason: str | None
    delivery_id: str | None
    execution_id: UUID | None
    bytes: int | None
    source_ip: str | None
    content_type: str | None
