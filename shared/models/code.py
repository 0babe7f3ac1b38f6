"""Code that users run, and tools made of it."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class CodeExecutionRow(Row):
    """One run of a piece of code."""

    table = "codeexecution"

    id: UUID
    runtime: str
    language: str
    code: str
    input_data: Json | None
    output_data: Json | None
    status: str
    exit_code: int | None
    duration_ms: int
    memory_mb: int | None
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error_message: str | None
    owner_id: UUID | None


class CodeToolRegistryRow(Row):
    """A version of a tool; unique by owner, ``tool_id`` and ``version``."""

    table = "codetoolregistry"

    id: UUID
    tool_id: str
    name: str
    version: str
    description: str | None
    code: str
    input_schema: Json | None
    output_schema: Json | None
    runtime: str
    owner_id: UUID
    usage_count: int
    is_deprecated: bool
    created_at: UtcDatetime
    updated_at: UtcDatetime


class CodeSandboxRow(Row):
    """A named setting in which code runs."""

    table = "codesandbox"

    id: UUID
    name: str
    runtime: str
    config: Json | None
    owner_id: UUID
    created_at: UtcDatetime
