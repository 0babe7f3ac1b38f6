"""The one declaration of the buckets says what every road that creates them needs to know."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from infra.buckets import DECLARATION, BucketsError, declared, make_directories, spoken
from infra.local.serverless import read
from infra.local.stack import ROOT
from shared.storage import BUCKETS


def test_every_bucket_is_private_and_bounded_unless_the_stage_says_otherwise() -> None:
    found = declared({})
    assert tuple(bucket.name for bucket in found) == BUCKETS
    assert [bucket.name for bucket in found if bucket.public] == []
    assert all(0 < bucket.size_limit <= 1024**3 for bucket in found)


def test_functions_are_told_what_is_declared() -> None:
    for environment in ({}, {"MILLRACE_LARGE_FILE_BYTES": "52428800"}):
        told = read(ROOT / "serverless.yml", env=environment).functions["storage"].environment["MILLRACE_BUCKETS"]
        assert told == spoken(declared(environment))


def test_a_project_that_takes_no_large_files_says_so_once() -> None:
    assert {bucket.size_limit for bucket in declared({"MILLRACE_LARGE_FILE_BYTES": "52428800"})} == {52428800}
    with pytest.raises(BucketsError, match=r"user-uploads\.size_limit"):
        declared({"MILLRACE_LARGE_FILE_BYTES": str(1024**3 + 1)})


def test_a_stage_may_make_only_the_documents_public() -> None:
    found = declared({"MILLRACE_OCR_DOCUMENTS_PUBLIC": "true"})
    assert [bucket.name for bucket in found if bucket.public] == ["ocr-documents"]


def test_an_empty_variable_counts_as_unset() -> None:
    assert not any(bucket.public for bucket in declared({"MILLRACE_OCR_DOCUMENTS_PUBLIC": ""}))


def test_our_own_payloads_fit_their_bucket() -> None:
    [attachments] = [bucket for bucket in declared({}) if bucket.name == "workflow-attachments"]
    assert attachments.media_types is None


def test_the_local_stores_directories_are_their_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "objects" / "rag-files").mkdir(parents=True)
    (tmp_path / "objects" / "rag-files" / "kept").write_text("here before")
    for _ in range(2):
        make_directories(tmp_path / "objects", declared({}))
    assert {path.name for path in (tmp_path / "objects").iterdir()} == set(BUCKETS)
    assert stat.S_IMODE((tmp_path / "objects" / "user-uploads").stat().st_mode) == 0o700
    assert (tmp_path / "objects" / "rag-files" / "kept").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("  public: false\n", "  public: perhaps\n"), "rag-files.public"),
        (("size_limit: 52428800", "size_limit: 0"), "ocr-documents.size_limit"),
        (("    - image/png", "    - image png"), "ocr-documents.media_types.1"),
        (("  media_types: null", "  media_type: null"), "user-uploads.media_type"),
        (("code-executions:", "code:"), "exactly these buckets"),
        (("code-executions:", "code-executions: [broken"), "buckets.yml"),
    ],
)
def test_a_declaration_that_is_not_one_is_refused_by_name(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = tmp_path / "infra" / "buckets.yml"
    path.parent.mkdir()
    path.write_text(DECLARATION.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(BucketsError, match=said):
        declared({}, path)
