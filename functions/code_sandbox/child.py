"""The sandbox's processes, seen from the parent: starting the one that forks, and having a fresh one for a run."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from functions.code_sandbox import frames
from shared.errors import Unavailable

READY_SECONDS = 30.0  #: for an interpreter to start on a machine that does everything else too
_STATUS = struct.Struct("<idd")  #: as in ``process``, which the parent does not import: it brings wasmtime along
_ROOT = Path(__file__).parents[2]
_COMMAND = (
    "import sys; sys.path[:0] = sys.argv[1:3]; from functions.code_sandbox.process import start; start(sys.argv[3:])"
)


class NotReady(Exception):
    """The process did not start; the message is what it said."""


@dataclass
class Ended:
    """How a process ended."""

    signal: int | None
    cpu_seconds: float


@dataclass
class Child:
    """A fresh process, waiting for its run."""

    connection: socket.socket
    status: int | None  #: the descriptor on which its end is told
    process: subprocess.Popen[bytes] | None = None  #: where it is our own child
    layers: tuple[str, ...] = ()
    _handle: int | None = field(default=None, repr=False)

    def greet(self) -> None:
        """Wait until it is ready. Raises :class:`NotReady`."""
        self.connection.settimeout(READY_SECONDS)
        try:
            frame = frames.receive_frame(self.connection)
        except OSError as error:
            raise NotReady(str(error)) from None
        if frame is None or frame[0] != frames.HELLO:
            raise NotReady("it ended")
        hello = json.loads(frame[1])
        self.layers = tuple(hello["layers"])
        if self.process is None:
            self._hold(hello["pid"])

    def _hold(self, pid: int) -> None:
        """Get hold of the process itself, as numbers are used again. Raises :class:`NotReady` if it ended meanwhile."""
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            raise NotReady("it was ended") from None
        if select.select([self._handle], [], [], 0)[0]:
            raise NotReady("it was ended")

    def kill(self) -> None:
        """End it now, wherever it is."""
        with contextlib.suppress(ProcessLookupError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            elif self.process is not None:
                self.process.kill()

    def ended(self, seconds: float) -> Ended | None:
        """How it ended, if it does within ``seconds``."""
        if self.process is not None:
            _, code, used = os.wait4(self.process.pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(code)
            return Ended(os.WTERMSIG(code) if os.WIFSIGNALED(code) else None, used.ru_utime + used.ru_stime)
        if self.status is None or not select.select([self.status], [], [], seconds)[0]:
            return None
        told = os.read(self.status, _STATUS.size)
        if len(told) != _STATUS.size:
            return None
        code, user, system = _STATUS.unpack(told)
        return Ended(os.WTERMSIG(code) if os.WIFSIGNALED(code) else None, user + system)

    def close(self) -> None:
        """End it, if it has not ended, and forget it."""
        self.kill()
        self.connection.close()
        for descriptor in (self.status, self._handle):
            if descriptor is not None:
                os.close(descriptor)
        self.status = self._handle = None
        if self.process is not None and self.process.returncode is None:
            self.process.wait()


class Nursery:
    """A prepared interpreter in a process, from which fresh ones are forked; one call at a time."""

    def __init__(self, language: str, module: Path) -> None:
        self._process, self._control = launch(language, module, "fork")

    def fresh(self) -> Child:
        """Ask for one more process. Raises :class:`NotReady`."""
        ours, theirs = socket.socketpair()
        told, tells = os.pipe()
        try:
            with theirs:
                socket.send_fds(self._control, [b"+"], [theirs.fileno(), tells])
        except OSError:
            ours.close()
            os.close(told)
            raise NotReady(self.last_words()) from None
        finally:
            os.close(tells)
        return Child(ours, told)

    def alive(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        """What it said before it ended; ends it."""
        self._control.close()
        try:
            _, said = self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        return said.decode("utf-8", "replace").strip()[-1000:] or "it ended without a word"

    def close(self) -> None:
        """End it; those that are idle end with it."""
        self.last_words()


def spawn(language: str, module: Path) -> Child:
    """A fresh process without forking: slower, and the same everywhere."""
    process, control = launch(language, module, "spawn")
    ours, theirs = socket.socketpair()
    with theirs, control:
        socket.send_fds(control, [b"+"], [theirs.fileno()])
    return Child(ours, None, process)


def launch(language: str, module: Path, fresh: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process with nothing of ours: no environment, no descriptor but the control socket."""
    found = importlib.util.find_spec("wasmtime")
    if found is None or found.origin is None:
        raise Unavailable("wasmtime is not installed here.", remedy="Run `make install-code`.")
    ours, theirs = socket.socketpair()
    arguments = [str(_ROOT), str(Path(found.origin).parents[1]), language, str(module), str(theirs.fileno()), fresh]
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", _COMMAND, *arguments],
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if fresh == "fork" else subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    return process, ours


def _environment() -> dict[str, str]:
    """Nothing, but where this machine's Python finds its own library (Lambda's), if that is said so."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
