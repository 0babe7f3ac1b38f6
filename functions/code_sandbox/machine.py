"""What a program is given in place of a machine: its own memory, a declared clock, declared randomness."""

from __future__ import annotations

import ctypes
import random
import secrets
import struct
import time
from dataclasses import dataclass

from wasmtime import Caller
from wasmtime import Memory as WasmMemory

_LONGEST_SLEEP = 61.0  #: seconds; no run is as long


class BadPointer(Exception):
    """The program named memory that it has not got."""


class Memory:
    """A program's memory. Every access is checked here against the memory's present size."""

    def __init__(self) -> None:
        self.caller: Caller | None = None
        self.memory: WasmMemory | None = None

    def _at(self, offset: int, size: int) -> int:
        assert self.caller is not None
        if self.memory is None:
            found = self.caller["memory"]
            assert isinstance(found, WasmMemory)
            self.memory = found
        if offset < 0 or size < 0 or offset + size > self.memory.data_len(self.caller):
            raise BadPointer
        return ctypes.addressof(self.memory.data_ptr(self.caller).contents) + offset

    def read(self, offset: int, size: int) -> bytes:
        return ctypes.string_at(self._at(offset, size), size)

    def write(self, offset: int, data: bytes) -> None:
        ctypes.memmove(self._at(offset, len(data)), data, len(data))

    def u32(self, offset: int) -> int:
        return int.from_bytes(self.read(offset, 4), "little")

    def buffers(self, vectors: int, count: int) -> list[tuple[int, int]]:
        """An array of iovec: where each part is, and its size."""
        if count > 1024:
            raise BadPointer
        flat = struct.unpack(f"<{2 * count}I", self.read(vectors, 8 * count))
        return list(zip(flat[::2], flat[1::2], strict=True))


@dataclass
class Time:
    """The declared clock and randomness."""

    fixed: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        self._now = None if self.fixed is None else int(self.fixed * 1e9)
        self._start = time.monotonic_ns()
        self._random = None if self.seed is None else random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def read(self, clock: int) -> int:
        """Nanoseconds. The real clocks in whole milliseconds: enough for programs, too coarse to time the host."""
        if self._now is not None:
            return self._now
        if clock == 0:
            return time.time_ns() // 1_000_000 * 1_000_000
        return 1_000_000_000 + (time.monotonic_ns() - self._start) // 1_000_000 * 1_000_000

    def sleep(self, nanoseconds: int) -> None:
        if self._now is not None:
            self._now = min(self._now + nanoseconds, (1 << 63) - 1)
        else:  # the parent ends the run long before
            time.sleep(min(nanoseconds / 1e9, _LONGEST_SLEEP))

    def random(self, size: int) -> bytes:
        return secrets.token_bytes(size) if self._random is None else self._random.randbytes(size)
