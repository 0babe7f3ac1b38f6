"""Webhooks that start workflows, and the ledger of their deliveries."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from shared.models.base import Json, Row, UtcDatetime


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
