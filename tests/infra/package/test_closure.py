"""What a face needs is read from its code: nothing it reaches is missed, nothing else comes along."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from infra.package.build import Face, PackageError, faces
from infra.package.closure import ClosureError, closure, reached

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def ours() -> dict[str, Face]:
    return {face.name: face for face in faces(ROOT)}


def write(root: Path, **files: str) -> Path:
    """A source tree; ``__`` in a name stands for a folder, and every folder is a package."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        for folder in path.relative_to(root).parents[:-1]:
            (root / folder / "__init__.py").touch()
    return root


def test_imports_are_followed_wherever_they_stand_and_however_they_are_written(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        functions__toy__api="""
            from shared import one, web
            from .sibling import thing
            def handler(event, context):
                import late_package.part
                from shared.deep.inner import value
        """,
        functions__toy__sibling="from .. import toy\nfrom ..toy import cousin",
        functions__toy__cousin="",
        functions__other__api="import never",
        shared__one="import importlib\nimportlib.import_module('shared.named')\nimport json, os.path",
        shared__named="from other_package import something",
        shared__web="",
        shared__deep__inner="value = 1",
        shared__unused="import never",
    )
    found = closure(root, "functions/toy/api.handler")
    assert found.modules == (
        "functions",
        "functions.toy",
        "functions.toy.api",
        "functions.toy.cousin",
        "functions.toy.sibling",
        "shared",
        "shared.deep",
        "shared.deep.inner",
        "shared.named",
        "shared.one",
        "shared.web",
    )
    assert found.imports == {
        "late_package.part": "functions/toy/api.py",
        "other_package.something": "shared/named.py",
    }


def test_what_only_a_type_checker_reads_is_not_needed(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        functions__toy__api="""
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                import only_types
                from shared import types
            else:
                import at_run_time
        """,
        shared__types="",
    )
    found = closure(root, "functions/toy/api.handler")
    assert found.packages == {"at_run_time"}
    assert "shared.types" not in found.modules


def test_named_statements_come_with_who_loads_them(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        functions__toy__api="from shared import statements\nSQL = statements.load('toy')",
        functions__toy__more="from shared.statements import load as fetch\nSQL = fetch('more')",
        shared__statements="def load(face): ...",
        sql="",
    )
    (root / "sql" / "queries").mkdir(parents=True)
    for name in ("toy", "more", "other"):
        (root / "sql" / "queries" / f"{name}.sql").touch()
    (root / "sql" / "__init__.py").touch()
    files = closure(root, "functions/toy/api.handler").files
    assert [file for file in files if file.startswith("sql")] == ["sql/__init__.py", "sql/queries/toy.sql"]
    more = closure(root, "functions/toy/more.handler").files
    assert [file for file in more if file.startswith("sql")] == ["sql/__init__.py", "sql/queries/more.sql"]


def test_data_beside_a_capabilitys_code_comes_along(tmp_path: Path) -> None:
    root = write(tmp_path, functions__toy__api="")
    (root / "functions" / "toy" / "words.txt").write_text("words")
    assert "functions/toy/words.txt" in closure(root, "functions/toy/api.handler").files


def test_time_zones_come_with_who_asks_for_them(tmp_path: Path) -> None:
    root = write(tmp_path, functions__toy__api="def f():\n    from zoneinfo import ZoneInfo")
    assert closure(root, "functions/toy/api.handler").packages == {"tzdata"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import importlib\nimportlib.import_module(name)", r"api\.py:2: importlib\.import_module\(name\) chooses"),
        ("from shared import statements\nstatements.load(face)", r"api\.py:2: statements\.load\(face\) chooses"),
        ("from shared import statements\nstatements.load('gone')", r"loads sql/queries/gone\.sql, which is not there"),
    ],
)
def test_code_that_does_not_say_what_it_needs_is_refused(tmp_path: Path, source: str, said: str) -> None:
    root = write(tmp_path, functions__toy__api=source, shared__statements="")
    with pytest.raises(ClosureError, match=said):
        closure(root, "functions/toy/api.handler")


def test_a_handler_without_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClosureError, match=r"no module for the handler functions/toy/api\.handler"):
        closure(tmp_path, "functions/toy/api.handler")


def test_a_collections_modules_are_followed_but_for_the_ways_that_are_closed(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        big__log="from big.shared import used\ndef f():\n    from big.router.pages import render",
        big__shared__used="",
        big__shared__unused="",
        big__router__pages="",
    )
    found = reached(root, "big", ["big.log.Formatter", "another"], ["big.router"])
    assert found == {"big/__init__.py", "big/log.py", "big/shared/__init__.py", "big/shared/used.py"}


