"""What stands apart on a line: the pieces between wide gaps, which are a table's cells, or a label and its value."""

from __future__ import annotations

from dataclasses import dataclass

from functions.ocr.document import Box, Line, Word
from functions.ocr.layout import enclosing

#: Words farther apart than this many letter sizes stand apart; a space is a third of one.
APART = 0.6


@dataclass(frozen=True, slots=True)
class Segment:
    """Words of one line that stand together."""

    words: tuple[Word, ...]
    size: float  #: of the letters

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def box(self) -> Box:
        return enclosing(word.box for word in self.words)

    @property
    def confidence(self) -> float:
        return min(word.confidence for word in self.words)


def of(line: Line) -> list[Segment]:
    """The segments of a line from left to right. A line whose words are not known is one segment."""
    size = line.size or max(line.box[3] - line.box[1], 1e-6)
    words = [word for word in line.words if word.text.strip()]
    if not words:
        whole = Word(text=line.text, box=line.box, confidence=line.confidence)
        return [Segment((whole,), size)] if line.text.strip() else []
    held = [[words[0]]]
    for word in words[1:]:
        if word.box[0] - held[-1][-1].box[2] > APART * size or word.box[2] < held[-1][0].box[0]:
            held.append([])
        held[-1].append(word)
    return sorted((Segment(tuple(group), size) for group in held), key=lambda segment: segment.box[0])
