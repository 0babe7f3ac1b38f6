"""What the stack writes down: one line per request, and whatever the functions print.

``requests.log`` has a line per HTTP request, per batch of a queue and per failed invocation of any kind; each
function's own output goes to ``<function>.log``. Lines are gathered and written a few times a second, so that a line
costs a microsecond on the request's way. A file over its limit is kept once as ``<name>.log.1``.

Whoever watches gets the same lines, the functions' JSON made readable, from a thread of its own and so many at a time:
a terminal that cannot keep up slows nothing down.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TextIO

FLUSH_SECONDS = 0.2
MAX_BYTES = 10 * 1024 * 1024
#: Lines shown per flush; the others are counted.
SHOWN_AT_ONCE = 50

#: Members of the functions' JSON lines that are not repeated in the readable ones.
_KNOWN = frozenset(
    {"timestamp", "level", "message", "location", "faas.name", "faas.invocation_id", "exception", "exception_name"}
)

Echo = Callable[[str], None]


class LogFile:
    """Lines appended to one file, gathered first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[bytes] = []
        self._file = path.open("ab", buffering=0)
        self._bytes = self._file.tell()

    def write(self, text: bytes) -> None:
        """Add ``text`` (its line end included)."""
        self._lines.append(text)

    def flush(self) -> None:
        """Write what was gathered; a full disk loses log lines and nothing else."""
        data, self._lines = b"".join(self._lines), []
        if not data:
            return
        try:
            if self._bytes + len(data) > MAX_BYTES:
                self._file.close()
                self.path.replace(self.path.with_suffix(".log.1"))
                self._file = self.path.open("ab", buffering=0)
                self._bytes = 0
            self._bytes += self._file.write(data)
        except OSError as error:
            print(f"{self.path}: {error}", file=sys.stderr)  # noqa: T201

    def close(self) -> None:
        """Write the rest."""
        self.flush()
        self._file.close()


class Logs:
    """The directory of logs, and the lines for whoever watches."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop, echo: TextIO | Echo | None = None) -> None:
        """``echo`` is a stream or a function that also gets each line of the request log and of the functions."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        self._loop = loop
        self._files: dict[str, LogFile] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._clock = (0, "")
        self._echo: Echo | None = echo if callable(echo) or echo is None else _to_stream(echo)
        self._watcher = ThreadPoolExecutor(1, thread_name_prefix="echo") if echo is not None else None
        self._showing: Future[None] | None = None
        self._shown: list[tuple[str, bytes]] = []  # (function, lines) for the watcher
        self._unshown = 0

    def request(self, what: str, status: int | str, seconds: float, function: str, note: str = "") -> None:
        """``12:00:01 POST /hooks/abc 202 1.8 ms webhook-intake``."""
        self._line(f"{what} {status} {seconds * 1000:.1f} ms {function}{' ' + note if note else ''}")

    def event(self, function: str, text: str) -> None:
        """Something about a function that is not a request: a start, a crash, a kill."""
        self._line(f"{function}: {text}")

    def output(self, function: str, lines: bytes) -> None:
        """What a function printed, whole lines."""
        self._write(function, lines, function)

    def flush(self) -> None:
        """Write everything gathered so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for file in self._files.values():
            file.flush()
        if self._watcher is None or not self._shown:
            return
        if self._showing is None or self._showing.done():
            shown, self._shown = self._shown, []
            unshown, self._unshown = self._unshown, 0
            self._showing = self._watcher.submit(self._show, shown, unshown)
        else:
            self._set_timer()

    def close(self) -> None:
        """Write the rest and close."""
        self.flush()
        for file in self._files.values():
            file.close()
        self._files.clear()
        if self._watcher is not None:
            for _ in range(2):  # what is being shown, then what was gathered meanwhile; a stuck terminal is left alone
                if self._showing is not None:
                    wait([self._showing], 1)
                self.flush()
            self._watcher.shutdown(wait=False)
            if self._timer is not None:
                self._timer.cancel()

    def _line(self, text: str) -> None:
        self._write("requests", f"{self._time()} {printable(text)}\n".encode())

    def _write(self, name: str, lines: bytes, function: str = "") -> None:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = LogFile(self.directory / f"{name}.log")
        file.write(lines)
        if self._echo is not None:
            if len(self._shown) < SHOWN_AT_ONCE:
                self._shown.append((function, lines))
            else:
                self._unshown += lines.count(b"\n")
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self.flush)

    def _show(self, shown: list[tuple[str, bytes]], unshown: int) -> None:
        if self._echo is None:
            return
        for function, lines in shown:
            for line in lines.decode("utf-8", "replace").splitlines():
                for readable in readable_lines(function, line) if function else (line,):
                    self._echo(readable)
        if unshown:
            self._echo(f"… {unshown} lines more, in {self.directory}")

    def _time(self) -> str:
        second = int(time.time())
        if self._clock[0] != second:
            self._clock = (second, time.strftime("%H:%M:%S", time.localtime(second)))
        return self._clock[1]


def printable(text: str) -> str:
    """``text`` on one line, with nothing in it that looks like another line or steers a terminal.

    Paths and messages come from anyone.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def readable_lines(function: str, line: str) -> Iterator[str]:
    """A line that a function printed, for people: what its JSON says, with an exception's lines below it."""
    try:
        said = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or "message" not in said:
        yield f"{function}: {printable(line)}"
        return
    more = " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in said.items()
        if name not in _KNOWN
    )
    level = str(said.get("level", "INFO"))
    yield printable(f"{function}: {level} {said['message']}{' ' + more if more else ''}")
    for frame in str(said.get("exception") or "").splitlines():
        yield f"{function}:   {printable(frame)}"


def _to_stream(stream: TextIO) -> Echo:
    def write(line: str) -> None:
        stream.write(line + "\n")
        stream.flush()

    return write
