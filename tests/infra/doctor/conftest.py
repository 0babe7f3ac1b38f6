"""A database that nothing was done to yet."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from infra.local.postgres import create_database
from tests.cluster import Cluster, TestDatabase


@pytest.fixture
def blank(cluster: Cluster) -> Iterator[TestDatabase]:
    """A database like a new Supabase project's."""
    name = f"test_doctor_{os.getpid()}"
    create_database(cluster.superuser_url, name)
    database = TestDatabase(cluster, name)
    yield database
    database.close()
    cluster.drop(name)
