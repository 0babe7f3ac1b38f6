"""The hooks use the tools that `make install` installed, download nothing, and are the ones of `make check`."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_every_hook_is_a_tool_of_make_check_from_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    makefile = (ROOT / "Makefile").read_text()
    tools = [hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks]
    assert [tool for tool in tools if f"$(BIN)/{tool}" not in makefile] == []
