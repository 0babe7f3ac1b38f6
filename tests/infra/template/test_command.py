"""``make template`` writes a template that was checked, or nothing and every reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.local.stack import ROOT
from infra.template import __main__ as command
from infra.template.compiler import osls
from tests.infra.template.conftest import ENVIRONMENT, service


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if osls(ROOT) is None:
        pytest.skip("osls is not installed (`make install-deploy`, needs Node): the template is not compiled")
    root = service(tmp_path, "tight", run_concurrency=150)
    monkeypatch.setattr(command, "ROOT", root)
    return root


def test_it_writes_the_template_and_says_what_is_in_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = root / "dist" / "template.json"
    assert command.main(["--stage", "prod", "--output", str(written)]) == 0
    said = capsys.readouterr().out
    kinds = {found["Type"] for found in json.loads(written.read_text())["Resources"].values()}
    assert all(kind in said for kind in kinds)
    assert "connections, of 200 at the pooler" in said
    assert "empty ones stand in" in said


def test_more_connections_than_the_pooler_takes_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = root / "dist" / "template.json"
    assert command.main(["--stage", "tight", "--output", str(written)]) == 1
    said = capsys.readouterr().err
    assert "274 connections may be wanted at once (workflow-run 150" in said
    assert "the pooler takes 200" in said
    assert not written.exists()


def test_what_is_not_ready_is_not_deployed(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert command.main(["--stage", "prod", "--ready", "--output", str(root / "t.json")]) == 1
    assert "dist/packages/arm64/item.zip is not built: `make package`." in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "infra" / "queues.yml").write_text("Resources: [")
    assert command.main(["--stage", "prod"]) == 1
    assert "infra/queues.yml" in capsys.readouterr().err