# --- what lies beside the code


def beside(root: Path, **files: str) -> Path:
    """Files in the folder of the capability ``toy``; its faces are ``api`` and ``worker``."""
    write(root, functions__toy__api="", functions__toy__worker="")
    for name in (*files, "package.json", "package-lock.json", "notes.md", "data.yml"):
        path = root / "functions" / "toy" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(name, "{install: make install-toy, files: {worker: ['node_modules/*/m*.bin']}}"))
    return root


def test_files_beside_the_code_come_along_but_for_what_npm_installed(tmp_path: Path) -> None:
    root = beside(tmp_path, prompts__first="read me", node_modules__big__model="large")
    with pytest.raises(
        ClosureError, match=r"declares node_modules/\*/m\*\.bin, which is not there; run `make install-toy`"
    ):
        closure(root, "functions/toy/worker.handler")
    found = closure(root, "functions/toy/api.handler")
    assert [file for file in found.files if not file.endswith(".py")] == ["functions/toy/prompts/first"]
    assert found.data == ()


def test_of_what_npm_installed_a_face_gets_what_is_declared_for_it(tmp_path: Path) -> None:
    root = beside(tmp_path)
    for name in ("model.bin", "other.bin"):
        path = root / "functions" / "toy" / "node_modules" / "big" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("large")
    found = closure(root, "functions/toy/worker.handler")
    assert found.data == ("functions/toy/node_modules/big/model.bin",)
    assert not set(found.data) & set(found.files)
    assert closure(root, "functions/toy/api.handler").data == ()


def test_what_is_made_for_one_kind_of_processor_is_told_apart_there_or_not(tmp_path: Path) -> None:
    root = beside(tmp_path, made__toy_x86_64="machine code")
    (root / "functions" / "toy" / "data.yml").write_text("{install: make, files: {worker: ['made/toy-{machine}']}}")
    found = closure(root, "functions/toy/worker.handler")
    assert (found.data, found.made) == ((), ("functions/toy/made/toy-{machine}",))
    assert not [file for file in found.files if "made" in file], "nor does it lie beside the code"


@pytest.mark.parametrize("text", ["[", "a list", "{files: {}}", "{install: x, files: [worker]}"])
def test_a_declaration_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    root = beside(tmp_path)
    (root / "functions" / "toy" / "data.yml").write_text(text)
    with pytest.raises(ClosureError, match=r"functions/toy/data\.yml"):
        closure(root, "functions/toy/worker.handler")


# --- the faces that there are


def test_the_webhook_intake_does_without_a_web_framework(ours: dict[str, Face]) -> None:
    packages = ours["webhook-intake"].closure.packages
    assert not packages & {"fastapi", "starlette", "mangum", "httpx", "jwt"}
    assert {"cel_expr_python", "cryptography", "psycopg"} <= packages


def test_only_faces_that_evaluate_expressions_have_cel(ours: dict[str, Face]) -> None:
    with_cel = {name for name, face in ours.items() if "cel_expr_python" in face.closure.packages}
    evaluate = {"webhook-intake", "workflow-api", "workflow-run", "storage-intake"}
    match_patterns = {"code-exec-api", "code-exec-worker"}  # of schemas: by RE2, which comes with CEL
    assert with_cel == evaluate | match_patterns


def test_every_face_has_its_own_statements_and_no_migration(ours: dict[str, Face]) -> None:
    for name, face in ours.items():
        sql = [file for file in face.closure.files if file.endswith(".sql")]
        assert all(file.startswith("sql/queries/") for file in sql), name
    assert "sql/queries/engine.sql" in ours["workflow-run"].closure.files
    assert "sql/queries/workflow_api.sql" not in ours["account"].closure.files


def test_a_face_never_has_another_faces_code(ours: dict[str, Face]) -> None:
    for name, face in ours.items():
        folders = {module.split(".")[1] for module in face.closure.modules if module.startswith("functions.")}
        assert folders == {face.handler.split("/")[1]}, name


def test_the_client_of_an_object_store_that_is_not_used_stays_out() -> None:
    [here] = faces(ROOT, ["workflow-run"])
    [there] = faces(ROOT, ["workflow-run"], storage="supabase")
    assert "storage3" not in here.closure.packages
    assert "storage3" in there.closure.packages


def test_a_function_that_is_not_listed_is_refused_by_name() -> None:
    with pytest.raises(PackageError, match="no function nonsense; it has webhook-intake"):
        faces(ROOT, ["nonsense"])
