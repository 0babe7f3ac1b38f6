"""No deployment begins with packages of another kind of object storage than it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.package import record
from infra.template import __main__ as command
from infra.template import readiness
from infra.template.compiler import Template

PACKAGES = [Path("dist/packages/arm64/item.zip"), Path("dist/packages/x86_64/code-sandbox.zip")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where `make package` built two packages, for S3."""
    for path in PACKAGES:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"")
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        record.write((tmp_path / path).parent, {path.name: record.Built(empty, "s3")})
    return tmp_path


@pytest.mark.parametrize("storage", ["s3", "s3:millrace-prod-1", ""])
def test_packages_of_the_same_storage_are_fit(root: Path, storage: str) -> None:
    assert list(readiness.unfit(root, PACKAGES, storage)) == []


def test_packages_of_another_storage_are_named_with_what_helps(root: Path) -> None:
    said = list(readiness.unfit(root, PACKAGES, "supabase:https://project.supabase.co"))
    assert said == [
        f"{path} has s3's client, MILLRACE_STORAGE names supabase: `make package` with it set." for path in PACKAGES
    ]


def test_a_package_that_somebody_changed_is_not_believed(root: Path) -> None:
    (root / PACKAGES[0]).write_bytes(b"changed")
    [said] = readiness.unfit(root, PACKAGES, "s3")
    assert said == "dist/packages/arm64/item.zip is not what `make package` built: build it again."


def test_one_that_is_not_there_is_named_only_once(root: Path) -> None:
    (root / PACKAGES[0]).unlink()
    assert list(readiness.unfit(root, PACKAGES, "s3")) == []  # readiness.lacking names it


def test_make_deploy_looks(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "ROOT", root)
    monkeypatch.setattr(command, "read_stage", lambda *_: None)
    monkeypatch.setattr(command, "compile_template", lambda *_: Template("prod", {"Resources": {}}, ()))
    monkeypatch.setattr(command.connections, "count", lambda *_: command.connections.Connections(200, {}))
    monkeypatch.setattr(command, "packages", lambda *_: PACKAGES)
    monkeypatch.setenv("MILLRACE_STORAGE", "supabase:https://project.supabase.co")
    assert command.main(["--stage", "prod", "--ready"]) == 1
    assert capsys.readouterr().err.count("has s3's client") == len(PACKAGES)
    assert command.main(["--stage", "prod", "--output", str(root / "template.json")]) == 0
