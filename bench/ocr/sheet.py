"""A page being written: draws text and notes what was drawn, in the order a person reads it."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont
Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)


@dataclass
class Sheet:
    """An image and the text that stands on it."""

    width: int
    height: int
    paper: Colour = WHITE
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image = Image.new("RGB", (self.width, self.height), self.paper)
        self.draw = ImageDraw.Draw(self.image)

    @property
    def text(self) -> str:
        """What was written, one drawn line a line."""
        return "\n".join(self.said)

    def write(
        self, x: float, y: float, text: str, font: Font, ink: Colour = BLACK, *, right: bool = False, said: bool = True
    ) -> float:
        """Draw one line with its top at ``y``, its left (or right) edge at ``x``; its height with leading."""
        self.draw.text((x, y), text, font=font, fill=ink, anchor="ra" if right else "la")
        if said:
            self.said.append(text)
        return height(font)

    def paragraph(self, x: float, y: float, width: float, text: str, font: Font, ink: Colour = BLACK) -> float:
        """Draw ``text`` wrapped to ``width``; where the next line would begin. Stops at the page's foot."""
        for line in wrapped(text, font, width):
            if y + height(font) > self.height - 20:
                break
            y += self.write(x, y, line, font, ink)
        return y


def height(font: Font) -> float:
    """A line's height with leading."""
    return float(font.size) * 1.36


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """``text`` in lines no wider than ``width``."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines
