"""A database to review, and one step from its report to its restoration."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from infra.local.postgres import create_database
from infra.review.drift import Drift
from infra.review.review import Review, review
from tests.cluster import Cluster, TestDatabase

_numbers = itertools.count()


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A directory store without files, as MILLRACE_STORAGE names it."""
    return f"directory:{tmp_path / 'objects'}"


@pytest.fixture
def reviewed(db: TestDatabase, store: str) -> Callable[[], Review]:
    """Review the test's own database as its owner."""
    return lambda: review(db.url(), storage=store)


@pytest.fixture
def blank(cluster: Cluster) -> Iterator[TestDatabase]:
    """A database that behaves like a new Supabase project: nothing migrated yet."""
    name = f"test_review_{os.getpid()}_{next(_numbers)}"
    create_database(cluster.superuser_url, name)
    database = TestDatabase(cluster, name)
    yield database
    database.close()
    cluster.drop(name)


def restore(url: str, drifts: list[Drift]) -> None:
    """What a reader of the report does: run the SQL of each remedy as the owner, in order."""
    with psycopg.connect(url, autocommit=True) as connection:
        for drift in drifts:
            assert drift.remedy.sql, drift
            for statement in drift.remedy.sql:
                connection.execute(statement.encode())
