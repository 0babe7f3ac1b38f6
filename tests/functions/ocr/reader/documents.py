"""Documents that the tests make themselves: pictures with Pillow's own font, PDFs by hand with Helvetica."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

#: Ten lines in one hand, as they are read when all goes well.
LINES = (
    "The harbour office counted seven wooden boxes",
    "before the night shift had signed the papers.",
    "Every second visitor asked for the old garden",
    "and nobody knew who had painted the kitchen.",
    "A small company ordered paper, glue and wire",
    "for 1,234.50 from the mill behind the river.",
)


def written(
    lines: Sequence[str] = LINES,
    *,
    size: int = 22,
    paper: tuple[int, int] = (640, 320),
    ink: str | tuple[int, ...] = "black",
    ground: str | tuple[int, ...] = "white",
    mode: str = "RGB",
    at: tuple[int, int] = (40, 45),
    picture: Image.Image | None = None,
) -> Image.Image:
    """A picture of lines one under the other."""
    picture = picture or Image.new(mode, paper, ground)
    draw = ImageDraw.Draw(picture)
    for index, line in enumerate(lines):
        draw.text((at[0], at[1] + index * 1.7 * size), line, font=ImageFont.load_default(size), fill=ink)
    return picture


def stored(picture: Image.Image, format_: str = "PNG", **how: object) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    picture.save(file, format_, **how)
    return file.getvalue()


def pdf(
    *contents: bytes,
    rotate: int = 0,
    box: str = "0 0 612 792",
    fonts: Sequence[bytes] = (),
    extra: Sequence[bytes] = (),
    annotations: bytes = b"",
) -> bytes:
    """A PDF with one page per content stream; font F1 is Helvetica unless given. ``extra``: objects from number 10.

    ``annotations``: references to those that lie on every page, as form fields.
    """
    form = b" /AcroForm << /Fields [%s] >>" % annotations if annotations else b""
    objects: dict[int, bytes] = {1: b"<< /Type /Catalog /Pages 2 0 R%s >>" % form}
    objects[5] = fonts[0] if fonts else b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    for index, body in enumerate(extra):
        objects[10 + index] = body
    first = 100
    for index, content in enumerate(contents):
        objects[first + 2 * index] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Rotate %d /Contents %d 0 R"
            b" /Annots [%s] /Resources << /Font << /F1 5 0 R >> /XObject << /I1 10 0 R >> >> >>"
            % (box.encode(), rotate, first + 2 * index + 1, annotations)
        )
        objects[first + 2 * index + 1] = stream(content)
    kids = b" ".join(b"%d 0 R" % (first + 2 * index) for index in range(len(contents)))
    objects[2] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(contents))
    return _assembled(objects)


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def image_object(width: int, height: int, grey: bytes) -> bytes:
    """An image XObject of eight-bit grey."""
    packed = zlib.compress(grey)
    return stream(
        packed,
        b"/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8"
        b" /Filter /FlateDecode" % (width, height),
    )


def text(lines: Sequence[str], x: float = 72, y: float = 700, size: float = 12, leading: float = 15) -> bytes:
    """Operators that set lines one under the other."""
    out = [f"BT /F1 {size} Tf {leading} TL {x} {y} Td"]
    for line in lines:
        escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        out.append(f"({escaped}) Tj T*")
    return ("\n".join(out) + " ET\n").encode()


def _assembled(objects: dict[int, bytes]) -> bytes:
    out = b"%PDF-1.4\n"
    table = []
    for number, body in sorted(objects.items()):
        table.append((number, len(out)))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    out += b"".join(b"%d 1\n%010d 00000 n \n" % entry for entry in table)
    return out + b"trailer << /Size 100000 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


def encrypted_pdf() -> bytes:
    """A PDF whose standard security handler asks for a password: the keys in it fit no empty one."""
    plain = pdf(text(LINES))
    keys = b"<< /Filter /Standard /V 1 /R 2 /P -44 /O <%s> /U <%s> >>" % (b"28" * 32, b"41" * 32)
    body, _, trailer = plain.rpartition(b"trailer << ")
    return body + b"trailer << /ID [<00><00>] /Encrypt " + keys + b" " + trailer
