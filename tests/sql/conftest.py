"""A database before any migration, and ways to fill every table."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from infra.local.postgres import allow_logins, create_database
from tests.cluster import Cluster, TestDatabase

_numbers = itertools.count()


@pytest.fixture
def blank(cluster: Cluster) -> Iterator[TestDatabase]:
    """A database that behaves like a new Supabase project: nothing migrated yet."""
    name = f"test_blank_{os.getpid()}_{next(_numbers)}"
    create_database(cluster.superuser_url, name)
    allow_logins(cluster.superuser_url)
    database = TestDatabase(cluster, name)
    yield database
    database.close()
    cluster.drop(name)


@pytest.fixture(scope="module")
def still(cluster: Cluster) -> Iterator[TestDatabase]:
    """A migrated database that a module's tests share because they only read it."""
    database = TestDatabase(cluster, cluster.create())
    yield database
    database.close()
    cluster.drop(database.name)
