"""The process that runs programs: started once per language, it prepares an interpreter and then forks for each run.

It is started with an empty environment, has no secret and opens nothing on its own. The parent asks over the control
socket for one fresh process at a time and hands over two descriptors: the socket of the run, and a pipe on which is
told how the process ended. A process is used for one run. Where ``fork`` is of no use (``fresh="spawn"``), the
process that was started serves that one run itself.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol

from wasmtime import Config, Engine, Module, Store, Trap, TrapCode

from functions.code_sandbox import frames, hardening
from functions.code_sandbox.bounds import Exceeded, Exit
from functions.code_sandbox.folder import Folder, FolderError
from functions.code_sandbox.machine import Time

STATUS = struct.Struct("<idd")  #: wait status, CPU seconds of user and of system
_BELOW_ZERO = 0xFFF0_0000
_ERROR_BYTES = 64 * 1024  #: the report of an error may take this, however small a result must be
_STREAMS = {1: frames.STDOUT, 2: frames.STDERR}


class Run:
    """One run, seen from its process: what was asked for, and what is told."""

    def __init__(self, connection: socket.socket, request: dict[str, Any]) -> None:
        self.request = request
        self.limits: dict[str, Any] = request["limits"]
        self.time = Time(request["clock"], request["seed"])
        self.folder = Folder(self.limits["files"], self.limits["file_bytes"])
        self.folder.fill({file["path"]: base64.b64decode(file["content"]) for file in request["files"]})
        self.memory_bytes = 0
        self._connection = connection
        self._said = 0
        self._report = bytearray()
        self._started = _cpu_seconds()

    def output(self, stream: int, data: bytes) -> None:
        """Hand on what is printed, at once, so that it is known also of a run that is killed."""
        room = self.limits["output_bytes"] - self._said
        self._said += len(data)
        if room > 0:
            self._send(_STREAMS[stream], data[:room])
        if len(data) > room:
            raise Exceeded("output", f"more than {self.limits['output_bytes']} bytes were printed")

    def report(self, data: bytes) -> None:
        """Keep the program's words about its result for the end."""
        if len(self._report) + len(data) > max(self.limits["result_bytes"], _ERROR_BYTES) + 1:
            raise Exceeded("result", f"the result is larger than {self.limits['result_bytes']} bytes")
        self._report += data

    def end(self, how: dict[str, Any]) -> None:
        """Tell all that is known at the end."""
        self._send(frames.REPORT, bytes(self._report))
        for path, content in self.folder.artifacts():
            name = path.encode()
            self._send(frames.ARTIFACT, frames.NAME.pack(len(name)) + name + content)
        used = {"cpu_seconds": _cpu_seconds() - self._started, "memory_bytes": self.memory_bytes, "said": self._said}
        self._send(frames.DONE, json.dumps(how | used).encode())

    def _send(self, kind: bytes, data: bytes) -> None:
        self._connection.sendall(frames.pack(kind, data))


class Guest(Protocol):
    """An interpreter: ready before there is a run, then given one."""

    def serve(self, wait: Callable[[], Run]) -> None:
        """Make ready, call ``wait`` once, run what it gives to the end. Raises what ends a run."""

    def memory_bytes(self) -> int:
        """How large the program's memory is."""


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(language: str, module: str, control: int, fresh: str) -> NoReturn:
    """Serve until the parent goes. ``module`` is the compiled interpreter."""
    engine = Engine(configuration())
    store = Store(engine)
    loaded = Module.deserialize_file(engine, module)
    guest = _guest(language, store, loaded)
    nursery = Nursery(socket.socket(fileno=control), fresh)
    how: dict[str, Any]
    try:
        guest.serve(nursery.wait)
        how = {"ended": "exit", "code": 0}
    except Exit as end:
        how = {"ended": "exit", "code": end.code}
    except Exceeded as end:
        how = {"ended": "limit", "limit": end.limit, "message": str(end)}
    except Trap as trap:
        how = {"ended": "trap", "overflow": _overflowed(trap), "message": _first_line(trap)}
    except Exception as error:  # whatever it is, the program brought it about: it is this run's failure, and is told
        how = {"ended": "trap", "overflow": False, "message": f"{type(error).__name__}: {_first_line(error)}"}
    run = nursery.run
    if run is None:  # it never became ready: the parent reads why from our standard error
        print(json.dumps(how), file=sys.stderr)  # noqa: T201
        os._exit(1)
    run.memory_bytes = guest.memory_bytes()
    with contextlib.suppress(OSError):  # the parent has gone: nobody is interested any more
        run.end(how)
    os._exit(0)


