"""Which engine's text is taken: the order of tries and the choice, with engines that say what they are told."""

from __future__ import annotations

from typing import Any, cast

import pytest
from PIL import Image

from functions.ocr.document import Word
from functions.ocr.engines import Reading
from functions.ocr.errors import Unreadable
from functions.ocr.layout import Piece
from functions.ocr.options import Options
from functions.ocr.recognition import Engines, recognise

PICTURE = Image.linear_gradient("L")


def said(text: str, score: float, engine: Any = "rapidocr", rotation: int = 0) -> Reading:
    box = (10.0, 10.0, 90.0, 20.0)
    piece = Piece((Word(text=text, box=box, confidence=score),), box, 10.0)
    return Reading(engine, (piece,) if text else (), score if text else 0.0, rotation)


class Scripted:
    """Gives its readings one after the other, and remembers the pictures' sizes."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = list(readings)
        self.sizes: list[tuple[int, int]] = []
        self.layouts: list[str] = []

    def read(self, image: Image.Image, layout: str = "") -> Reading:
        self.sizes.append(image.size)
        self.layouts.append(layout)
        return self.readings.pop(0)


class Desk:
    def __init__(self, rapid: Scripted, tesseract: Scripted | None) -> None:
        self.rapid, self.tesseract = rapid, tesseract


def chosen(
    rapid: Scripted, tesseract: Scripted | None, options: Options | None = None, seconds: float = 60
) -> tuple[Reading | None, str, list[str]]:
    engines = cast(Engines, Desk(rapid, tesseract))
    reading, reason, attempts = recognise(PICTURE, options or Options(), engines, seconds)
    return reading, reason, [attempt.engine for attempt in attempts]


def test_a_sure_reading_is_taken_at_once() -> None:
    reading, reason, tried = chosen(Scripted(said("good", 0.95)), Scripted())
    assert reading is not None
    assert reading.pieces[0].text == "good"
    assert (reason, tried) == ("the page is a picture", ["rapidocr"])


def test_an_unsure_one_is_tried_larger_with_boxes_of_the_page() -> None:
    rapid = Scripted(said("dim", 0.6), said("clear", 0.93))
    reading, reason, tried = chosen(rapid, Scripted())
    assert rapid.sizes == [(256, 256), (512, 512)]
    assert reading is not None
    assert reading.pieces[0].text == "clear"
    assert reading.pieces[0].box == (5, 5, 45, 10)
    assert tried == ["rapidocr", "rapidocr"]
    assert reason == "at twice its size, as the first try was unsure; surest of 2 tries"


def test_then_by_tesseract_turned_as_the_first_found_it() -> None:
    rapid = Scripted(said("dimly", 0.6, rotation=90), said("dimly", 0.5))
    tesseract = Scripted(said("letter", 0.7, "tesseract"), said("letters", 0.9, "tesseract"))
    reading, reason, tried = chosen(rapid, tesseract)
    assert reading is not None
    assert (reading.engine, reading.pieces[0].text, reading.rotation) == ("tesseract", "letters", 90)
    assert tesseract.layouts == ["page", "block"]
    assert tried == ["rapidocr", "rapidocr", "tesseract", "tesseract"]
    assert "one block of lines" in reason


def test_the_first_stays_where_nobody_is_surer() -> None:
    tesseract = Scripted(said("wrong", 0.3, "tesseract"), said("wrong", 0.2, "tesseract"))
    reading, _, _ = chosen(Scripted(said("dimly", 0.6), said("dimly", 0.5)), tesseract)
    assert reading is not None
    assert (reading.engine, reading.score) == ("rapidocr", 0.6)


def test_to_be_sure_of_two_letters_is_not_to_read_the_page() -> None:
    tesseract = Scripted(said("ok", 0.99, "tesseract"), said("ok", 0.99, "tesseract"))
    reading, _, _ = chosen(Scripted(said("a whole sentence", 0.8), said("a sentence", 0.5)), tesseract)
    assert reading is not None
    assert reading.engine == "rapidocr"


def test_without_tesseract_there_is_no_second_opinion() -> None:
    reading, _, tried = chosen(Scripted(said("dim", 0.6), said("dim", 0.5)), None)
    assert reading is not None
    assert tried == ["rapidocr", "rapidocr"]


def test_time_that_is_up_ends_the_tries() -> None:
    _, _, tried = chosen(Scripted(said("dim", 0.6)), Scripted(), seconds=0)
    assert tried == ["rapidocr"]


def test_nothing_found_is_nothing_after_all_tries() -> None:
    nothing = said("", 0)
    tesseract = Scripted(said("", 0, "tesseract"), said("", 0, "tesseract"))
    reading, _, tried = chosen(Scripted(nothing, nothing), tesseract)
    assert reading is None
    assert len(tried) == 4


def test_an_engine_that_was_asked_for_is_the_only_one() -> None:
    _, reason, tried = chosen(Scripted(), Scripted(said("good", 0.95, "tesseract")), Options(engine="tesseract"))
    assert (reason, tried) == ("asked for", ["tesseract"])
    _, _, tried = chosen(Scripted(said("dim", 0.6), said("dim", 0.5)), Scripted(), Options(engine="rapidocr"))
    assert tried == ["rapidocr", "rapidocr"]
    with pytest.raises(Unreadable) as refused:
        chosen(Scripted(), None, Options(engine="tesseract"))
    assert refused.value.kind == "no_engine"
    assert "make install-ocr" in refused.value.message
