"""What a platform token may be allowed to do. A signed-in person may do all of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """One permission of a token. Reading never includes writing, nor writing reading."""

    WORKFLOWS_READ = "workflows:read"  #: workflows, versions, subscriptions, schedules, storage triggers
    WORKFLOWS_WRITE = "workflows:write"
    RUNS_READ = "runs:read"  #: executions, their steps and logs
    RUNS_WRITE = "runs:write"  #: start, signal, cancel, retry, resolve
    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"  #: a token makes tokens of its own scopes, never of more
    STORAGE_READ = "storage:read"  #: list and download files
    STORAGE_WRITE = "storage:write"  #: upload and delete them
    OCR_READ = "ocr:read"
    OCR_WRITE = "ocr:write"  #: have documents read
    CODE_READ = "code:read"  #: executions, tools, sandboxes
    CODE_WRITE = "code:write"  #: run code, register tools, configure sandboxes
    HEALTH_READ = "health:read"  #: how the installation is, for monitors
    ITEMS_READ = "items:read"
    ITEMS_WRITE = "items:write"


#: In a token's scopes: all that there are and will be.
EVERYTHING = "*"


def covers(granted: Iterable[str], needed: str) -> bool:
    """Whether ``granted`` allows ``needed``."""
    return EVERYTHING in granted or needed in granted
