"""A tenant whose workflow waits for files."""

from __future__ import annotations

import pytest

from tests.cluster import TestDatabase, User
from tests.functions.storage_intake.shelf import Shelf
from tests.intake import make_workflow


@pytest.fixture
def shelf(db: TestDatabase, user: User) -> Shelf:
    return Shelf(db, user, make_workflow(db, user))
