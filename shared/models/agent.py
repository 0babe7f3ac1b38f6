"""Agents."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class AgentTaskRow(Row):
    """A task given to an agent."""

    table = "agenttask"

    id: UUID
    agent_framework: str
    task_type: str
    status: str
    input_data: Json | None
    output_data: Json | None
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error_message: str | None
    owner_id: UUID | None


class AgentTaskLogRow(Row):
    """A line of a task's log."""

    table = "agenttasklog"

    id: UUID
    task_id: UUID
    level: str
    message: str
    timestamp: UtcDatetime
    owner_id: UUID | None


class AgentFrameworkConfigRow(Row):
    """Settings of a framework: a tenant's own, or the platform's (no owner)."""

    table = "agentframeworkconfig"

    id: UUID
    framework: str
    config: Json | None
    is_enabled: bool
    created_at: UtcDatetime
    updated_at: UtcDatetime
    owner_id: UUID | None


class AgentContextCacheRow(Row):
    """What an agent remembers under a key."""

    table = "agentcontextcache"

    id: UUID
    agent_id: str
    context_key: str
    context_data: Json | None
    expires_at: UtcDatetime | None
    created_at: UtcDatetime
    owner_id: UUID | None
