"""Markdown keeps every word, and what a page says is not taken for markup."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.ocr import markdown, tables
from functions.ocr.document import Block, Document, Page
from tests.functions.ocr.layout.pages import document, page


def _block(kind: str, *texts: str, level: int = 0) -> Block:
    lines = page("\n".join(texts)).blocks[0].lines
    return Block.model_validate({"kind": kind, "level": level, "box": lines[0].box, "lines": lines})


def _with(*blocks: Block) -> Document:
    return document(page("x").model_copy(update={"blocks": blocks}))


def words(text: str) -> list[str]:
    """The words that a reader of the rendered Markdown sees."""
    plain = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text.replace("<br>", " "))
    return plain.split()


def test_headings_paragraphs_and_lists() -> None:
    shown = markdown.render(
        _with(
            _block("heading", "Terms of", "delivery", level=2),
            _block("paragraph", "First line", "second line"),
            _block("list", "• bread", "• jam"),
        )
    )
    assert shown == "## Terms of delivery\n\nFirst line\nsecond line\n\n- bread\n- jam"


def test_a_table_stands_where_its_lines_stood_with_pipes_escaped() -> None:
    plain = page("Before the table\n\n\nItem     Price\na|b       1.00\ncd        2.00\n\n\nAfter the table")
    found = tuple(tables.find(plain))
    shown = markdown.render(document(plain.model_copy(update={"tables": found})))
    assert shown == (
        "Before the table\n\n| Item | Price |\n| --- | --- |\n| a\\|b | 1.00 |\n| cd | 2.00 |\n\nAfter the table"
    )


def test_pages_are_parted_by_a_rule() -> None:
    assert markdown.render(document(page("one"), page("two"))) == "one\n\n---\n\ntwo"


def test_text_that_looks_like_markup_stays_text() -> None:
    for text in ("# one", "1. one", "- one", "> one", "*one*", "[one](x)", "<b>", "a_b_c", "`x`", "+ one", "==="):
        shown = markdown.render(document(page(text)))
        assert shown != text
        assert words(shown) == text.split()


@given(st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_every_word_of_the_text_stands_in_the_markdown(said: list[str]) -> None:
    text = "\n".join("    ".join(said[n : n + 3]) for n in range(0, len(said), 3))
    plain: Page = page(text)
    plain = plain.model_copy(update={"tables": tuple(tables.find(plain))})
    whole = document(plain)
    assert sorted(set(whole.text.split()) - set(words(markdown.render(whole)))) == []
