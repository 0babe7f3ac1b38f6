"""Fields: what a page's names and values are, without a picture of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ocr import fields
from functions.ocr.document import Block, Field, Line, Page, Word

SIZE = 12.0


def line(x: float, y: float, text: str) -> Line:
    """A line of fixed-width letters; ``|`` leaves a wide gap."""
    words = []
    at = x
    for part in text.split(" "):
        if part == "|":
            at += 10 * SIZE
            continue
        width = 0.5 * SIZE * max(1, len(part))
        words.append(Word(text=part, box=(at, y, at + width, y + SIZE), confidence=0.9))
        at += width + 0.4 * SIZE
    return Line(
        text=" ".join(word.text for word in words),
        box=(x, y, words[-1].box[2], y + SIZE),
        confidence=0.9,
        words=tuple(words),
        size=SIZE,
    )


def page(*lines: Line) -> Page:
    blocks = tuple(Block(box=each.box, lines=(each,)) for each in lines)
    return Page(number=1, width=900, height=1200, unit="pixel", source="raster", confidence=0.9, blocks=blocks)


def found(*lines: Line) -> dict[str, str]:
    return {field.name: field.value for field in fields.find(page(*lines))}


def keyed(*lines: Line) -> dict[str, tuple[str, str | None]]:
    return {field.key: (field.value, field.normalised) for field in fields.find(page(*lines)) if field.key}


def test_a_value_follows_its_name_and_a_colon() -> None:
    assert found(line(10, 10, "Ship to: Ada Lovelace, London")) == {"Ship to": "Ada Lovelace, London"}


def test_what_stands_far_away_on_the_line_is_another_field() -> None:
    assert found(line(10, 10, "Customer: Ada | Terms: 30 days")) == {"Customer": "Ada", "Terms": "30 days"}


def test_a_value_stands_right_of_its_name() -> None:
    assert found(line(10, 10, "Reference: | 4711-B")) == {"Reference": "4711-B"}


def test_a_value_stands_below_its_name() -> None:
    heads, values = (
        (line(10, 10, "Invoice No."), line(300, 10, "Due date")),
        (line(10, 26, "A-17"), line(302, 26, "2026-12-24")),
    )
    assert keyed(*heads, *values) == {
        "invoice_number": ("A-17", "A-17"),
        "due_date": ("2026-12-24", "2026-12-24"),
    }


def test_a_known_label_needs_no_colon() -> None:
    assert keyed(
        line(10, 10, "Invoice INV-2026-017"),
        line(10, 40, "Date | 3 November 2026"),
        line(10, 70, "Subtotal | 100.00"),
        line(10, 100, "VAT (19 %) | 19.00"),
        line(10, 130, "Total due | €119.00"),
    ) == {
        "invoice_number": ("INV-2026-017", "INV-2026-017"),
        "date": ("3 November 2026", "2026-11-03"),
        "subtotal": ("100.00", "100.00"),
        "tax": ("19.00", "19.00"),
        "total": ("€119.00", "119.00"),
        "currency": ("€", "EUR"),
    }


def test_a_word_of_prose_is_no_label() -> None:
    assert found(line(10, 10, "Total recall of every invoice we sent to you")) == {}
    assert found(line(10, 10, "We met. He said this to me then: go away")) == {}


def test_a_column_of_a_table_is_no_total() -> None:
    """The first amount under a heading `Total` is one item's."""
    assert "total" not in keyed(line(10, 10, "Item | Total"), line(10, 26, "Tea | 4.50"), line(10, 42, "Jam | 3.20"))


def test_of_several_totals_the_largest_is_the_total() -> None:
    lines = line(10, 10, "Total: 10.00"), line(10, 40, "Total: 12.00")
    assert keyed(*lines) == {"total": ("12.00", "12.00")}
    assert [field.value for field in fields.find(page(*lines))] == ["10.00", "12.00"]


def test_some_values_show_themselves_what_they_are() -> None:
    assert keyed(line(10, 10, "Pay to DE89 3704 0044 0532 0130 00 or ask billing@example.com")) == {
        "iban": ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        "email": ("billing@example.com", "billing@example.com"),
    }


def test_a_wrong_iban_is_none() -> None:
    assert keyed(line(10, 10, "DE89 3704 0044 0532 0130 01")) == {}


def test_an_address_on_the_web_is_no_pair() -> None:
    assert found(line(10, 10, "https://example.com/a")) == {}


def test_the_boxes_are_the_words() -> None:
    field = next(iter(fields.find(page(line(10, 10, "Order no: 17")))))
    assert field.name_box == (10, 10, 10 + 5 * 6 + 4.8 + 3 * 6, 22)
    assert field.box[0] > field.name_box[2]
    assert field.confidence == 0.9


@pytest.mark.parametrize("text", ["Total:", "Total", ":", "::::", "a:b", "\u200b:x", "Invoice | Invoice | Invoice"])
def test_odd_lines_do_no_harm(text: str) -> None:
    for field in fields.find(page(line(10, 10, text))):
        assert field.value


def test_only_so_many_names_are_looked_beside() -> None:
    """Each name is held against everything on the page: without a bound the work would grow with their square."""
    rows = [line(10, 10 + 30 * n, "Reference: | 17") for n in range(fields.MOST_NAMES + 10)]
    assert len(fields.find(page(*rows))) == fields.MOST_NAMES


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).map(
    lambda text: " ".join(text.split()) or "x"
)
PLACES = st.floats(0, 800, allow_nan=False)


@given(
    st.lists(st.tuples(PLACES, PLACES, TEXTS | st.sampled_from(["Total:", "Date", "Total 1,00", "IBAN:"])), max_size=12)
)
def test_whatever_a_page_says_fields_lie_in_it_and_are_found_again(lines: list[tuple[float, float, str]]) -> None:
    whole = page(*(line(*each) for each in lines))
    first = fields.find(whole)
    assert first == fields.find(whole)
    words = [word.box for word in whole.words]
    for field in first:
        assert isinstance(field, Field)
        assert field.value
        assert any(box[0] <= field.box[0] and box[1] <= field.box[1] for box in words)
        assert field.box[0] <= field.box[2]
        assert field.box[1] <= field.box[3]
    keys = [field.key for field in first if field.key]
    assert len(keys) == len(set(keys))
