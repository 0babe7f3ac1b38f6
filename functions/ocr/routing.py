"""Which engine reads a document: what was asked for, in the words of the old system too, mapped to what there is.

The old system knew seven engines by name and could run three. Its order of choice is kept; each name becomes what comes
nearest here, and the decision says so. A name that was demanded outright and has nothing like it here is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from shared.errors import Invalid
from shared.models.ocr import Hints, Routing

Engine = Literal["auto", "rapidocr", "tesseract", "text_layer"]

#: Slower than this (in milliseconds) the old system took its local engine for.
PATIENCE_MS = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """What stands for a name."""

    engine: Engine
    says: str


#: Every name that is understood.
KNOWN: dict[str, Known] = {
    "auto": Known("auto", "a page's own text where it is sound, else rapidocr, with tesseract where that is unsure"),
    "rapidocr": Known("rapidocr", "rapidocr was asked for"),
    "tesseract": Known("tesseract", "tesseract was asked for"),
    "text_layer": Known("text_layer", "only the text that the document carries was asked for"),
    "paddleocr": Known("rapidocr", "paddleocr's models are run by rapidocr"),
    "doctr": Known("auto", "doctr is not here; rapidocr reads tables as rows and cells"),
    "omniparser": Known("auto", "omniparser is not here; rapidocr gives pages, tables and fields as JSON"),
    "easyocr": Known("auto", "easyocr is not here, nor is any engine made for handwriting; rapidocr tries"),
}

#: Engines of others, for which no key and no client is here: hints make this of them, outright they are refused.
ELSEWHERE: dict[str, Known] = {
    "google_vision": Known(
        "auto", "google_vision is not here: no key and no client; long documents are read in parallel"
    ),
}


def route(engine: str | None, hints: Hints) -> Routing:
    """The decision. Raises :class:`Invalid` for an engine that nobody knows, or that only others have."""
    if engine is not None:
        name = engine.strip().lower().replace("-", "_")
        if name in ELSEWHERE:
            raise _refused(f"The engine {name} is not here: it has no key and no client in this installation.")
        if name not in KNOWN:
            raise _refused(f"There is no engine {engine[:100]!r}.")
        return Routing(asked=name, engine=KNOWN[name].engine, reason=KNOWN[name].says)
    old, because = _chosen(hints)
    if old is None:
        return Routing(asked=None, engine="auto", reason=KNOWN["auto"].says)
    known = KNOWN.get(old) or ELSEWHERE[old]
    return Routing(asked=old, engine=known.engine, reason=f"{because}: {known.says}")


def _chosen(hints: Hints) -> tuple[str | None, str]:
    """What the old system would have chosen, in its order, and by what."""
    if hints.structured_json_required:
        return "omniparser", "structured JSON is required"
    if hints.layout is not None and hints.layout.strip().lower() == "table":
        return "doctr", "the layout is a table"
    if hints.handwriting_detected:
        return "easyocr", "handwriting was detected"
    if hints.heavy_pdf_or_image:
        return "google_vision", "the document is heavy"
    if hints.region is not None and hints.region.strip().upper() == "EU":
        return "paddleocr", "the region is the EU"
    if hints.latency_ms is not None and hints.latency_ms > PATIENCE_MS:
        return "paddleocr", f"{PATIENCE_MS} ms may be exceeded"
    return None, ""


def wishes(input_: dict[str, Any]) -> Routing:
    """The decision for a job's input."""
    asked = input_.get("asked") or {}
    return route(asked.get("engine"), Hints.model_validate(asked.get("metadata") or {}))


def _refused(detail: str) -> Invalid:
    return Invalid(
        detail,
        remedy="Leave `engine` out, or name one of: " + ", ".join(sorted(KNOWN)) + ".",
        errors=[{"path": "engine", "message": "is not here"}],
    )
