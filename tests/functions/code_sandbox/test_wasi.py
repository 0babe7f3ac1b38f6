"""What a program of any kind, not only the interpreters, can make of the functions it is given.

The programs here are written in WebAssembly's own text: they hand every function whatever numbers they like.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.code_sandbox.bounds import Exceeded, Exit
from functions.code_sandbox.folder import Directory, File, Folder, FolderError

wasmtime = pytest.importorskip("wasmtime", reason="`make install-code` brings it")
from functions.code_sandbox.machine import Time  # noqa: E402 - these need wasmtime
from functions.code_sandbox.wasi_files import FOLDER_FD, Wasi  # noqa: E402

PAGE = 65536
#: Every function that there is, by its parameters; those of WASI's preview 1. ``l`` is 64 bits.
FUNCTIONS = {
    "args_get": "ii", "args_sizes_get": "ii", "environ_get": "ii", "environ_sizes_get": "ii", "clock_res_get": "ii",
    "clock_time_get": "ili", "fd_advise": "illi", "fd_allocate": "ill", "fd_close": "i", "fd_datasync": "i",
    "fd_fdstat_get": "ii", "fd_fdstat_set_flags": "ii", "fd_filestat_get": "ii", "fd_filestat_set_size": "il",
    "fd_filestat_set_times": "illi", "fd_pread": "iiili", "fd_prestat_get": "ii", "fd_prestat_dir_name": "iii",
    "fd_pwrite": "iiili", "fd_read": "iiii", "fd_readdir": "iiili", "fd_renumber": "ii", "fd_seek": "ilii",
    "fd_sync": "i", "fd_tell": "ii", "fd_write": "iiii", "path_create_directory": "iii", "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiilli", "path_link": "iiiiiii", "path_open": "iiiiillii", "path_readlink": "iiiiii",
    "path_remove_directory": "iii", "path_rename": "iiiiii", "path_symlink": "iiiii", "path_unlink_file": "iii",
    "poll_oneoff": "iiii", "random_get": "ii", "sched_yield": "", "sock_accept": "iii", "sock_recv": "iiiiii",
    "sock_send": "iiiii", "sock_shutdown": "ii",
}  # fmt: skip


class Heard:
    """The run, as far as it is told."""

    def __init__(self) -> None:
        self.said = 0

    def output(self, stream: int, data: bytes) -> None:
        self.said += len(data)

    def report(self, data: bytes) -> None:
        self.said += len(data)


@functools.cache
def _program() -> tuple[Any, Any]:
    """An engine, and the program: for each function one of the same name that hands its numbers on."""
    kinds = {"i": "i32", "l": "i64"}
    imports, exports = [], []
    for name, parameters in FUNCTIONS.items():
        kind = " ".join(f"(param {kinds[letter]})" for letter in parameters)
        given = " ".join(f"(local.get {index})" for index in range(len(parameters)))
        imports.append(f'(import "wasi_snapshot_preview1" "{name}" (func ${name} {kind} (result i32)))')
        exports.append(f'(func (export "{name}") {kind} (result i32) (call ${name} {given}))')
    text = f'(module {" ".join(imports)} (memory (export "memory") 1 1) {" ".join(exports)})'
    engine = wasmtime.Engine()
    return engine, wasmtime.Module(engine, text)


@pytest.fixture(scope="module", autouse=True)
def _freed() -> Iterator[None]:
    """wasmtime's objects go before its module does."""
    yield
    _program.cache_clear()


class Machine:
    """A program of one page that calls each function with what it is told to."""

    def __init__(self) -> None:
        engine, module = _program()
        self.store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        self.wasi = Wasi([b"x"])
        self.wasi.define(linker, module)
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.heard = Heard()
        self.folder = Folder(8, 4096)
        self.wasi.begin(self.heard, Time(fixed=0.0, seed=0), self.folder, b"input")

    def call(self, name: str, *arguments: int) -> int:
        return int(self.exports[name](self.store, *arguments))

    def put(self, at: int, data: bytes) -> None:
        self.exports["memory"].write(self.store, data, at)

    def get(self, at: int, size: int) -> bytes:
        return bytes(self.exports["memory"].read(self.store, at, at + size))


#: Numbers at which something changes, and any others.
WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 5, 8, 64, 1024, PAGE - 8, PAGE - 1, PAGE, PAGE + 1, 2**31 - 1, -(2**31), -1, -8]),
    st.integers(-(2**31), 2**31 - 1),
)
LONGS = st.one_of(WORDS, st.sampled_from([2**62, 2**63 - 1, -(2**63)]), st.integers(-(2**63), 2**63 - 1))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_numbers_do_more_than_be_refused(data: st.DataObject) -> None:
    machine = Machine()
    machine.put(0, data.draw(st.binary(max_size=256), label="memory"))
    for _ in range(6):
        name = data.draw(st.sampled_from(sorted(FUNCTIONS)))
        given = [data.draw(WORDS if letter == "i" else LONGS) for letter in FUNCTIONS[name]]
        try:
            assert 0 <= machine.call(name, *given) < 77  # an errno
        except Exceeded:  # of the folder, which is the only bound there is here
            return
    assert machine.heard.said <= 6 * PAGE * 1024


