"""One local stack for all the documentation's examples."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import RunningStack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """`millrace dev`, as a reader would have it running."""
    with running_stack(tmp_path_factory.mktemp("docs") / "home") as running:
        yield running
