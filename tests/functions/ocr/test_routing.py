"""Which engine is chosen: the old system's order and names, mapped to what there is, each with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from functions.ocr.routing import route
from shared.errors import Invalid
from shared.models.ocr import Hints


@pytest.mark.parametrize(
    ("hints", "asked", "engine"),
    [
        ({}, None, "auto"),
        ({"structured_json_required": True}, "omniparser", "auto"),
        ({"layout": "table"}, "doctr", "auto"),
        ({"layout": "Table "}, "doctr", "auto"),
        ({"layout": "letter"}, None, "auto"),
        ({"handwriting_detected": True}, "easyocr", "auto"),
        ({"heavy_pdf_or_image": True}, "google_vision", "auto"),
        ({"heavy_pdf": True}, "google_vision", "auto"),
        ({"region": "eu"}, "paddleocr", "rapidocr"),
        ({"latency_ms": 1001}, "paddleocr", "rapidocr"),
        ({"latency_ms": 1000}, None, "auto"),
        ({"region": "US", "whatever": 1}, None, "auto"),
        # the old order
        ({"structured_json_required": True, "layout": "table"}, "omniparser", "auto"),
        ({"layout": "table", "handwriting_detected": True}, "doctr", "auto"),
        ({"handwriting_detected": True, "heavy_pdf": True}, "easyocr", "auto"),
        ({"heavy_pdf": True, "region": "EU"}, "google_vision", "auto"),
    ],
)
def test_hints_choose_as_they_always_did(hints: dict[str, Any], asked: str | None, engine: str) -> None:
    decision = route(None, Hints.model_validate(hints))
    assert (decision.asked, decision.engine) == (asked, engine)
    assert decision.reason


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("auto", "auto"),
        ("rapidocr", "rapidocr"),
        ("Tesseract", "tesseract"),
        ("text-layer", "text_layer"),
        ("paddleocr", "rapidocr"),
        ("doctr", "auto"),
        ("omniparser", "auto"),
        ("easyocr", "auto"),
    ],
)
def test_a_name_goes_before_hints(name: str, engine: str) -> None:
    decision = route(name, Hints(layout="table", region="EU"))
    assert decision.engine == engine


def test_a_name_whose_engine_is_not_here_says_so() -> None:
    for name in ("doctr", "omniparser", "easyocr"):
        assert f"{name} is not here" in route(name, Hints()).reason
    assert "no key" in route(None, Hints(heavy_pdf_or_image=True)).reason


@pytest.mark.parametrize("name", ["google_vision", "Google-Vision", "abacus", "x" * 1000])
def test_what_was_demanded_and_is_not_here_is_refused_with_the_names_that_are(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        route(name, Hints())
    assert "rapidocr" in str(refused.value.remedy)
    assert len(refused.value.detail) < 200
