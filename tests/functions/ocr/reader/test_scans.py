"""PDF pages that must be recognised, and those whose text layer is taken although a picture covers them."""

from __future__ import annotations

from tests.functions.ocr.reader import documents
from tests.functions.ocr.reader.conftest import Read
from tests.functions.ocr.reader.documents import LINES, image_object, pdf, stored, text, written

PICTURE = written(mode="L")
#: Operators that show the picture over the whole of a page of 320 x 160 points.
SHOWN = b"q 320 0 0 160 0 0 cm /I1 Do Q\n"
BOX = "0 0 320 160"


def scan(words: bytes = b"") -> bytes:
    return pdf(SHOWN + words, box=BOX, extra=[image_object(*PICTURE.size, PICTURE.tobytes())])


def test_a_scan_is_recognised_in_points(read: Read) -> None:
    [page] = read(scan()).pages
    assert [line.text for line in page.lines] == list(LINES)
    assert (page.source, page.engine, page.unit) == ("raster", "rapidocr", "point")
    assert (page.width, page.height) == (320, 160)
    assert 17 < next(page.words).box[0] < 25, "40 pixels of 640 are 20 points of 320"
    assert page.reason.startswith("the page has no text of its own")


def test_a_stamp_on_a_scan_is_not_its_text(read: Read) -> None:
    [page] = read(scan(text(["Received on 3 May in Bern"], x=150, y=5, size=7))).pages
    assert page.source == "raster"
    assert "harbour office" in page.text
    assert page.reason.startswith("the page is a scan with little text set upon it")


def test_a_scan_with_its_recognised_text_behind_it_is_not_recognised_again(read: Read) -> None:
    behind = b"3 Tr " + text(LINES, x=20, y=130, size=11, leading=18.7)
    [page] = read(scan(b"BT 3 Tr ET " + behind)).pages
    assert (page.source, page.engine) == ("text_layer", "text_layer")
    assert [line.text for line in page.lines] == list(LINES)


def test_fonts_without_a_way_to_unicode_are_read_from_the_picture(read: Read) -> None:
    """The letters show, but the file says that they are private-use signs."""
    cmap = documents.stream(
        b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <FF> endcodespacerange\n"
        b"1 beginbfrange <20> <7E> <E020> endbfrange endcmap end"
    )
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 10 0 R >>"
    data = pdf(text(LINES, x=20, y=130, size=11, leading=18.7), box=BOX, fonts=[font], extra=[cmap])
    [page] = read(data).pages
    assert page.source == "raster"
    assert [line.text for line in page.lines] == list(LINES)
    assert page.reason.startswith("its fonts do not say which letters they show")


def test_letters_that_say_other_letters_are_noticed(read: Read) -> None:
    """A font whose map is shifted by three: readable signs, and no language."""
    cmap = documents.stream(
        b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <00> <FF> endcodespacerange\n"
        b"2 beginbfrange <61> <61> <0078> <62> <7A> <0062> endbfrange\n"
        b"5 beginbfchar <65> <0071> <69> <0076> <6F> <0077> <75> <007A> <79> <006B> endbfchar endcmap end"
    )
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 10 0 R >>"
    data = pdf(text(LINES, x=20, y=130, size=11, leading=18.7), box=BOX, fonts=[font], extra=[cmap])
    [page] = read(data, text_layer="only").pages
    assert page.text == ""
    assert "hardly any would be a vowel" in page.reason


def test_what_is_asked_of_the_text_layer_is_done(read: Read) -> None:
    born_digital = pdf(text(LINES, x=20, y=130, size=11, leading=18.7), box=BOX)
    [page] = read(born_digital, text_layer="never").pages
    assert (page.source, [line.text for line in page.lines]) == ("raster", list(LINES))
    [page] = read(scan(), text_layer="only").pages
    assert (page.engine, page.text) == (None, "")
    [page] = read(stored(PICTURE), text_layer="only").pages
    assert page.reason == "pictures have no text of their own"
