"""One reader in a process of its own, so that its peak memory is its own.

Takes a page's file and media type per line of standard input as JSON, answers with the text, the seconds and the peak
resident memory so far. `python -m bench.ocr.contender ours|tesseract|rapidocr`
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

#: From a file's bytes and media type to its text.
Read = Callable[[bytes, str], str]


def ours() -> Read:
    """`functions.ocr.reader.read` with its default options: what a job runs, tables and fields included."""
    from functions.ocr import reader

    return lambda data, media_type: reader.read(data, media_type).text


def tesseract() -> Read:
    """Tesseract by itself: the model that ours has too, page segmentation 3, its other defaults."""
    from io import BytesIO

    import tesserocr
    from PIL import Image

    from functions.ocr.engines.tesseract import MODEL

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "eng.traineddata").write_bytes(gzip.decompress(MODEL.read_bytes()))
        api = tesserocr.PyTessBaseAPI(path=folder, lang="eng", psm=tesserocr.PSM.AUTO)

    def read(data: bytes, media_type: str) -> str:
        api.SetImage(Image.open(BytesIO(data)))
        return str(api.GetUTF8Text())

    return read


def rapidocr() -> Read:
    """rapidocr as `RapidOCR()` gives it, lines in its own order."""
    from rapidocr import RapidOCR

    logging.disable(logging.WARNING)
    engine = RapidOCR()
    return lambda data, media_type: "\n".join(engine(data).txts or ())


CONTENDERS: dict[str, Callable[[], Read]] = {"ours": ours, "tesseract": tesseract, "rapidocr": rapidocr}


def peak_memory() -> int:
    """The most bytes that were resident at once in this process (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Read pages until standard input ends. Answers leave by a copy of standard output: libraries chat on the other."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    read = CONTENDERS[sys.argv[1]]()
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        page = json.loads(line)
        data = Path(page["path"]).read_bytes()
        began = time.perf_counter()
        text = read(data, page["media_type"])
        seconds = time.perf_counter() - began
        print(json.dumps({"text": text, "seconds": seconds, "memory": peak_memory()}), file=answers)


if __name__ == "__main__":
    main()
