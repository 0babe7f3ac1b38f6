"""A database of the old system, in either variant: reviewed before, it is to be adopted; afterwards it is clean."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.adopt import adoption
from infra.local.postgres import create_database
from infra.review.review import Review, review
from shared.secrets import LocalKeyring
from tests.cluster import Cluster, TestDatabase
from tests.infra.adopt import old_system

_numbers = itertools.count()


@pytest.fixture(params=old_system.VARIANTS)
def old(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[TestDatabase]:
    name = f"test_review_old_{os.getpid()}_{next(_numbers)}"
    create_database(cluster.superuser_url, name)
    database = TestDatabase(cluster, name)
    old_system.make(database, request.param)
    yield database
    database.close()
    cluster.drop(name)


def test_an_old_database_is_to_be_adopted_and_clean_afterwards(old: TestDatabase, store: str, tmp_path: Path) -> None:
    def look() -> Review:
        return review(old.url(), storage=store)

    before = look()
    assert {(drift.kind, drift.says) for drift in before.drifts} == {("migration", "is pending")}
    assert "45 inherited tables are here already: `millrace adopt` takes them over" in before.notes
    adoption.adopt(
        old.url(),
        lambda: LocalKeyring(tmp_path / "keys"),
        auth_url=old.url("supabase_admin"),
        heir=old_system.SECRET_ADMIN,
    )
    after = look()
    assert after.drifts == []
    assert [note for note in after.notes if "ours" in note] == []
