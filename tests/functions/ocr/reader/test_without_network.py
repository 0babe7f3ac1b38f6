"""Recognition never reaches for the network, not even when it is loaded for the first time."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import socket, sys

def refused(*arguments, **more):
    raise AssertionError(f"the network was used: {arguments}")

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refused)
socket.getaddrinfo = refused
socket.create_connection = refused

from functions.ocr import reader
from functions.ocr.options import Options
from shared.settings import ReaderSettings
from tests.functions.ocr.reader.documents import LINES, stored, written

settings = ReaderSettings(ocr_threads=1)
data = stored(written(LINES[:1], paper=(640, 110), at=(20, 30)))
for engine in ("rapidocr", "tesseract"):
    print(reader.read(data, options=Options(engine=engine), settings=settings).text)
"""


def test_a_first_reading_in_a_new_process_uses_no_network() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["The harbour office counted seven wooden boxes"] * 2
