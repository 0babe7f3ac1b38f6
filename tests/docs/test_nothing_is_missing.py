"""Every setting, route, node type, command and exit code appears in the documentation."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

import pytest

import shared.workflow.nodes  # noqa: F401  (registers the node types)
from infra import cli, reference
from infra.cli.exits import Exit
from shared.workflow.node import REGISTRY
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"

#: Set by the platform or by ourselves for our own processes: nobody has to set them.
INTERNAL = {"MILLRACE_STACK_PID", "MILLRACE_RUNTIME_CLIENT"}


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_pages_are_what_the_code_says_now(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == reference.PAGES[name](), "run `make reference`"


def test_every_variable_that_the_code_reads_is_in_the_settings_reference() -> None:
    said = set(re.findall(r"MILLRACE_[A-Z_]+[A-Z]", (DOCS / "settings.md").read_text(encoding="utf-8")))
    files = [path for folder in ("functions", "infra", "shared") for path in (ROOT / folder).rglob("*.py")]
    files += [ROOT / "serverless.yml", *(ROOT / "infra").glob("*.yml")]
    read = {
        name
        for path in files
        for name in re.findall(r"""["'{:](MILLRACE_[A-Z_]+[A-Z])["',}]""", path.read_text(encoding="utf-8"))
    }
    assert read - said - INTERNAL == set()


def test_every_face_with_routes_is_in_the_api_reference() -> None:
    faces = {
        f"functions.{path.parent.name}.api"
        for path in (ROOT / "functions").glob("*/api.py")
        if "create_app(" in path.read_text(encoding="utf-8")
    }
    assert faces == set(reference.FACES)


def test_every_route_is_in_the_api_reference() -> None:
    said = (DOCS / "api.md").read_text(encoding="utf-8")
    missing = [
        f"{method} {path}"
        for face in reference.FACES
        for path, method, _ in reference.operations(importlib.import_module(face).app.openapi())
        if f"### {method} `{path}`" not in said
    ]
    assert missing == []


def test_every_node_type_has_a_section_and_its_other_names_are_said() -> None:
    said = (DOCS / "nodes.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^#+ `?([a-z_-]+)`?$", said, re.MULTILINE))
    kinds = {kind.name: kind for kind in REGISTRY.values()}
    assert set(kinds) - headings == set()
    assert [alias for kind in kinds.values() for alias in kind.aliases if f"`{alias}`" not in said] == []


def commands() -> Iterator[str]:
    for command in cli.app.registered_commands:
        yield f"millrace {command.name}"
    for group in cli.app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            yield f"millrace {group.name} {command.name}"


def test_every_command_and_exit_code_is_on_the_command_lines_page() -> None:
    said = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert [command for command in commands() if f"`{command}" not in said] == []
    assert [int(code) for code in Exit if f"| {int(code)} |" not in said] == []
