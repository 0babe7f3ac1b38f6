"""CPython, compiled to WebAssembly, as a guest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from wasmtime import Func, Linker, Memory, Module, Store

from functions.code_sandbox.guest import driver
from functions.code_sandbox.process import Run
from functions.code_sandbox.wasi_files import Wasi


class Python:
    """The interpreter runs its start and our driver, until that asks for the run."""

    def __init__(self, store: Store, module: Module) -> None:
        source = Path(driver.__file__).read_bytes() + b"\nmain()\n"
        # Isolated, without site, and with the same hashes each time: nothing differs between two runs.
        options = (b"python", b"-I", b"-S", b"-B", b"-X", b"utf8", b"-c", source)
        self._wasi = Wasi(options, self._receive)
        self._store = store
        linker = Linker(store.engine)
        self._wasi.define(linker, module)
        self._exports = linker.instantiate(store, module).exports(store)
        self._wait: Callable[[], Run] | None = None

    def serve(self, wait: Callable[[], Run]) -> None:
        self._wait = wait
        start = self._exports["_start"]
        assert isinstance(start, Func)
        start(self._store)

    def memory_bytes(self) -> int:
        memory = self._exports["memory"]
        assert isinstance(memory, Memory)
        return memory.data_len(self._store)

    def _receive(self) -> None:
        assert self._wait is not None
        run = self._wait()
        given = {"code": run.request["code"], "input": run.request["input"], "variables": run.request["variables"]}
        data = json.dumps(given | {"recursion": run.limits["recursion"]}).encode()
        self._store.set_limits(memory_size=run.limits["memory_bytes"])
        self._wasi.begin(run, run.time, run.folder, data)
