"""Scraping, and how we behave at a domain."""

from __future__ import annotations

from uuid import UUID

from shared.models.base import Json, Row, UtcDatetime


class ScrapeJobRow(Row):
    """A page to be fetched."""

    table = "scrapejob"

    id: UUID
    url: str
    engine: str
    proxy_id: str | None
    status: str
    result: Json | None
    started_at: UtcDatetime
    completed_at: UtcDatetime | None
    error_message: str | None
    owner_id: UUID | None


class ScrapeResultRow(Row):
    """What was fetched."""

    table = "scraperesult"

    id: UUID
    job_id: UUID
    content: str
    html: str | None
    result_metadata: Json | None
    created_at: UtcDatetime
    owner_id: UUID | None


class ProxyLogRow(Row):
    """One request through a proxy."""

    table = "proxylog"

    id: UUID
    ip_id: str
    agent_id: str | None
    domain_scraped: str
    status_code: int | None
    retry_count: int
    block_reason: str | None
    latency_ms: int
    timestamp: UtcDatetime
    owner_id: UUID | None


class DomainProfileRow(Row):
    """How often and in what manner a tenant visits a domain."""

    table = "domainprofile"

    id: UUID
    domain: str
    max_requests_per_hour: int
    requires_login: bool
    captcha_likelihood: str
    scroll_needed: bool
    idle_before_click: float
    config: Json | None
    created_at: UtcDatetime
    updated_at: UtcDatetime
    owner_id: UUID | None


class ContentChecksumRow(Row):
    """What a page was when last seen."""

    table = "contentchecksum"

    id: UUID
    url: str
    content_hash: str
    last_scraped_at: UtcDatetime
    created_at: UtcDatetime
    owner_id: UUID | None
