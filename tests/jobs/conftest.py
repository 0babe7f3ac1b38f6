"""A place for jobs of a kind that only tests know."""

from __future__ import annotations

import pytest

from tests.cluster import TestDatabase, User
from tests.jobs.aviary import Aviary


@pytest.fixture
def aviary(db: TestDatabase, user: User) -> Aviary:
    return Aviary(db, user)
