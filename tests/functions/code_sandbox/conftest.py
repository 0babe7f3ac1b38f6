"""The backend that the promises are tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions.code_sandbox import runtimes, sandbox
from functions.code_sandbox.pool import Pool
from shared.models.code import CodeOutcome, CodeRequest, Limits

PLACES = 3  #: runs at once
Runner = Callable[..., CodeOutcome]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the interpreters, which npm brings, what needs them is skipped and says so."""
    if not runtimes.installed():
        for item in items:
            if "code_sandbox" in item.path.parts and "backend" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason="no interpreters here: `make install-code` brings them"))


@pytest.fixture(scope="session")
def backend() -> Iterator[Pool]:
    made = Pool(parallel=PLACES, warm=PLACES)
    yield made
    made.close()


@pytest.fixture
def run(backend: Pool, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run a program: ``run("python", code, input_data=…, limits={…})``."""
    monkeypatch.setattr(sandbox, "backend", lambda: backend)

    def running(language: str, code: str, limits: dict[str, Any] | None = None, **given: Any) -> CodeOutcome:
        return sandbox.run(CodeRequest(language=language, code=code, limits=Limits(**limits or {}), **given))

    return running
