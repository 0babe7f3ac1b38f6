"""Connectors: the registry of manifests, and who connected what."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from shared.models.base import Json, Row, UtcDatetime


class ConnectorRow(Row):
    """A connector: the platform's, which everyone sees, or one user's own."""

    table = "connector"

    id: UUID
    slug: str
    name: str
    status: str
    latest_version_id: UUID | None
    created_at: UtcDatetime
    owner_id: UUID | None
    is_platform: bool
    created_by: UUID | None


class ConnectorVersionRow(Row):
    """A version of a connector: its manifest."""

    table = "connectorversion"

    id: UUID
    connector_id: UUID
    version: str
    manifest: Json | None
    wheel_url: str | None
    created_at: UtcDatetime
    owner_id: UUID | None


class WebhookSubscriptionRow(Row):
    """A connector trigger that an outside service calls."""

    table = "webhooksubscription"

    id: UUID
    connector_version_id: UUID
    trigger_id: str
    tenant_id: UUID
    endpoint_secret: str = Field(repr=False, exclude=True)
    created_at: UtcDatetime
    owner_id: UUID | None


class UserConnectorConnectionRow(Row):
    """A user's account at an outside service. Its times were always with zone."""

    table = "user_connector_connection"

    id: UUID
    user_id: UUID
    connector_id: UUID
    nango_connection_id: str
    status: str
    connected_at: UtcDatetime | None
    disconnected_at: UtcDatetime | None
    last_synced_at: UtcDatetime | None
    config: Json | None
    last_error: str | None
    error_count: int
    created_at: UtcDatetime
    updated_at: UtcDatetime
    owner_id: UUID
