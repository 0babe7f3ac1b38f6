"""The one front door: every command is listed, and every command that the pages name is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def listed() -> dict[str, str]:
    """What ``make help`` prints: each command and its line."""
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    return dict(line.split(maxsplit=1) for line in plain.splitlines() if line.strip())


def test_make_help_lists_every_command_with_what_it_does() -> None:
    declared = re.search(r"^\.PHONY:(.*(?:\\\n.*)*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None
    targets = set(declared[1].replace("\\\n", " ").split())
    assert set(listed()) == targets
    assert {"install", "demo", "dev", "test", "check", "help"} <= targets
    bare = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "demo" in bare.stdout  # `make` alone is help


def test_every_command_that_the_pages_name_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), ROOT / ".ci" / "run"]
    named = {name for page in pages for name in re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", _code(page.read_text()))}
    assert named - set(listed()) == set()
    assert {"demo", "test"} <= named


def _code(text: str) -> str:
    """What stands as code in a page; a file that is no page is all code."""
    return "\n".join(re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL)) or text
