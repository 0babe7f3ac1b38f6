"""WebAssembly in a process per run, with processes that are ready before the run comes."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from collections import deque
from pathlib import Path

from functions.code_sandbox import frames, runtimes
from functions.code_sandbox.child import Child, NotReady, Nursery, spawn
from functions.code_sandbox.outcome import Done, Heard, outcome
from shared.errors import Unavailable
from shared.models.code import CodeOutcome, CodeRequest, Language
from shared.telemetry import logger

_GONE_SECONDS = 0.2  #: for what a killed process had said already
_TRIES = 3
_SLACK = 1024 * 1024  #: of what a process may say beside what its run may


class Pool:
    """The backend: ``parallel`` runs at once, ``warm`` idle processes of each language that was used."""

    languages = tuple(Language)

    def __init__(
        self, *, parallel: int = 2, warm: int = 2, fresh: str | None = None, cache: Path | None = None
    ) -> None:
        """``fresh``: ``fork`` from a prepared interpreter, or ``spawn`` anew; ``cache``: a folder for compiled code."""
        self._places = threading.BoundedSemaphore(parallel)
        self._fresh = fresh or ("fork" if _can_hold_processes() else "spawn")
        self._kinds = {language: _Kind(language, warm, self._fresh, cache) for language in Language}

    def run(self, request: CodeRequest) -> CodeOutcome:
        """Run a program; waits for a free place first, which its time does not count."""
        with self._places:
            kind = self._kinds[request.language]
            for _ in range(_TRIES):
                child = kind.take()
                try:
                    return outcome(request, _converse(child, request))
                except NotReady:  # it was ended from outside before it knew what to do
                    logger.warning("a process of the sandbox was ended", extra={"language": request.language})
                finally:
                    child.close()
                    kind.refill()
            raise Unavailable("The processes of the sandbox are being ended.", retry_after=5)

    def prepare(self) -> None:
        """Start what the first run would have to wait for."""
        for kind in self._kinds.values():
            kind.refill()

    def close(self) -> None:
        for kind in self._kinds.values():
            kind.close()


def _can_hold_processes() -> bool:
    """Whether a process that is not our own child can be held and ended for certain (Linux 5.3, and allowed)."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


class _Kind:
    """The processes of one language."""

    def __init__(self, language: Language, warm: int, fresh: str, cache: Path | None) -> None:
        self._language, self._warm, self._fresh, self._cache = language, warm, fresh, cache
        self._lock = threading.Lock()
        self._idle: deque[Child] = deque()
        self._nursery: Nursery | None = None
        self._module = runtimes.compiled(language)
        self._proven = False  # whether what is loaded has served

    def take(self) -> Child:
        """A process that is ready for a run. Raises ``Unavailable``."""
        for _ in range(self._warm + 3):
            child = None
            try:
                with self._lock:
                    child = self._idle.popleft() if self._idle else self._make()
                child.greet()
                if not self._proven:
                    logger.info("the sandbox is up", extra={"language": self._language, "layers": child.layers})
                self._proven = True
                return child
            except NotReady as error:
                if child is not None:
                    child.close()
                self._renew(str(error))
        raise Unavailable("The sandbox does not start.", remedy="Its log says why.", retry_after=5)

    def refill(self) -> None:
        """Have as many idle ones as there should be; they get ready while others run."""
        try:
            with self._lock:
                while len(self._idle) < self._warm:
                    self._idle.append(self._make())
        except NotReady as error:
            self._renew(str(error))

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().close()
            if self._nursery is not None:
                self._nursery.close()
                self._nursery = None

    def _make(self) -> Child:
        if self._module is None:
            logger.info("compiling an interpreter for this machine", extra={"language": self._language})
            self._module = runtimes.compile_to_cache(self._language, self._cache)
        if self._fresh == "spawn":
            return spawn(self._language, self._module)
        if self._nursery is None:
            self._nursery = Nursery(self._language, self._module)
        return self._nursery.fresh()

    def _renew(self, why: str) -> None:
        """After one that did not get ready: start over if what it came from has gone.

        If nothing got ready yet, what was delivered does not fit this machine, and is compiled here.
        """
        with self._lock:
            nursery = self._nursery
            if nursery is not None and nursery.alive():
                return
            self._nursery = None
            said = why if nursery is None else nursery.last_words()
            logger.warning("an interpreter did not start", extra={"language": self._language, "said": said})
            while self._idle:
                self._idle.pop().close()
            if not self._proven and self._module == runtimes.compiled(self._language):
                self._module = None