@pytest.mark.parametrize("name", ["fd_write", "fd_read"])
def test_buffers_that_reach_beyond_the_memory_are_refused(name: str) -> None:
    machine = Machine()
    fd = 1 if name == "fd_write" else 0
    machine.put(0, (64).to_bytes(4, "little") + (4).to_bytes(4, "little"))
    assert machine.call(name, fd, 0, 1, 16) == 0
    assert machine.get(16, 4) == (4).to_bytes(4, "little")
    for at, size in ((PAGE, 1), (PAGE - 1, 2), (0, PAGE + 1), (2**32 - 1, 1), (1, 2**32 - 1), (2**31, 2**31)):
        machine.put(0, at.to_bytes(4, "little") + size.to_bytes(4, "little"))
        assert machine.call(name, fd, 0, 1, 16) in ((21,) if name == "fd_write" else (21, 0))  # little is left to read
    assert machine.heard.said == (4 if name == "fd_write" else 0)
    assert machine.call(name, fd, PAGE - 4, 1, 16) == 21  # the list itself reaches beyond
    assert machine.call(name, fd, 0, -1, 16) == 21  # four thousand million buffers


def test_nobody_climbs_out_of_the_folder() -> None:
    machine = Machine()
    machine.folder.add(machine.folder.root, "a", Directory())
    for path in (b"..", b"../x", b"a/../../x", b"/", b"/etc/passwd", b"./../..", b"\xff", b"a\0b", b"x" * 256):
        machine.put(1024, path)
        given = (FOLDER_FD, 0, 1024, len(path), 1, -1, -1, 0, 16)
        assert machine.call("path_open", *given) in (76, 25, 37), path
        assert machine.call("path_create_directory", FOLDER_FD, 1024, len(path)) in (76, 25, 37)
    assert list(machine.folder.everything()) == []


def test_what_does_not_exist_here_is_refused_by_its_number() -> None:
    machine = Machine()
    assert machine.call("sock_accept", 3, 0, 16) == 52
    assert machine.call("path_symlink", 0, 1, FOLDER_FD, 0, 1) == 52
    assert machine.call("path_link", FOLDER_FD, 0, 0, 1, FOLDER_FD, 0, 1) == 52
    assert machine.call("fd_prestat_get", 4, 16) == 8


PATHS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4).map(
    lambda parts: "/".join(parts).encode()
)


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["file", "folder", "write", "remove", "move"]), PATHS, PATHS), max_size=30)
)
def test_a_folder_never_holds_more_than_it_may(steps: list[tuple[str, bytes, bytes]]) -> None:
    folder = Folder(6, 500)
    for step, path, other in steps:
        try:
            _change(folder, step, path, other)
        except (FolderError, Exceeded):
            continue
    held = dict(folder.everything())
    assert sum(map(len, held.values())) <= 500
    assert len(held) + _folders(folder.root) <= 6


def _change(folder: Folder, step: str, path: bytes, other: bytes) -> None:
    above, name, node = folder.find(folder.root, path)
    there, to, _ = folder.find(folder.root, other)
    if step in ("file", "folder") and node is None:
        folder.add(above, name, File() if step == "file" else Directory())
    elif step == "write" and isinstance(node, File):
        folder.write(node, 30 * len(other), b"x" * 40 * len(path))
    elif step == "remove" and node is not None and name and not (isinstance(node, Directory) and node.entries):
        folder.remove(above, name)
    elif step == "move" and node is not None and name and to:
        folder.move(above, name, there, to)


def _folders(above: Directory) -> int:
    inner = [node for node in above.entries.values() if isinstance(node, Directory)]
    return len(inner) + sum(map(_folders, inner))


def test_leaving_is_an_exit_and_nothing_else() -> None:
    with pytest.raises(Exit):
        Wasi().proc_exit(3)


def test_the_interpreter_asks_for_nothing_that_is_not_tried_here() -> None:
    from functions.code_sandbox import runtimes
    from functions.code_sandbox.process import configuration
    from shared.models.code import Language

    compiled = runtimes.compiled(Language.PYTHON)
    if compiled is None:
        pytest.skip("no interpreters here: `make install-code` brings them")
    module: Any = wasmtime.Module.deserialize_file(wasmtime.Engine(configuration()), str(Path(compiled)))
    letters = {"i32": "i", "i64": "l"}
    asked = {one.name: "".join(letters[str(kind)] for kind in one.type.params) for one in module.imports}
    assert asked.pop("proc_exit") == "i"
    assert {name: FUNCTIONS[name] for name in asked} == asked
