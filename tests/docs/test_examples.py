"""Every fenced example in the documentation works: a reader may copy it.

The blocks of a page are run in order, in one directory, against one local stack. A block whose info string names a
file (```` ```yaml greet.yaml ````) is saved under that name. A ``text`` block is what the block before it prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from infra.local.postgres import EmbeddedPostgres
from shared.workflow.graph import parse
from shared.workflow.node import REGISTRY
from tests.docs.pages import PAGES, ROOT, Block, blocks, decoded, graph_of, missing_lines
from tests.stack import RunningStack

KNOWN = {"sh", "python", "json", "yaml", "sql", "text"}

#: Stands in for make: `make dev` would not end, `make test` is running. Only the demo is done, the rest is looked up.
MAKE = f"""#!/bin/sh
test "$1" != demo || exec env MILLRACE_HOME="$PWD/demo" millrace demo
exec {shlex.quote("/usr/bin/env")} PATH="$REAL_PATH" make --dry-run -C {shlex.quote(str(ROOT))} "$@"
"""


class Reader:
    """Somebody who copies a page's examples one after the other into one terminal."""

    def __init__(self, directory: Path, stack: RunningStack) -> None:
        self.directory = directory
        self.stack = stack
        self.names: dict[str, Any] = {"__name__": "example"}
        self.printed: str | None = None
        tools = directory / ".tools"
        tools.mkdir()
        (tools / "make").write_text(MAKE)
        (tools / "make").chmod(0o755)
        environment = stack.environment
        environment["REAL_PATH"] = environment["PATH"]
        environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"
        # What a page says about .venv/bin is true of the repository's root.
        (directory / ".venv").symlink_to(Path(environment["REAL_PATH"].partition(os.pathsep)[0]).parent)
        (directory / ".millrace").symlink_to(stack.home)
        (directory / ".environment").write_text(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
        )

    def follow(self, block: Block) -> None:
        if block.name:
            (self.directory / block.name).write_text(block.text)
        getattr(self, f"_{block.language}")(block)
        if block.language not in ("sh", "python", "text"):
            self.printed = None

    def _sh(self, block: Block) -> None:
        script = f"set -e\n. ./.environment\n{block.text}\nexport -p > .environment\n"
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=self.directory,
            env={},
            capture_output=True,
            text=True,
            timeout=100,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        self.printed = printed = done.stdout + done.stderr
        if "make " in block.text and "make demo" not in block.text:
            self.printed = None  # only said what it would do
        assert done.returncode == 0, f"{block.where} exits {done.returncode}:\n{printed}"

    def _python(self, block: Block) -> None:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                exec(compile(block.text, block.where, "exec", dont_inherit=True), self.names)
        except Exception as error:
            raise AssertionError(f"{block.where}: {type(error).__name__}: {error}") from error
        self.printed = said.getvalue()

    def _text(self, block: Block) -> None:
        if self.printed is None:
            return
        missing = missing_lines(block.text, self.printed)
        assert not missing, f"{block.where}: not printed: {missing}\nwhat was printed:\n{self.printed}"
        self.printed = None

    def _json(self, block: Block) -> None:
        if graph := graph_of(decoded(block)):
            parse(graph)

    def _yaml(self, block: Block) -> None:
        graph = graph_of(yaml.safe_load(block.text))
        if graph and not block.name.startswith("broken"):
            parse(graph)

    def _sql(self, block: Block) -> None:
        server = EmbeddedPostgres(self.stack.home / "postgres")
        with psycopg.connect(server.url("postgres")) as connection:
            connection.execute(block.text.encode())
            connection.rollback()


@pytest.fixture
def reader(tmp_path: Path, stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    registered = dict(REGISTRY)
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, stack)
    yield reader
    for value in reader.names.values():
        if isinstance(value, httpx.Client):
            value.close()
    REGISTRY.clear()
    REGISTRY.update(registered)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_example_of_the_page_works(page: Path, reader: Reader) -> None:
    if page.name in ("webhooks.md", "stored-files.md"):  # these go on from the quickstart's workflow
        for block in blocks(ROOT / "docs" / "quickstart.md"):
            if block.name or "apply" in block.text:
                reader.follow(block)
        reader.printed = None
    for block in blocks(page):
        reader.follow(block)


def test_every_block_says_what_it_is() -> None:
    assert [block.where for page in PAGES for block in blocks(page) if block.language not in KNOWN] == []
