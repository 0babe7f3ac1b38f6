"""The processes of the runs: each is used once, none stays, and behind WebAssembly there is nothing to be had."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.code_sandbox import frames, pool, runtimes
from functions.code_sandbox.child import Child
from functions.code_sandbox.pool import Pool
from shared.errors import Unavailable
from shared.models.code import CodeOutcome, CodeRequest, Language, Limit, Limits, RunStatus

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    not runtimes.installed(), reason="no interpreters here: `make install-code` brings them"
)


def ask(backend: Pool, code: str, language: Language = Language.JAVASCRIPT, seconds: float = 5) -> CodeOutcome:
    return backend.run(CodeRequest(language=language, code=code, limits=Limits(wall_seconds=seconds)))


@pytest.fixture
def own() -> Iterator[Pool]:
    made = Pool(parallel=2, warm=2)
    yield made
    made.close()


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


def nursery(own: Pool, language: Language = Language.JAVASCRIPT) -> int:
    """The process that forks."""
    held = own._kinds[language]._nursery
    assert held is not None
    return held._process.pid


def children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_each_run_has_a_process_of_its_own_that_goes_with_it(own: Pool) -> None:
    ask(own, "")
    parent = nursery(own)
    seen: set[int] = set()
    for _ in range(5):
        assert until(lambda: len(children(parent)) == 2)  # the idle ones, and nobody else
        seen |= set(children(parent))
        assert ask(own, "result = 1").result == 1
    assert len(seen) >= 5
    assert until(lambda: len(children(parent)) == 2)


@linux
def test_the_processes_know_nothing_of_ours(own: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_CANARY", "secret")
    ask(own, "")
    parent = nursery(own)
    variables = Path(f"/proc/{parent}/environ").read_bytes()
    assert variables in (b"", f"LD_LIBRARY_PATH={os.environ.get('LD_LIBRARY_PATH', '')}\0".encode())
    assert os.readlink(f"/proc/{parent}/cwd") == "/"
    opened = {os.readlink(link).split(":")[0] for link in Path(f"/proc/{parent}/fd").iterdir()}
    assert {name for name in opened if not name.endswith(".cwasm")} <= {"/dev/null", "pipe", "socket", "anon_inode"}


@linux
def test_when_we_are_killed_nothing_of_the_sandbox_stays() -> None:
    program = (
        "import sys; from functions.code_sandbox.pool import Pool\n"
        "from shared.models.code import CodeRequest, Language\n"
        "pool = Pool(); pool.run(CodeRequest(language='javascript', code=''))\n"
        "print(pool._kinds[Language.JAVASCRIPT]._nursery._process.pid, flush=True); sys.stdin.read()\n"
    )
    ours = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with ours:
        assert ours.stdout is not None
        parent = int(ours.stdout.readline())
        assert until(lambda: len(children(parent)) == 2)
        gone = [parent, *children(parent)]
        ours.kill()
    assert until(lambda: not any(_runs(pid) for pid in gone))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@linux
def test_after_its_processes_were_killed_the_sandbox_starts_anew(own: Pool) -> None:
    ask(own, "")
    parent = nursery(own)
    os.kill(parent, signal.SIGKILL)
    assert until(lambda: not _runs(parent))
    for _ in range(2):  # the first may be done by a process that was forked before
        assert ask(own, "result = 2").result == 2
    assert nursery(own) != parent
    idle = children(nursery(own))
    for each in idle:
        os.kill(each, signal.SIGKILL)
    assert until(lambda: not any(map(_runs, idle)))
    assert [ask(own, "result = 3").result for _ in range(4)] == [3] * 4


@linux
def test_a_run_whose_process_is_killed_from_outside_is_told_so(own: Pool) -> None:
    ask(own, "")
    parent = nursery(own)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(ask, own, "for (;;);")
        assert until(lambda: bool(_busy(parent)))
        os.kill(_busy(parent)[0], signal.SIGKILL)
        outcome = running.result()
    assert outcome.limit == Limit.MEMORY  # it is what a system does that has none left
    assert ask(own, "result = 4").result == 4


def _busy(parent: int) -> list[int]:
    """Those that took a tenth of a second of CPU: none that waits does."""
    ticks = os.sysconf("SC_CLK_TCK") // 10
    return [pid for pid in children(parent) if _ticks(pid) > ticks]


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def test_more_callers_than_places_all_get_their_own_answer(own: Pool) -> None:
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: ask(own, f"result = {n}").result, range(24)))
    assert results == list(range(24))


def test_processes_that_are_spawned_keep_the_same_promises() -> None:
    spawning = Pool(parallel=1, warm=1, fresh="spawn")
    try:
        assert ask(spawning, "print(1); result = 1", Language.PYTHON).result == 1
        assert ask(spawning, "result = 2").result == 2
        late = ask(spawning, "for (;;);", seconds=0.3)
        assert late.limit == Limit.WALL
        assert late.usage.wall_ms < 800
        assert late.usage.cpu_ms > 0
        assert ask(spawning, "result = 3").result == 3
    finally:
        spawning.close()


def test_where_the_compiled_code_does_not_fit_it_is_compiled_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered = tmp_path / "javascript.cwasm"
    delivered.write_bytes(b"for another machine")
    monkeypatch.setattr(runtimes, "compiled", lambda language: delivered)
    own = Pool(parallel=1, warm=0, cache=tmp_path / "cache")
    try:
        assert ask(own, "result = 5").result == 5
    finally:
        own.close()
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".cwasm"]


def test_a_cache_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o777)
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(Unavailable, match="could be changed by others"):
        runtimes.compile_to_cache(Language.JAVASCRIPT, tmp_path / "cache")


def test_without_interpreters_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "HERE", tmp_path)
    monkeypatch.setattr(runtimes, "COMPILED", tmp_path / "compiled")
    assert not runtimes.installed()
    own = Pool()
    with pytest.raises(Unavailable) as refused:
        ask(own, "")
    assert refused.value.remedy == "Run `make install-code`."


@linux
def test_behind_webassembly_nothing_can_be_opened_started_or_called() -> None:
    """What a process could do that had broken out: it is shut in as a run is, and tries in plain Python."""
    program = """
