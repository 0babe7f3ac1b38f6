"""Files of JSON lines that may be interrupted: written under another name until they are whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import Conflict

_CHUNK = 1024 * 1024


class Lines:
    """One file of JSON lines, appended to.

    What a process that died left is taken up again: a last line that is not whole is cut off, and :attr:`last` is the
    one before it. Files are for their owner's eyes only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draft = path.with_name(f"{path.name}.part")

    @property
    def complete(self) -> bool:
        return self.path.exists()

    @property
    def last(self) -> dict[str, Any] | None:
        """The last whole line of what is there so far; None when there is none."""
        if not self._draft.exists():
            return None
        end = self._whole()
        os.truncate(self._draft, end)
        if end == 0:
            return None
        with self._draft.open("rb") as file:
            line = _last_line(file.fileno(), end)
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            raise Conflict(f"{self._draft} is damaged.", remedy="Delete that file and run the export again.") from None
        return found

    @contextmanager
    def appending(self) -> Iterator[_Appender]:
        """The file is whole, and has its name, when the block ends well."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            yield _Appender(file)
            file.flush()
            os.fsync(file.fileno())
        self._draft.replace(self.path)

    def measure(self) -> tuple[int, str]:
        """How many lines the whole file has, and its SHA-256 in hex."""
        lines, digest = 0, hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                lines += chunk.count(b"\n")
                digest.update(chunk)
        return lines, digest.hexdigest()

    def _whole(self) -> int:
        """Where the last whole line ends."""
        size = self._draft.stat().st_size
        with self._draft.open("rb") as file:
            position = size
            while position > 0:
                start = max(0, position - _CHUNK)
                file.seek(start)
                found = file.read(position - start).rfind(b"\n")
                if found >= 0:
                    return start + found + 1
                position = start
        return 0


class _Appender:
    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, line: str) -> None:
        """One line of JSON, without its end."""
        self._file.write(line.encode() + b"\n")

    def flush(self) -> None:
        self._file.flush()


def _last_line(descriptor: int, end: int) -> bytes:
    """The line that ends at ``end``."""
    tail, position = b"", end - 1
    while position > 0:
        start = max(0, position - _CHUNK)
        tail = os.pread(descriptor, position - start, start) + tail
        if (found := tail.rfind(b"\n")) >= 0:
            return tail[found + 1 :]
        position = start
    return tail


def write_whole(path: Path, data: bytes) -> None:
    """``data`` at ``path``, whole or not at all, for its owner's eyes only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
