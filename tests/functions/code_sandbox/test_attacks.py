"""Whatever a program does, it ends as a typed outcome in time, learns nothing of the host, and leaves nothing behind.

All attacks run once, several at a time as in life, with canaries around them: a file, a variable of our environment, a
listening socket, our own process. A new backend passes by taking the place of the fixture ``backend``.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from functions.code_sandbox import sandbox
from functions.code_sandbox.pool import Pool
from shared.models.code import CodeOutcome, CodeRequest, Language, RunStatus
from tests.functions.code_sandbox import attacks_javascript, attacks_python
from tests.functions.code_sandbox.attack import Attack, as_expected, ending
from tests.functions.code_sandbox.attack_table import ATTACKS, PAGE, SUBJECTS, written
from tests.functions.code_sandbox.conftest import PLACES, Runner

ROOT = Path(__file__).parents[3]
#: For noticing that a run's time is over and ending it, on a machine that does other things too.
GRACE_SECONDS = 0.5


@dataclass
class Canaries:
    """What no program may find or touch."""

    word: str
    file: Path
    listener: socket.socket
    visits: int = 0
    outcomes: dict[str, CodeOutcome] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def count(self) -> None:
        """Count who comes, until the listener is closed."""
        while True:
            try:
                visitor, _ = self.listener.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, backend: Pool) -> Iterator[Canaries]:
    """All attacks, run."""
    word = f"CANARY-{secrets.token_hex(16)}"
    file = tmp_path_factory.mktemp("host") / "secret"
    file.write_text(word)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_CANARY", word)
        patch.setattr(sandbox, "backend", lambda: backend)
        canaries = Canaries(word, file, socket.create_server(("127.0.0.1", 0)))
        counting = threading.Thread(target=canaries.count)
        counting.start()

        def attack(one: Attack) -> None:
            start = time.monotonic()
            canaries.outcomes[one.name] = sandbox.run(one.request(str(file), canaries.port))
            canaries.seconds[one.name] = time.monotonic() - start

        for language in Language:  # the interpreters start before the first run, which is not what is timed here
            sandbox.run(CodeRequest(language=language, code=""))
        with ThreadPoolExecutor(PLACES) as threads:
            list(threads.map(attack, ATTACKS))
        yield canaries
        canaries.listener.shutdown(socket.SHUT_RDWR)
        canaries.listener.close()
        counting.join()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_ends_as_it_must_and_in_time(attacked: Canaries, attack: Attack) -> None:
    outcome = attacked.outcomes[attack.name]
    assert as_expected(attack, outcome), f"{ending(outcome)}: {outcome.error} {outcome.stderr[-500:]}"
    assert (outcome.limit is not None) == (outcome.status == RunStatus.LIMIT)
    assert (outcome.error is None) == (outcome.status == RunStatus.COMPLETED)
    allowed = attack.request("", 0).limits.wall_seconds + GRACE_SECONDS
    assert attacked.seconds[attack.name] <= allowed  # as many run at once as there are places: none waits for one
    assert attacked.word not in outcome.model_dump_json()
    assert "root:" not in outcome.model_dump_json()
    outcome.model_dump_json().encode()  # everything told can be told on


def test_nobody_came_to_the_listening_socket(attacked: Canaries) -> None:
    assert attacked.visits == 0
    socket.create_connection(("127.0.0.1", attacked.port)).close()  # it does count
    deadline = time.monotonic() + 5
    while attacked.visits == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert attacked.visits == 1


def test_the_file_and_the_process_of_the_host_are_as_they_were(attacked: Canaries) -> None:
    assert attacked.file.read_text() == attacked.word
    assert list(attacked.file.parent.iterdir()) == [attacked.file]
    assert os.getppid() > 1


def test_the_next_run_finds_nothing_of_those_before(attacked: Canaries, run: Runner) -> None:
    found = run(
        "python",
        "import os, sys, builtins, json, random\n"
        "result = {'files': os.listdir(), 'env': dict(os.environ), 'argv': sys.argv,\n"
        " 'stdout': sys.stdout is sys.__stdout__,\n"
        " 'import': builtins.__import__.__name__, 'dumps': json.dumps.__module__, 'limit': sys.getrecursionlimit(),\n"
        " 'names': sorted(n for n in globals() if not n.startswith('__'))}",
    )
    assert found.result == {
        "files": [],
        "env": {},
        "argv": ["code.py"],
        "stdout": True,
        "import": "__import__",
        "dumps": "json",
        "limit": 500,
        "names": ["builtins", "input_data", "json", "os", "random", "result", "sys"],
    }
    found = run(
        "javascript",
        "result = [files.list(), JSON.stringify.name, Array.prototype.push.name, Object.keys(Object.prototype),"
        " typeof String, Object.isFrozen(globalThis)]",
    )
    assert found.result == [[], "stringify", "push", [], "function", False]


@pytest.mark.parametrize("language", list(Language))
def test_what_one_run_leaves_another_does_not_see(run: Runner, language: Language) -> None:
    leave, look = {
        Language.PYTHON: (
            "import builtins, os; builtins.left = 1; os.environ['left'] = '1'; open('left', 'w').write('1')",
            "import builtins, os; result = [hasattr(builtins, 'left'), 'left' in os.environ, os.path.exists('left')]",
        ),
        Language.JAVASCRIPT: (
            "globalThis.left = 1; Object.prototype.left = 1; files.write('left', '1'); env.left = '1'",
            "result = [typeof left !== 'undefined', 'left' in {}, files.list().length > 0]",
        ),
    }[language]
    for _ in range(5):  # more than there are idle processes
        assert run(language, leave).status == RunStatus.COMPLETED
        assert run(language, look).result == [False, False, False]


def test_no_two_runs_have_the_same_randomness(run: Runner) -> None:
    code = {"python": "import random, uuid, os; result = [random.random(), str(uuid.uuid4()), os.urandom(8).hex()]",
            "javascript": "result = [Math.random(), Math.random()]"}  # fmt: skip
    for language, source in code.items():
        seen = [value for _ in range(4) for value in run(language, source).result]
        assert len(set(seen)) == len(seen)


def test_in_a_network_of_its_own_nobody_is_called_either(backend: Pool, tmp_path: Path) -> None:
    """The network's attacks in a namespace that has nothing but loopback and our listener, where it may be made."""
    program = (
        "import socket, subprocess, sys\n"
        "subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=False)\n"
        "listener = socket.create_server(('127.0.0.1', 0)); listener.setblocking(False)\n"
        "from functions.code_sandbox import sandbox\n"
        "from tests.functions.code_sandbox import attacks_javascript, attacks_python\n"
        "from tests.functions.code_sandbox.attack import as_expected\n"
        "for one in (*attacks_python.NETWORK, *attacks_javascript.NETWORK):\n"
        "    assert as_expected(one, sandbox.run(one.request('', listener.getsockname()[1]))), one\n"
        "try: print('called by', listener.accept())\n"
        "except BlockingIOError: print('nobody came')\n"
    )
    apart = ["unshare", "--net", "--map-root-user"]
    try:
        possible = subprocess.run([*apart, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    command = [*(apart if possible else []), sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout, ran.returncode) == ("nobody came\n", 0), ran.stderr


def test_the_page_shows_the_attacks_as_they_are() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 150
    listed = [
        one
        for name in SUBJECTS.values()
        for module in (attacks_python, attacks_javascript)
        for one in getattr(module, name, [])
    ]
    assert len(listed) == len(ATTACKS)
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run `python -m tests.functions.code_sandbox.attack_table`"
