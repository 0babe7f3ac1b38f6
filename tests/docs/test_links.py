"""Every relative link in the documentation leads to a file, and every fragment to a heading."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.docs.pages import PAGES, ROOT


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    made = set()
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            text = re.sub(r"[`*_]", "", inline.content).lower()
            made.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return made


def links(page: Path) -> list[str]:
    return [
        str(child.attrs.get("href") or child.attrs.get("src"))
        for token in MarkdownIt().parse(page.read_text(encoding="utf-8"))
        for child in token.children or []
        if child.type in ("link_open", "image")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert [page.name for page in PAGES if page.parent == index.parent and page != index and page not in linked] == []
