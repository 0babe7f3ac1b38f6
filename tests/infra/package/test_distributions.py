"""What is shipped is what the lock says, and it is said when that is not all that is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.package.build import faces
from infra.package.distributions import LockError, distribution, read_lock

ROOT = Path(__file__).resolve().parents[3]

LOCK = """
psycopg==3.3.9 \\
    --hash=sha256:00
    # via millrace (pyproject.toml)
psycopg-binary==3.3.9 ; implementation_name != 'pypy' \\
    --hash=sha256:00
tzdata==2026.1 ; python_full_version < '3.12' \\
    --hash=sha256:00
tzdata==2026.6 ; python_full_version >= '3.12' \\
    --hash=sha256:00
"""

OCR = """
numpy==2.5.1 \\
    --hash=sha256:00
tzdata==2026.6 \\
    --hash=sha256:00
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "dev.txt").write_text(LOCK)
    (tmp_path / "requirements" / "ocr.txt").write_text(OCR)
    (tmp_path / "requirements" / "code-sandbox.txt").write_text("")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["psycopg[binary]>=3"]\n[project.optional-dependencies]\nhttp = []\n'
        "[tool.uv]\noverride-dependencies = [\"opencv-python; python_version < '0'\"]\n"
    )
    return tmp_path


def test_requirements_are_pinned_with_the_extras_that_the_project_asks_for(project: Path) -> None:
    assert read_lock(project).requirements(["psycopg"]) == ["psycopg[binary]==3.3.9"]


def test_where_machines_differ_every_version_goes_with_its_marker(project: Path) -> None:
    assert read_lock(project).requirements(["tzdata"]) == [
        "tzdata==2026.1 ; python_full_version < '3.12'",
        "tzdata==2026.6 ; python_full_version >= '3.12'",
    ]


def test_what_one_capability_needs_is_in_its_own_file(project: Path) -> None:
    assert read_lock(project).requirements(["numpy"]) == ["numpy==2.5.1"]


def test_what_uv_is_to_leave_out_it_leaves_out_of_packages_too(project: Path) -> None:
    assert read_lock(project).overrides == ("opencv-python; python_version < '0'",)


def test_what_lambda_brings_is_not_packed(project: Path) -> None:
    assert read_lock(project).requirements(["boto3", "botocore"]) == []


def test_an_import_that_the_lock_does_not_cover_is_refused(project: Path) -> None:
    with pytest.raises(LockError, match=r"httpx is imported but not in requirements/"):
        read_lock(project).requirements(["httpx"])


def test_an_import_that_nothing_installed_has_is_refused() -> None:
    with pytest.raises(LockError, match="no_such_package is imported but nothing installed here has it"):
        distribution("no_such_package")


def test_without_a_checkout_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="packages are built from a checkout"):
        read_lock(tmp_path)


def test_every_face_is_covered_by_the_lock() -> None:
    lock = read_lock(ROOT)
    for storage in ("s3", "supabase"):
        for face in faces(ROOT, storage=storage):
            lines = lock.requirements(face.closure.packages)
            assert all(re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==", line) for line in lines), face.name
            needs = "wasmtime" if face.name == "code-sandbox" else "psycopg[binary]"  # the one without a database
            assert any(line.startswith(f"{needs}==") for line in lines), face.name


def test_who_verifies_tokens_can_verify_those_signed_with_a_public_key() -> None:
    [account] = faces(ROOT, ["account"])
    assert any(line.startswith("pyjwt[crypto]==") for line in read_lock(ROOT).requirements(account.closure.packages))
