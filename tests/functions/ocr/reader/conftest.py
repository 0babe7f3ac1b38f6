"""One set of engines for all tests, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from functions.ocr import reader
from functions.ocr.document import Document
from functions.ocr.options import Options
from shared.settings import ReaderSettings

Read = Callable[..., Document]


@pytest.fixture(scope="session")
def settings() -> ReaderSettings:
    return ReaderSettings(ocr_threads=1)


@pytest.fixture(scope="session")
def read(settings: ReaderSettings) -> Read:
    """Reads bytes; keyword arguments are the options and the settings that differ."""

    def read(data: bytes, media_type: str = "", **wishes: Any) -> Document:
        changes = {name: wishes.pop(name) for name in list(wishes) if name.startswith("ocr_")}
        pages = wishes.pop("pages", None)
        told = settings.model_copy(update=changes)
        return reader.read(data, media_type, Options(**wishes), pages=pages, settings=told)

    return read
