"""One local stack for all the command line.s tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import RunningStack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """`millrace dev`, on data of its own."""
    with running_stack(tmp_path_factory.mktemp("cli") / "home") as running:
        yield running
