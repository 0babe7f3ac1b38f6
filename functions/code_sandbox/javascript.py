"""QuickJS, compiled to WebAssembly, as a guest. Its C functions take and give addresses of values (handles)."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

from wasmtime import Func, FuncType, Linker, Memory, Module, Store

from functions.code_sandbox.bounds import Exceeded
from functions.code_sandbox.folder import File, FolderError
from functions.code_sandbox.process import Run
from functions.code_sandbox.wasi import MOST_SAID, STDERR, STDOUT, Streams

PRELUDE = Path(__file__).parent / "guest" / "prelude.js"
_NAME = "code.js"  #: what the code's file is called in stacks
_AWAIT = 1 << 7  #: qjs_eval's flag for `await` outside of functions
_PENDING, _FULFILLED = 0, 1
_STACK = 512 * 1024  #: the most that the package's own loader allows
_MOST_REJECTIONS = 1000  #: the first ones are enough to fail by
_MARGIN = 4 * 1024 * 1024  #: by which the engine's own bound is below the memory's, so that it can still say so


class JavaScript:
    """The engine with our prelude; a program is evaluated, then its promises and timers are seen to."""

    def __init__(self, store: Store, module: Module) -> None:
        self._store = store
        self._wasi = Streams()
        linker = Linker(store.engine)
        self._wasi.define(linker, module)
        ours: dict[str, Callable[..., int | None]] = {
            "host_call": self._host_call,
            "host_promise_rejection": self._rejected,
        }
        for wanted in module.imports:
            if wanted.module == "env" and isinstance(wanted.type, FuncType):
                function = ours.get(str(wanted.name), _refused)
                self._wasi.define_one(linker, "env", str(wanted.name), wanted.type, function)
        self._exports = linker.instantiate(store, module).exports(store)
        memory = self._exports["memory"]
        assert isinstance(memory, Memory)
        self._memory = memory
        self._functions: dict[str, Func] = {}
        self._run: Run | None = None
        self._limit = 1 << 32
        self._rejections: dict[int, int] = {}  # what is unhandled: a promise's identity, the reason

    def serve(self, wait: Callable[[], Run]) -> None:
        self._call("_initialize")
        if self._call("qjs_init") != 0:
            raise RuntimeError("QuickJS does not start")
        self._call("qjs_set_max_stack_size", _STACK)
        self._call("qjs_set_promise_rejection_handler", 1)
        self._size_at, _ = self._text(b"\0\0\0")  # where the engine writes how long a text is
        name, size = self._text(b"host")
        host = self._call("qjs_new_host_function", name, size, 0)
        made = self._evaluate(PRELUDE.read_text(encoding="utf-8"), "prelude.js", 0)
        parts = self._call("qjs_call", made, self._call("qjs_get_undefined"), 1, self._array([host]))
        self._begin, self._next, self._finish, self._describe = (
            self._call("qjs_get_prop_uint32", parts, index) for index in range(4)
        )
        self._ask(self._begin, b'{"input":null,"variables":{},"seed":[1,2,3,4]}')  # once, so that all is compiled
        run = self._run = wait()
        self._limit = run.limits["memory_bytes"]
        self._store.set_limits(memory_size=self._limit)
        self._call("qjs_set_memory_limit", self._limit - _MARGIN)
        self._wasi.begin(run, run.time, run.folder)
        seed = struct.unpack("<4i", run.time.random(16))
        given = {"input": run.request["input"], "variables": run.request["variables"], "seed": seed}
        self._ask(self._begin, json.dumps(given).encode())
        run.report(self._execute(run.request["code"]))

    def memory_bytes(self) -> int:
        return self._memory.data_len(self._store)

    def _execute(self, code: str) -> bytes:
        """Evaluate the code; the report."""
        promise = self._evaluate(code, _NAME, _AWAIT)
        if self._call("qjs_is_exception", promise):
            return self._failure()
        while True:
            while self._call("qjs_is_job_pending"):
                if self._call("qjs_execute_pending_job") < 0:
                    return self._failure()
            state = self._call("qjs_promise_state", promise)
            if state > _FULFILLED:
                return self._ask(self._describe, self._call("qjs_promise_result", promise))
            if self._rejections:
                return self._ask(self._describe, next(iter(self._rejections.values())))
            went = self._ask(self._next)
            if went.startswith(b"E"):
                return went
            if went == b"none" and state == _PENDING:
                return b'E{"type":"Deadlock","message":"the program awaits what never comes","line":null}'
            if went == b"none":
                return self._ask(self._finish)

    # --- calling the engine

    def _call(self, name: str, *arguments: int) -> int:
        function = self._functions.get(name)
        if function is None:
            found = self._exports[name]
            assert isinstance(found, Func)
            function = self._functions[name] = found
        answer = function(self._store, *arguments)
        return 0 if answer is None else int(answer) & 0xFFFF_FFFF

    def _text(self, text: bytes) -> tuple[int, int]:
        """Put a text into the engine's memory: where it is, and its size. A zero follows it."""
        where = self._call("wasm_malloc", len(text) + 1)
        if where == 0:
            raise Exceeded("memory", "the code or its input leaves no memory to run in")
        self._memory.write(self._store, text + b"\0", where)
        return where, len(text)

    def _array(self, handles: list[int]) -> int:
        return self._text(struct.pack(f"<{len(handles)}I", *handles))[0]

    def _evaluate(self, code: str, name: str, flags: int) -> int:
        where, size = self._text(code.encode())
        return self._call("qjs_eval", where, size, self._text(name.encode())[0], flags)

    def _ask(self, function: int, argument: bytes | int | None = None) -> bytes:
        """Call one of the prelude's functions with a text or a value; its answer, or the report of what it raised."""
        arguments = []
        if isinstance(argument, bytes):
            arguments = [self._call("qjs_new_string", *self._text(argument))]
        elif argument is not None:
            arguments = [argument]
        undefined = self._call("qjs_get_undefined")
        answer = self._call("qjs_call", function, undefined, len(arguments), self._array(arguments) if arguments else 0)
        if self._call("qjs_is_exception", answer):
            return self._failure()
        return self._string(answer, MOST_SAID)

    def _failure(self) -> bytes:
        """The report of what was raised last."""
        raised = self._call("qjs_get_exception")
        undefined = self._call("qjs_get_undefined")
        answer = self._call("qjs_call", self._describe, undefined, 1, self._array([raised]))
        if self._call("qjs_is_exception", answer):
            if self.memory_bytes() + _MARGIN >= self._limit:
                raise Exceeded("memory", "no memory is left to say what went wrong")
            return b'E{"type":"Error","message":"what went wrong cannot be told","line":null}'
        return self._string(answer, MOST_SAID)

    def _string(self, value: int, most: int) -> bytes:
        at = self._call("qjs_get_string_len", value, self._size_at)
        if at == 0:
            return b""
        size = int.from_bytes(self._memory.read(self._store, self._size_at, self._size_at + 4), "little")
        text = bytes(self._memory.read(self._store, at, at + min(size, most)))
        self._call("qjs_free_cstring", at)
        return text

    # --- what the prelude asks of us

    def _host_call(self, name: int, size: int, this: int, count: int, arguments: int) -> int:
        said = self._string(self._wasi.memory.u32(arguments), MOST_SAID) if count else b""
        answer = self._answer(chr(said[0]), said[1:]) if said else b""
        if not answer:
            return self._call("qjs_get_undefined")
        where, length = self._text(answer)
        made = self._call("qjs_new_string", where, length)
        self._call("wasm_free", where)
        return made

    def _answer(self, wish: str, said: bytes) -> bytes:
        run = self._run
        if run is None:
            return b""
        match wish:
            case "o" | "e":
                run.output(STDOUT if wish == "o" else STDERR, said)
            case "n":
                return str(run.time.read(1) / 1e6).encode()
            case "s":
                run.time.sleep(int(max(0.0, min(float(said), 1e9)) * 1e6))
            case _:
                try:
                    return b"=" + self._file(run, wish, said)
                except FolderError as error:
                    return f"!{_WHY.get(error.number, 'it cannot be done')}".encode()
        return b""

    def _file(self, run: Run, wish: str, said: bytes) -> bytes:
        if wish == "l":
            return json.dumps(sorted(path for path, _ in run.folder.everything())).encode()
        path, _, content = said.partition(b"\0")
        above, name, node = run.folder.find(run.folder.root, path)
        if wish in ("w", "W"):
            if node is None:
                node = run.folder.add(above, name, File())
            if not isinstance(node, File):
                raise FolderError(31)
            data = content if wish == "w" else content.decode("utf-8", "replace").encode("latin-1", "replace")
            run.folder.resize(node, len(data))
            run.folder.write(node, 0, data)
            return b""
        if not isinstance(node, File):
            raise FolderError(31 if node is not None else 44)
        if wish == "d":
            run.folder.remove(above, name)
            return b""
        return bytes(node.data) if wish == "r" else bytes(node.data).decode("latin-1").encode()

    def _rejected(self, promise: int, reason: int, handled: int) -> None:
        identity = self._call("qjs_get_value_ptr", promise)
        if handled:
            self._rejections.pop(identity, None)
        elif len(self._rejections) < _MOST_REJECTIONS:
            self._rejections[identity] = reason


_WHY = {
    44: "there is no such file",
    31: "that is a folder",
    54: "part of the path is no folder",
    76: "outside of the folder",
}


def _refused(*_: int) -> int:
    return 0