def configuration() -> Config:
    """How the interpreters are compiled and loaded: the same for both, or what was compiled is refused."""
    config = Config()
    config.max_wasm_stack = 2 * 1024 * 1024
    config.parallel_compilation = True
    return config


def _guest(language: str, store: Store, module: Module) -> Guest:
    if language == "python":
        from functions.code_sandbox.python import Python

        return Python(store, module)
    from functions.code_sandbox.javascript import JavaScript

    return JavaScript(store, module)


def _overflowed(trap: Trap) -> bool:
    """Whether calls inside each other filled a stack.

    There are two: wasmtime's own, and the program's in its memory. That one lies lowest and grows down, so that its end
    is an access just below zero, which is the top of what 32 bits can name.
    """
    if trap.trap_code == TrapCode.MEMORY_OUT_OF_BOUNDS:
        found = re.search(r"at wasm address 0x([0-9a-f]+)", str(trap))
        return found is not None and int(found[1], 16) >= _BELOW_ZERO
    return trap.trap_code == TrapCode.STACK_OVERFLOW


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "wasm trap" in line), lines[0] if lines else type(error).__name__)[:500]


class Nursery:
    """Waits for the parent's wishes and gives each a process."""

    def __init__(self, control: socket.socket, fresh: str) -> None:
        self.run: Run | None = None
        self._control = control
        self._fresh = fresh
        self._children: dict[int, tuple[int, int]] = {}  # descriptor of a process: its id, where its end is told

    def wait(self) -> Run:
        """Serve the parent; return in each new process, with its run."""
        gc.collect()
        gc.freeze()  # what is here already stays, and is not copied into each process by being looked at
        while True:
            watched = [self._control.fileno(), *self._children]
            ready = select.poll()
            for descriptor in watched:
                ready.register(descriptor, select.POLLIN)
            for descriptor, _ in ready.poll():
                if descriptor in self._children:
                    self._bury(descriptor)
                elif (connection := self._wish()) is not None:
                    self.run = self._begin(connection)
                    return self.run

    def _wish(self) -> socket.socket | None:
        """Take one wish; in the new process, the socket of its run."""
        data, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if not data:
            os._exit(0)  # the parent has gone
        connection, *rest = descriptors
        if self._fresh == "spawn":
            return socket.socket(fileno=connection)
        (status,) = rest
        child = os.fork()
        if child == 0:
            for descriptor, (_, other) in self._children.items():
                os.close(descriptor)
                os.close(other)
            os.close(status)
            self._control.close()
            return socket.socket(fileno=connection)
        os.close(connection)
        self._children[os.pidfd_open(child)] = (child, status)
        return None

    def _bury(self, descriptor: int) -> None:
        child, status = self._children.pop(descriptor)
        _, code, used = os.wait4(child, 0)
        with contextlib.suppress(OSError):  # nobody wants to know any more
            os.write(status, STATUS.pack(code, used.ru_utime, used.ru_stime))
        os.close(status)
        os.close(descriptor)

    def _begin(self, connection: socket.socket) -> Run:
        """Shut this process in, say hello, and read the request."""
        shut = hardening.shut_in(connection.fileno(), forked=self._fresh == "fork")
        hello = json.dumps({"pid": os.getpid(), "layers": shut}).encode()
        connection.sendall(frames.pack(frames.HELLO, hello))
        frame = frames.receive_frame(connection)
        if frame is None:
            os._exit(0)
        try:
            return Run(connection, json.loads(frame[1]))
        except FolderError:
            how = {"ended": "limit", "limit": "files", "message": "the files given contradict each other"}
        except Exceeded as error:
            how = {"ended": "limit", "limit": error.limit, "message": str(error)}
        connection.sendall(frames.pack(frames.DONE, json.dumps(how).encode()))
        os._exit(0)


def start(arguments: list[str]) -> NoReturn:
    """The command: language, compiled module, descriptor of the control socket, how processes are made."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    language, module, control, fresh = arguments
    main(language, str(Path(module)), int(control), fresh)
