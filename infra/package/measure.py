"""Start what was built for this machine: how long a cold import takes, and in how much memory.

Each measurement is a process of its own that sees nothing but the unpacked folder and the standard library, as on
Lambda; boto3 and the runtime's own client, which Lambda has, count for nothing here.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RUNS = 7

_PROGRAM = """
import sys, time
before, busy = time.perf_counter(), time.process_time()
module = __import__(sys.argv[1], fromlist=["handler"])
seconds, processor = time.perf_counter() - before, time.process_time() - busy
assert callable(module.handler)
modules = len(sys.modules)
import json
try:  # not getrusage, whose peak is that of the process that started this one
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
except OSError:  # macOS counts in bytes
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, processor, peak, modules]))
"""


class StartError(Exception):
    """A packed face cannot be imported; the message is its traceback."""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One face's import in fresh processes.

    ``seconds`` and ``processor`` are medians of the elapsed and of the processor's time: on a machine that does other
    things meanwhile the first says more of those. ``fastest`` is the least elapsed.
    """

    function: str
    seconds: float
    fastest: float
    processor: float
    memory: int  #: bytes resident at most, the interpreter's own included
    modules: int


def isolated(*folders: Path) -> tuple[list[str], dict[str, str]]:
    """How to start Python so that it finds the standard library and ``folders`` and nothing else, and in which
    environment: no site-packages, no user's packages, none of our variables."""
    environment = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, folders)), "TZ": "UTC", "LANG": "C.UTF-8"}
    return [sys.executable, "-S", "-s", "-B"], environment


def cold_start(function: str, handler: str, folder: Path, runs: int = RUNS) -> ColdStart:
    """Import the handler's module from the unpacked ``folder``, ``runs`` times. Raises :class:`StartError`."""
    module = handler.rpartition(".")[0].replace("/", ".")
    command, environment = isolated(folder)
    environment["AWS_LAMBDA_FUNCTION_NAME"] = function  # so that logging is set up as on Lambda
    seen: list[tuple[float, float, int, int]] = []
    for _ in range(runs):
        ran = subprocess.run(
            [*command, "-c", _PROGRAM, module], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            raise StartError(f"{function} cannot be imported from its package:\n{ran.stderr.strip()}")
        seconds, processor, memory, modules = json.loads(ran.stdout.splitlines()[-1])
        seen.append((seconds, processor, memory, modules))
    return ColdStart(
        function,
        statistics.median(seconds for seconds, _, _, _ in seen),
        min(seconds for seconds, _, _, _ in seen),
        statistics.median(processor for _, processor, _, _ in seen),
        max(memory for _, _, memory, _ in seen),
        seen[0][3],
    )
