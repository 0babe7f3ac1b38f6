from __future__ import annotations

import pytest

from tests.cluster import TestDatabase, User
from tests.functions.webhook_intake.hook import Hook
from tests.intake import make_workflow


@pytest.fixture
def hook(db: TestDatabase, user: User, monkeypatch: pytest.MonkeyPatch) -> Hook:
    """A started intake, and a tenant's workflow to subscribe to."""
    made = Hook(db, user, make_workflow(db, user), monkeypatch)
    made.start()
    return made