def _request(request: CodeRequest) -> bytes:
    """The request as its process reads it."""
    limits = request.limits
    return frames.pack(
        frames.REQUEST,
        json.dumps(
            {
                "code": request.code,
                "input": request.input_data,
                "variables": request.variables,
                "files": request.model_dump(mode="json", include={"files"})["files"],
                "clock": request.clock,
                "seed": request.seed,
                "limits": limits.model_dump() | {"memory_bytes": limits.memory_mb * 1024 * 1024},
            }
        ).encode(),
    )


def _converse(child: Child, request: CodeRequest) -> Heard:
    """Give the process its run and listen until it is done, gone or late. Raises :class:`NotReady`."""
    asked = _request(request)
    heard = Heard()
    start = time.monotonic()
    deadline = start + request.limits.wall_seconds
    listener = _Listener(heard, request)
    try:
        _send(child, asked, request.limits.wall_seconds)
        while heard.done is None and not (heard.flooded or heard.confused):
            child.connection.settimeout(max(0.001, deadline - time.monotonic()))
            part = child.connection.recv(1 << 16)
            if not part:
                break
            listener.take(part)
            if heard.done is None and time.monotonic() > deadline:
                raise TimeoutError
    except TimeoutError:
        heard.late = True
    except OSError:  # it has gone; what it said is read below
        pass
    heard.wall_seconds = time.monotonic() - start
    if heard.done is None:
        child.kill()
        _drain(child, listener)
        heard.ended = child.ended(_GONE_SECONDS)
    return heard


def _send(child: Child, asked: bytes, seconds: float) -> None:
    """Hand the request over. Raises :class:`NotReady` when the process is not there any more."""
    child.connection.settimeout(seconds)
    try:
        child.connection.sendall(asked)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise NotReady(str(error)) from None


def _drain(child: Child, listener: _Listener) -> None:
    """Read what a killed process had said before."""
    child.connection.settimeout(_GONE_SECONDS)
    try:
        while part := child.connection.recv(1 << 16):
            listener.take(part)
    except OSError:
        return


class _Listener:
    """Takes frames apart, and counts: what a process says is bounded here as well."""

    def __init__(self, heard: Heard, request: CodeRequest) -> None:
        limits = request.limits
        self._heard = heard
        self._left = limits.output_bytes + limits.result_bytes + limits.file_bytes + 300 * limits.files + _SLACK
        self._output_left = limits.output_bytes
        self._pending = bytearray()

    def take(self, part: bytes) -> None:
        self._left -= len(part)
        if self._left < 0:
            self._heard.flooded = True
            return
        self._pending += part
        while len(self._pending) >= frames.HEADER.size:
            kind, size = frames.HEADER.unpack_from(self._pending)
            end = frames.HEADER.size + size
            if len(self._pending) < end:
                return
            try:
                self._hear(kind, bytes(self._pending[frames.HEADER.size : end]))
            except (ValueError, struct.error):  # not our process's words any more
                self._heard.confused = True
                return
            del self._pending[:end]

    def _hear(self, kind: bytes, payload: bytes) -> None:
        heard = self._heard
        if kind in (frames.STDOUT, frames.STDERR):
            kept = payload[: self._output_left]
            self._output_left -= len(kept)
            (heard.stdout if kind == frames.STDOUT else heard.stderr).extend(kept)
        elif kind == frames.REPORT:
            heard.report = payload
        elif kind == frames.ARTIFACT:
            (size,) = frames.NAME.unpack_from(payload)
            start = frames.NAME.size
            name = payload[start : start + size].decode("utf-8", "replace")
            heard.artifacts.append((name, payload[start + size :]))
        elif kind == frames.DONE:
            heard.done = Done.model_validate_json(payload)
