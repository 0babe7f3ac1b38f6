"""Tables are found where columns line up or rules enclose cells, and running text is left alone."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from functions.ocr import tables
from functions.ocr.document import Block, Page, Word
from functions.ocr.layout import enclosing
from tests.functions.ocr.layout.pages import line, page, texts

ORDER = """
Order of March

Item    Description        Qty     Price
1042    Hex bolts M8        12      8.40
7       Copper wire          3     12.00
330     Ball bearing       110    104.75

Thank you for your order, which we will send tomorrow.
"""


def test_columns_that_line_up_are_a_table() -> None:
    (found,) = tables.find(page(ORDER))
    assert texts(found) == [
        ["Item", "Description", "Qty", "Price"],
        ["1042", "Hex bolts M8", "12", "8.40"],
        ["7", "Copper wire", "3", "12.00"],
        ["330", "Ball bearing", "110", "104.75"],
    ]
    assert [(cell.row, cell.column) for cell in found.rows[2]] == [(2, 0), (2, 1), (2, 2), (2, 3)]


def test_an_empty_cell_leaves_its_column_empty() -> None:
    (found,) = tables.find(
        page("Name     Mail     Phone\nAnna              12345\nBoris    b@c.de\nCleo     c@c.de   678")
    )
    assert [cell.column for cell in found.rows[1]] == [0, 2]
    assert [cell.column for cell in found.rows[2]] == [0, 1]


def test_a_cell_of_two_lines_is_one_cell() -> None:
    (found,) = tables.find(
        page("No   Goods           Price\n1    Copper wire      8.00\n     two metres\n2    Oak board       12.00")
    )
    assert texts(found)[1] == ["1", "Copper wire two metres", "8.00"]


def test_a_title_over_two_columns_spans_them() -> None:
    (found,) = tables.find(
        page("City      Spring and summer\nLyon      12         24\nGraz      10         22\nPorto     15         25")
    )
    assert [(cell.text, cell.column_span) for cell in found.rows[0]] == [("City", 1), ("Spring and summer", 2)]


def test_a_receipts_items_are_a_table() -> None:
    (found,) = tables.find(
        page("   CORNER STORE\n\nRye bread          2.40\nCherry jam         3.10\nTOTAL EUR          5.50")
    )
    assert texts(found)[0] == ["Rye bread", "2.40"]
    assert texts(found)[-1] == ["TOTAL EUR", "5.50"]


def test_text_in_two_columns_is_no_table() -> None:
    left = "the committee never received the original drawings"
    right = "because the road was closed and nobody had the keys"
    assert tables.find(page("\n".join(f"{left}      {right}" for _ in range(8)))) == []


def test_a_paragraph_is_no_table() -> None:
    assert (
        tables.find(page("A paragraph of text that runs\nover three lines and has wide\nspaces  nowhere that line up."))
        == []
    )


def test_labels_and_values_are_fields_not_a_table() -> None:
    assert tables.find(page("Invoice no:    7\nDate:          1 May\nTotal:         12.00")) == []


def _ruled() -> tuple[Page, Image.Image]:
    """Three columns and three rows of rules; the first row has one rule less: its cell spans two columns."""
    image = Image.new("L", (800, 400), 255)
    draw = ImageDraw.Draw(image)
    for y in (50, 120, 190, 260):
        draw.line((50, y, 650, y), fill=0, width=3)
    for x, top in ((50, 50), (250, 120), (450, 50), (650, 50)):
        draw.line((x, top, x, 260), fill=0, width=3)
    words = [
        Word(text=text, box=(x, y, x + 60, y + 20), confidence=1)
        for text, x, y in [
            ("Goods", 70, 75),
            ("Price", 500, 75),
            ("Oak", 70, 145),
            ("board", 140, 145),
            ("8.00", 500, 145),
            ("Fuse", 70, 215),
            ("ten", 300, 215),
        ]
    ]
    lines = tuple(line([word for word in words if word.box[1] == y]) for y in (75, 145, 215))
    block = Block(box=enclosing(each.box for each in lines), lines=lines)
    return (
        Page(number=1, width=400, height=200, unit="point", source="raster", confidence=1, blocks=(block,)),
        image,
    )


def test_rules_make_cells_and_what_they_do_not_part_spans() -> None:
    big, image = _ruled()
    (found,) = tables.find(big.model_copy(update={"width": 800.0, "height": 400.0}), image)
    assert texts(found) == [["Goods", "Price"], ["Oak board", "", "8.00"], ["Fuse", "ten", ""]]
    assert [(cell.column, cell.column_span) for cell in found.rows[0]] == [(0, 2), (2, 1)]
    assert abs(found.box[0] - 50) < 4
    assert abs(found.box[2] - 650) < 4


def test_an_empty_frame_is_no_table() -> None:
    image = Image.new("L", (800, 400), 255)
    ImageDraw.Draw(image).rectangle((30, 30, 700, 300), outline=0, width=3)
    plain = page("A paragraph inside a frame that is\nnot a table of any kind at all.")
    assert tables.find(plain.model_copy(update={"width": 800.0, "height": 400.0}), image) == []


coordinate = st.floats(0, 1000, allow_nan=False)
word = st.builds(
    lambda text, x, y, w, h: Word(text=text, box=(x, y, min(x + w, 1000), min(y + h, 1000)), confidence=1),
    st.text(min_size=1, max_size=12),
    coordinate,
    coordinate,
    st.floats(0, 200),
    st.floats(0, 40),
)


@given(st.lists(st.lists(word, min_size=1, max_size=6), max_size=12))
@settings(max_examples=150, deadline=None)
def test_whatever_stands_where_tables_stay_on_the_page_and_in_order(rows: list[list[Word]]) -> None:
    lines = tuple(line(words) for words in rows)
    blocks = (Block(box=enclosing(each.box for each in lines), lines=lines),) if lines else ()
    wild = Page(number=1, width=1000, height=1000, unit="point", source="raster", confidence=1, blocks=blocks)
    found = tables.find(wild)
    assert found == tables.find(wild)
    assert [table.box[1] for table in found] == sorted(table.box[1] for table in found)
    for table in found:
        assert 0 <= table.box[0] <= table.box[2] <= 1000
        assert 0 <= table.box[1] <= table.box[3] <= 1000
        for row in table.rows:
            assert all(left.column + left.column_span <= right.column for left, right in pairwise(row))