import json, os, socket, sys
from functions.code_sandbox import hardening
ours = socket.socket(fileno=int(sys.argv[1]))
layers = hardening.shut_in(ours.fileno())
def attempt(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0
tried = {
    'open': attempt(lambda: os.open('/etc/passwd', os.O_RDONLY)),
    'environ': attempt(lambda: os.open('/proc/self/environ', os.O_RDONLY)),
    'write': attempt(lambda: os.open('/tmp/left', os.O_CREAT | os.O_WRONLY)),
    'socket': attempt(lambda: socket.socket(socket.AF_INET)),
    'fork': attempt(os.fork),
    'exec': attempt(lambda: os.execv('/bin/true', ['true'])),
    'kill': attempt(lambda: os.kill(os.getppid(), 0)),
    'list': attempt(lambda: os.listdir('/')),
    'pipe': attempt(os.pipe),
    'stderr': attempt(lambda: os.write(2, b'to nobody')),
}
ours.sendall(json.dumps([layers, tried]).encode())
os._exit(0)
"""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [sys.executable, "-c", program, str(theirs.fileno())]
            ran = subprocess.run(command, cwd=ROOT, pass_fds=[theirs.fileno()], capture_output=True, check=False)
        layers, tried = json.loads(ours.recv(4096))
    assert (ran.stdout, ran.stderr) == (b"", b"")
    assert {"descriptors", "limits", "privileges", "orphans"} <= set(layers)
    assert tried.pop("stderr") == 0  # that goes nowhere, as seen above
    if "calls" in layers:
        assert set(tried.values()) == {1}  # EPERM
    else:
        assert 0 not in {tried["fork"], tried["open"], tried["socket"], tried["pipe"]}  # no process, no descriptor


@pytest.mark.parametrize(
    ("words", "status", "limit"),
    [
        (b"", RunStatus.LIMIT, Limit.WALL),
        (frames.pack(frames.DONE, b"{}"), RunStatus.FAILED, None),
        (frames.pack(frames.DONE, b'{"ended": "limit", "limit": "everything"}'), RunStatus.FAILED, None),
        (frames.pack(frames.DONE, b"[" * 100_000), RunStatus.FAILED, None),
        (frames.pack(frames.ARTIFACT, b"\xff"), RunStatus.FAILED, None),
        (frames.pack(b"?", b"unknown"), RunStatus.LIMIT, Limit.WALL),
        (frames.HEADER.pack(frames.REPORT, 2**32 - 1) + bytes(20_000_000), RunStatus.LIMIT, Limit.OUTPUT),
        (frames.pack(frames.STDOUT, bytes(1000)) * 20_000, RunStatus.LIMIT, Limit.OUTPUT),
        (frames.pack(frames.REPORT, b"R1") + frames.pack(frames.DONE, b'{"ended":"exit"}'), RunStatus.COMPLETED, None),
    ],
)
def test_a_process_that_was_taken_over_can_say_nothing_that_harms(
    words: bytes, status: RunStatus, limit: Limit | None
) -> None:
    ours, theirs = socket.socketpair()
    child = Child(ours, None)

    def lie() -> None:
        frames.receive_frame(theirs)
        try:
            theirs.sendall(words)
        except OSError:
            return

    lying = threading.Thread(target=lie)
    lying.start()
    request = CodeRequest(language=Language.PYTHON, code="", limits=Limits(wall_seconds=0.5))
    start = time.monotonic()
    outcome = pool.outcome(request, pool._converse(child, request))
    assert time.monotonic() - start < 1.0
    ours.close()
    lying.join()
    theirs.close()
    assert (outcome.status, outcome.limit) == (status, limit)
    assert len(outcome.stdout) <= request.limits.output_bytes


def test_frames_are_as_they_are_described() -> None:
    assert frames.pack(frames.STDOUT, b"ab") == b"O" + struct.pack("<I", 2) + b"ab"
