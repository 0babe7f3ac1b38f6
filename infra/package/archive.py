"""A zip whose bytes depend on nothing but the names and contents of its files."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

#: The least time that the format knows. Lambda does not look at it.
EPOCH = (1980, 1, 1, 0, 0, 0)
_LEVEL = 6  # level 9 takes three times as long for half a per cent
_UNIX = 3
#: Lambda runs as a user of its own, so everybody must be allowed to read.
_FILE, _LIBRARY = 0o100644, 0o100755


def write(path: Path, files: Mapping[str, Path]) -> str:
    """Write ``files`` (name in the zip to source) to ``path``, whole or not at all; the SHA-256 in hexadecimal."""
    draft = path.with_suffix(".zip.part")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = _UNIX
            entry.external_attr = (_LIBRARY if ".so" in Path(name).suffixes else _FILE) << 16
            archive.writestr(entry, files[name].read_bytes())
    draft.replace(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(path: Path, folder: Path) -> None:
    """The zip's files in ``folder``, with their modes as Lambda sets them."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            made = Path(archive.extract(entry, folder))
            made.chmod((entry.external_attr >> 16) & 0o777)
