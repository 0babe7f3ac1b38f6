"""All that a WebAssembly program can ask of us: WASI preview 1, without a host behind it.

Output goes to the run, files to the run's ``Folder``, time and randomness are what the request declares; there are no
sockets, processes or links. wasmtime's own WASI is not used: it works on the host's files and clocks, and a sleep in it
cannot be bounded. Layouts and numbers: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Protocol

from wasmtime import Caller, FuncType, Linker, Module, ValType

from functions.code_sandbox.bounds import Exit
from functions.code_sandbox.folder import Folder, FolderError
from functions.code_sandbox.machine import BadPointer, Memory, Time

OK, BAD_FD, FAULT, INVALID, NOT_HERE, NO_SEEK = 0, 8, 21, 28, 52, 70
CHARACTERS = 2  #: the file type of a stream
STDIN, STDOUT, STDERR = 0, 1, 2
_CLOCK = 0  #: the kind of an event
_ABSOLUTE = 1  #: a flag of a subscription to a clock
MAX_EVENTS = 64
#: Of one write, so that no more than this is copied out of the program: above every ceiling in ``Limits``.
MOST_SAID = 5 * 1024 * 1024
_RANDOM = 64 * 1024


class Program(Protocol):
    """Who hears what the program says."""

    def output(self, stream: int, data: bytes) -> None: ...

    def report(self, data: bytes) -> None: ...


class Streams:
    """WASI without files: arguments, the standard streams, clocks, randomness and the end.

    ``receive`` is called when the program first reads its standard input, and calls ``begin``.
    """

    def __init__(self, arguments: Sequence[bytes] = (), receive: Callable[[], None] | None = None) -> None:
        self.memory = Memory()
        self.receive = receive
        self.time = Time(fixed=0.0, seed=0)  # before there is a run, nothing differs from one start to the next
        self.program: Program | None = None
        self._arguments = [argument + b"\0" for argument in arguments]
        self._input = memoryview(b"")

    def begin(self, program: Program, time: Time, folder: Folder, data: bytes = b"") -> None:
        """Give the program its run; ``data`` is its standard input."""
        self.receive = None
        self.program, self.time, self._input = program, time, memoryview(data)

    def define(self, linker: Linker, module: Module) -> None:
        """Define all of WASI that ``module`` imports; what there is no method for is refused when it is called."""
        for wanted in module.imports:
            if wanted.module == "wasi_snapshot_preview1" and isinstance(wanted.type, FuncType):
                function = getattr(self, str(wanted.name), _absent)
                self.define_one(linker, wanted.module, str(wanted.name), wanted.type, function)

    def define_one(
        self, linker: Linker, module: str, name: str, kind: FuncType, function: Callable[..., int | None]
    ) -> None:
        """Define one import: 32-bit numbers arrive unsigned, and what is wrong with them becomes the answer."""
        masks = [0xFFFF_FFFF if kind == ValType.i32() else -1 for kind in kind.params]

        def call(caller: Caller, *arguments: int) -> int | None:
            before, self.memory.caller = self.memory.caller, caller
            try:
                return function(*[argument & mask for argument, mask in zip(arguments, masks, strict=True)])
            except BadPointer:
                return FAULT
            except FolderError as error:
                return error.number
            finally:
                self.memory.caller = before

        linker.define_func(module, name, kind, call, access_caller=True)

    # --- arguments, and an environment that is empty

    def args_sizes_get(self, count: int, size: int) -> int:
        return self._sizes(self._arguments, count, size)

    def args_get(self, pointers: int, buffer: int) -> int:
        for index, argument in enumerate(self._arguments):
            self.memory.write(pointers + 4 * index, struct.pack("<I", buffer))
            self.memory.write(buffer, argument)
            buffer += len(argument)
        return OK

    def environ_sizes_get(self, count: int, size: int) -> int:
        return self._sizes([], count, size)

    def environ_get(self, pointers: int, buffer: int) -> int:
        return OK

    def _sizes(self, items: Sequence[bytes], count: int, size: int) -> int:
        self.memory.write(count, struct.pack("<I", len(items)))
        self.memory.write(size, struct.pack("<I", sum(map(len, items))))
        return OK

    # --- time, randomness, the end

    def clock_res_get(self, clock: int, to: int) -> int:
        self.memory.write(to, struct.pack("<Q", 1_000_000))
        return OK

    def clock_time_get(self, clock: int, precision: int, to: int) -> int:
        self.memory.write(to, struct.pack("<Q", self.time.read(clock)))
        return OK

    def random_get(self, to: int, size: int) -> int:
        for at in range(0, size, _RANDOM):
            self.memory.write(to + at, self.time.random(min(_RANDOM, size - at)))
        return OK

    def poll_oneoff(self, wanted: int, events: int, count: int, to: int) -> int:
        """Sleep until the first of the clocks; streams and files are always ready."""
        if not 0 < count <= MAX_EVENTS:
            return INVALID
        ready: list[tuple[int, int]] = []
        clocks: list[tuple[int, int]] = []  # how long still, and whose
        for index in range(count):
            user, kind, clock, timeout, _, flags = struct.unpack(
                "<QB7xI4xQQH6x", self.memory.read(wanted + 48 * index, 48)
            )
            if kind != _CLOCK:
                ready.append((user, kind))
            else:
                clocks.append((max(0, timeout - self.time.read(clock)) if flags & _ABSOLUTE else timeout, user))
        if not ready:
            until, user = min(clocks)
            self.time.sleep(until)
            ready.append((user, _CLOCK))
        for index, (user, kind) in enumerate(ready):
            self.memory.write(events + 32 * index, struct.pack("<QHB5xQH6x", user, OK, kind, 0, 0))
        self.memory.write(to, struct.pack("<I", len(ready)))
        return OK

    def sched_yield(self) -> int:
        return OK

    def proc_exit(self, code: int) -> None:
        raise Exit(code)

    # --- the standard streams

    def fd_write(self, fd: int, vectors: int, count: int, to: int) -> int:
        if fd not in (STDOUT, STDERR):
            return BAD_FD
        written = 0
        for at, size in self.memory.buffers(vectors, count):
            self._say(fd, self.memory.read(at, min(size, MOST_SAID)))
            written += size
        self.memory.write(to, struct.pack("<I", written))
        return OK

    def _say(self, stream: int, data: bytes) -> None:
        if self.program is not None and data:
            self.program.output(stream, data)

    def fd_read(self, fd: int, vectors: int, count: int, to: int) -> int:
        if fd != STDIN:
            return BAD_FD
        if self.receive is not None:
            self.receive()
        taken = 0
        for at, size in self.memory.buffers(vectors, count):
            part = self._input[:size]
            self.memory.write(at, bytes(part))
            self._input = self._input[size:]
            taken += len(part)
        self.memory.write(to, struct.pack("<I", taken))
        return OK

    def fd_seek(self, fd: int, offset: int, whence: int, to: int) -> int:
        return NO_SEEK if fd <= STDERR else BAD_FD

    def fd_close(self, fd: int) -> int:
        return OK if fd <= STDERR else BAD_FD

    def fd_fdstat_get(self, fd: int, to: int) -> int:
        if fd > STDERR:
            return BAD_FD
        self.stat_of_descriptor(to, CHARACTERS, 0, 1 << 1 | 1 << 6)
        return OK

    def stat_of_descriptor(self, to: int, kind: int, flags: int, rights: int) -> None:
        self.memory.write(to, struct.pack("<BxHxxxxQQ", kind, flags, rights, rights))


def _absent(*_: int) -> int:
    return NOT_HERE
