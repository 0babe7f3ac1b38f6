"""Packages are built whole or not at all, the same each time, and only from what the lock allows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra import cli
from infra.cli.exits import Exit, Failure
from infra.package import build as building
from infra.package import bytecode, record, staging
from infra.package.build import MAX_UNZIPPED, MAX_ZIPPED, Package, PackageError, build, faces
from infra.package.targets import HERE, LAMBDA_PYTHON, TARGETS, interpreter
from tests.infra.package.conftest import ROOT

FACE = "schedule-tick"  # the smallest


def pack(folder: Path, target: str = "arm64", root: Path = ROOT) -> Package:
    """One face, for Lambda unless said otherwise."""
    [made] = build(root, TARGETS[target], faces(root, [FACE]), folder=folder)
    return made


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The face for arm64."""
    return pack(tmp_path_factory.mktemp("packages") / "arm64")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Another checkout of the same sources."""
    copy = tmp_path / "another checkout"
    for folder in ("functions", "shared", "sql", "requirements"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("serverless.yml", "pyproject.toml"):
        shutil.copyfile(ROOT / file, copy / file)
    return copy


def test_the_same_content_gives_the_same_bytes(arm: Package, checkout: Path, tmp_path: Path) -> None:
    again = pack(tmp_path / "packages", root=checkout)
    assert again.path.read_bytes() == arm.path.read_bytes()
    assert again.sha256 == arm.sha256


def test_both_machines_get_libraries_of_their_own_and_one_source(arm: Package, tmp_path: Path) -> None:
    intel = pack(tmp_path / "packages", "x86_64")
    with zipfile.ZipFile(arm.path) as one, zipfile.ZipFile(intel.path) as other:
        native = {name for name in one.namelist() if ".cpython-313-" in name and name.endswith(".so")}
        assert native
        assert all("aarch64" in name for name in native)
        assert {name.replace("aarch64", "x86_64") for name in native} <= set(other.namelist())
        for name in (name for name in one.namelist() if name.startswith(("functions/", "shared/"))):
            assert one.read(name) == other.read(name), name
        # The machine is in the ELF header: 183 is AArch64, 62 is x86-64.
        [library] = (name for name in one.namelist() if "_pydantic_core" in name and name.endswith(".so"))
        assert one.read(library)[18] == 183
        assert other.read(library.replace("aarch64", "x86_64"))[18] == 62


def test_it_holds_what_the_face_reaches_and_nothing_else(arm: Package) -> None:
    with zipfile.ZipFile(arm.path) as archive:
        names = archive.namelist()
        assert arm.unzipped == sum(entry.file_size for entry in archive.infolist())
    assert arm.zipped == arm.path.stat().st_size
    [face] = faces(ROOT, [FACE])
    ours = {name for name in names if name.startswith(("functions/", "shared/", "sql/")) and not name.endswith(".pyc")}
    assert ours == set(face.closure.files)
    assert [name for name in names if name.startswith("sql/queries/")] == ["sql/queries/schedule_tick.sql"]
    assert not [name for name in names if re.search(r"(^|/)tests/|\.pyi$|/RECORD$|^bin/|^infra/|^sql/migrations", name)]
    assert not {name.split(" ")[0] for name in arm.distributions} & {"boto3", "fastapi", "cel_expr_python"}


def test_what_it_was_built_for_is_written_down_until_it_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    [made] = build(ROOT, TARGETS["arm64"], faces(ROOT, [FACE], storage="supabase"), folder=folder, storage="supabase")
    assert record.read(made.path) == (made.sha256, "supabase")
    assert record.read(folder / "another.zip") is None
    made.path.write_bytes(b"another")
    assert record.read(made.path) is None


def test_each_function_is_built_for_the_processor_that_it_is_deployed_on(tmp_path: Path) -> None:
    chosen = ["package", FACE, "code-sandbox", "--as-deployed", "--output", str(tmp_path)]
    ran = CliRunner().invoke(cli.app, ["--json", *chosen])
    assert ran.exit_code == 0, ran.output
    assert {made["function"]: made["target"] for made in json.loads(ran.stdout)["packages"]} == {
        FACE: "arm64",
        "code-sandbox": "x86_64",
    }


def test_it_is_compiled_where_an_interpreter_of_that_version_is(arm: Package) -> None:
    with zipfile.ZipFile(arm.path) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".cpython-313.pyc")]
    assert bool(compiled) is arm.compiled is (interpreter(LAMBDA_PYTHON) is not None)


def test_without_an_interpreter_of_that_version_it_goes_uncompiled_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "interpreter", lambda version: None)
    ran = CliRunner().invoke(cli.app, ["package", FACE, "--target", HERE, "--output", str(tmp_path)])
    assert ran.exit_code == 0
    assert "Not byte-compiled: host." in ran.output
    with zipfile.ZipFile(tmp_path / HERE / f"{FACE}.zip") as archive:
        assert not [name for name in archive.namelist() if name.endswith(".pyc")]


def test_what_is_made_for_a_processor_goes_into_its_packages_and_is_missed_in_others(checkout: Path) -> None:
    capability = checkout / "functions" / "toy"
    (capability / "made").mkdir(parents=True)
    (capability / "worker.py").write_text("handler = print\n")
    (capability / "data.yml").write_text("{install: make, files: {worker: ['made/toy-{machine}']}}")
    (capability / "made" / "toy-x86_64").write_text("machine code")
    (checkout / "serverless.yml").write_text("functions: {toy: {handler: functions/toy/worker.handler}}")
    packages = {}
    for target in ("arm64", "x86_64"):
        [packages[target]] = build(checkout, TARGETS[target], faces(checkout), folder=checkout / "dist" / target)
    assert packages["x86_64"].unmade == ()
    assert packages["arm64"].unmade == ("functions/toy/made/toy-aarch64",)
    made = {}
    for target, package in packages.items():
        with zipfile.ZipFile(package.path) as archive:
            made[target] = [name for name in archive.namelist() if "/made/" in name]
    assert made == {"arm64": [], "x86_64": ["functions/toy/made/toy-x86_64"]}


def test_a_source_that_is_not_valid_for_the_target_goes_without_bytecode(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("x = 1\n")
    bad.write_text("print 'of another age'\n")
    jobs = [(str(path), str(tmp_path / f"{path.stem}.pyc"), path.name) for path in (good, bad)]
    assert bytecode.compile_all(Path(sys.executable), jobs) == [str(bad)]
    assert (tmp_path / "good.pyc").exists()


def test_a_wheel_that_has_not_the_locks_hash_is_refused_and_what_was_built_stays(
    checkout: Path, tmp_path: Path
) -> None:
    lock = checkout / "requirements" / "dev.txt"
    text = lock.read_text()
    start = text.index("annotated-types==")
    end = text.index("# via", start)
    lock.write_text(text[:start] + re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", text[start:end]) + text[end:])
    before = tmp_path / "packages" / f"{FACE}.zip"
    before.parent.mkdir()
    before.write_bytes(b"built before")
    with pytest.raises(PackageError, match=r"(?s)uv cannot fetch.*annotated-types"):
        pack(before.parent, root=checkout)
    assert [path.name for path in before.parent.iterdir()] == [before.name]
    assert before.read_bytes() == b"built before"


# --- limits


@pytest.mark.parametrize(
    ("zipped", "unzipped", "said"),
    [
        (MAX_ZIPPED, MAX_UNZIPPED, None),
        (MAX_ZIPPED + 1, MAX_UNZIPPED, "52,428,801 bytes zipped, over Lambda's 52,428,800"),
        (MAX_ZIPPED, MAX_UNZIPPED + 1, "262,144,001 bytes unzipped, over Lambda's 262,144,000"),
    ],
)
def test_lambdas_limits_are_held_to_the_byte(zipped: int, unzipped: int, said: str | None) -> None:
    made = Package(FACE, HERE, Path("x.zip"), zipped, unzipped, "", compiled=True, distributions=())
    assert made.excess == said


def test_a_package_over_a_limit_fails_the_command_and_leaves_what_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path / HERE / f"{FACE}.zip"
    before.parent.mkdir()
    before.write_bytes(b"built before")
    monkeypatch.setattr(building, "MAX_ZIPPED", 1_000_000)
    ran = CliRunner().invoke(cli.app, ["package", FACE, "--target", HERE, "--output", str(tmp_path)])
    assert isinstance(ran.exception, Failure)
    assert ran.exception.exit_code is Exit.FAILED
    assert "too large for Lambda on host: schedule-tick" in ran.exception.message
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [before.name]
    assert before.read_bytes() == b"built before"


# --- the command


def test_the_command_measures_what_it_built(tmp_path: Path) -> None:
    ran = CliRunner().invoke(cli.app, ["--json", "package", FACE, "--measure", "--output", str(tmp_path)])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    [made] = said["packages"]
    assert (made["function"], made["target"], made["path"]) == (FACE, HERE, str(tmp_path / HERE / f"{FACE}.zip"))
    assert (tmp_path / HERE / FACE / "functions" / "schedule_tick" / "worker.py").is_file()
    [start] = said["cold_starts"]
    assert start["seconds"] > 0


def test_a_function_that_there_is_not_is_refused() -> None:
    ran = CliRunner().invoke(cli.app, ["package", "nonsense"])
    assert isinstance(ran.exception, Failure)
    assert "no function nonsense" in ran.exception.message


def test_make_package_takes_the_target_from_either_side() -> None:
    for command in (["make", "-n", "package", "TARGET=host"], ["env", "TARGET=host", "make", "-n", "package"]):
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert "millrace package --target host" in shown
