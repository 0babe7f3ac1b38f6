"""What docs/operations.md shows of provisioning is what it prints."""

from __future__ import annotations

import pytest

from tests.cluster import TestDatabase
from tests.docs.pages import ROOT, blocks, missing_lines
from tests.infra.provision.storage_api import StorageApi
from tests.infra.provision.terminal import run


@pytest.fixture
def shown() -> dict[str, str]:
    return {block.name: block.text for block in blocks(ROOT / "docs" / "operations.md") if block.name}


def test_a_first_run_and_a_repair_look_as_the_page_shows_them(
    fresh: TestDatabase, project: StorageApi, shown: dict[str, str]
) -> None:
    first = run()
    assert first.code == 0, first.stderr
    assert missing_lines(shown["provision-first.txt"], first.stdout) == [], first.stdout
    project.buckets["rag-files"]["public"] = True
    project.buckets["user-uploads"]["file_size_limit"] = 1
    fresh.connect("supabase_admin").execute("alter table storage.objects disable trigger millrace_stored")
    again = run()
    assert again.code == 0, again.stderr
    assert missing_lines(shown["provision-repaired.txt"], again.stdout) == []
