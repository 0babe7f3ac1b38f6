"""Zips whose bytes depend on nothing but the names and contents of their files.

Packages of one service share most of their files. :class:`Archiver` deflates each content once, which ``zipfile`` has
no way to do, and most of a build's time is spent on that. Format: PKWARE's APPNOTE.TXT, without zip64, which nothing
that Lambda accepts would need.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import zipfile
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import IO, NamedTuple

_LEVEL = 6  # level 9 takes three times as long for half a per cent
_DEFLATED, _VERSION, _UTF8 = 8, 20, 0x800
_TIME, _DATE = 0, 1 << 5 | 1  # 1 January 1980, the least that the format knows; Lambda does not look at it
_MADE_BY = 3 << 8 | _VERSION  # Unix: the attributes are a mode
#: Lambda runs functions as a user of its own, so everybody must be allowed to read.
_FILE, _LIBRARY = 0o100644, 0o100755

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")


class _Member(NamedTuple):
    """One content as it stands in a zip."""

    deflated: bytes
    crc: int
    size: int


class Archiver:
    """Writes zips; contents that several have in common are deflated once. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[bytes, Future[_Member]] = {}

    def write(self, path: Path, files: Mapping[str, Path]) -> str:
        """Write ``files`` (name in the zip to source) to ``path``; the zip's SHA-256 in hexadecimal."""
        with path.open("w+b") as out:
            central = b"".join(self._add(out, name, files[name]) for name in sorted(files))
            start = out.tell()
            out.write(central)
            out.write(_END.pack(b"PK\5\6", 0, 0, len(files), len(files), len(central), start, 0))
            out.seek(0)
            return hashlib.file_digest(out, "sha256").hexdigest()

    def _add(self, out: IO[bytes], name: str, source: Path) -> bytes:
        """Write one member; its entry in the central directory."""
        deflated, crc, size = self._member(source.read_bytes())
        encoded = name.encode()
        flags = 0 if name.isascii() else _UTF8
        start = out.tell()
        common = (flags, _DEFLATED, _TIME, _DATE, crc, len(deflated), size, len(encoded), 0)
        out.write(_LOCAL.pack(b"PK\3\4", _VERSION, *common) + encoded)
        out.write(deflated)
        mode = _LIBRARY if ".so" in source.suffixes else _FILE
        return _CENTRAL.pack(b"PK\1\2", _MADE_BY, _VERSION, *common, 0, 0, 0, mode << 16, start) + encoded

    def _member(self, content: bytes) -> _Member:
        key = hashlib.sha256(content).digest()
        with self._lock:
            known = self._members.get(key)
            mine = self._members[key] = Future() if known is None else known
        if known is None:
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
            mine.set_result(_Member(packer.compress(content) + packer.flush(), zlib.crc32(content), len(content)))
        return mine.result()


def unpack(path: Path, folder: Path) -> None:
    """The zip's files in ``folder``, with their modes as Lambda sets them."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            made = Path(archive.extract(entry, folder))
            made.chmod((entry.external_attr >> 16) & 0o777)
