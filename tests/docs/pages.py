"""The documentation as tests see it: pages and their fenced blocks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. ``name`` is the second word of its info string: the file it is saved as."""

    page: Path
    line: int
    language: str
    name: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks, in order."""
    found = []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.map:
            language, _, name = token.info.strip().partition(" ")
            found.append(Block(page, token.map[0] + 1, language, name.strip(), token.content))
    return found


def missing_lines(expected: str, printed: str) -> list[str]:
    """The lines of ``expected`` that ``printed`` lacks, in order. ``…`` stands for anything, runs of spaces are one."""
    actual = iter([" ".join(line.split()) for line in printed.splitlines()])
    missing = []
    for line in expected.splitlines():
        wanted = " ".join(line.split())
        if not wanted or wanted == "…":
            continue
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in wanted.split("…")))
        kept = list(actual)
        for index, candidate in enumerate(kept):
            if pattern.fullmatch(candidate):
                actual = iter(kept[index + 1 :])
                break
        else:
            missing.append(line)
            actual = iter(kept)
    return missing


def graph_of(value: object) -> dict[str, object] | None:
    """The workflow graph in a decoded JSON or YAML example, if it holds one."""
    if isinstance(value, dict):
        if "nodes" in value and "edges" in value:
            return value
        if "graph_config" in value:
            return graph_of(value["graph_config"])
    return None


def decoded(block: Block) -> object:
    """The value of a JSON block. The ValueError of a broken one says where."""
    try:
        return json.loads(block.text)
    except ValueError as error:
        raise ValueError(f"{block.where}: {error}") from error
