"""What the stack writes down: one line per request, and whatever the functions print.

``requests.log`` has a line per HTTP request, per batch of a queue and per failed invocation of any kind; each
function's own output goes to ``<function>.log``. Lines are gathered and written a few times a second, so that a line
costs a microsecond on the request's way. A file over its limit is kept once as ``<name>.log.1``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

FLUSH_SECONDS = 0.2
MAX_BYTES = 10 * 1024 * 1024


class LogFile:
    """Lines appended to one file, gathered for a moment first."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self._loop = loop
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._file = path.open("ab", buffering=0)
        self._bytes = self._file.tell()

    def write(self, text: bytes) -> None:
        """Add ``text`` (its line end included)."""
        self._lines.append(text)
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what was gathered; a full disk loses log lines and nothing else."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data, self._lines = b"".join(self._lines), []
        if not data:
            return
        if self._bytes + len(data) > MAX_BYTES:
            self._file.close()
            self.path.replace(self.path.with_suffix(".log.1"))
            self._file = self.path.open("ab", buffering=0)
            self._bytes = 0
        try:
            self._bytes += self._file.write(data)
        except OSError as error:
            print(f"{self.path}: {error}", file=sys.stderr)  # noqa: T201

    def close(self) -> None:
        """Write the rest."""
        self.flush()
        self._file.close()


class Logs:
    """The directory of logs, and an echo of the readable ones for whoever watches."""

    def __init__(
        self, directory: Path, loop: asyncio.AbstractEventLoop, echo: TextIO | Callable[[str], None] | None = None
    ) -> None:
        """``echo`` is a stream or a function that also gets each line of the request log and of the functions."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        self._loop = loop
        self._files: dict[str, LogFile] = {}
        self._echo = echo
        self._clock = (0, "")

    def request(self, what: str, status: int | str, seconds: float, function: str, note: str = "") -> None:
        """``12:00:01 POST /hooks/abc 202 1.8 ms webhook-intake``."""
        self._line(f"{what} {status} {seconds * 1000:.1f} ms {function}{' ' + note if note else ''}")

    def event(self, function: str, text: str) -> None:
        """Something about a function that is not a request: a start, a crash, a kill."""
        self._line(f"{function}: {text}")

    def output(self, function: str, lines: bytes) -> None:
        """What a function printed, whole lines."""
        self._write(function, lines, prefix=function)

    def flush(self) -> None:
        """Write everything gathered so far."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Write the rest and close."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _line(self, text: str) -> None:
        # Paths and messages come from anyone: a line of theirs must neither look like ours nor steer a terminal.
        if not text.isprintable():
            text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
        self._write("requests", f"{self._time()} {text}\n".encode())

    def _write(self, name: str, lines: bytes, prefix: str = "") -> None:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = LogFile(self.directory / f"{name}.log", self._loop)
        file.write(lines)
        if self._echo is not None:
            for line in lines.decode("utf-8", "replace").splitlines():
                shown = f"{prefix}: {line}" if prefix else line
                if callable(self._echo):
                    self._echo(shown)
                else:
                    self._echo.write(shown + "\n")

    def _time(self) -> str:
        second = int(time.time())
        if self._clock[0] != second:
            self._clock = (second, time.strftime("%H:%M:%S", time.localtime(second)))
        return self._clock[1]
