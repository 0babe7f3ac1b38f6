"""What running untrusted code costs: ours beside a bare ``python -I`` with rlimits, and node, in the same run.

The bare processes are no sandbox: they read every file and open any socket. They say what a fresh process costs on this
machine, and how fast the languages run without a boundary. Contenders take turns, call by call, so that a noisy machine
slows all of them.

- latency of ``print(1)``, from the caller's view: warm (processes are ready), back to back (the next call comes at
  once, while processes are made anew) and cold (the first call ever, with all that must start)
- a loop of additions, its seconds told by the program itself, and the ratio to the native language
- runs a second with two callers at once
- memory of one run while it waits, as its share (PSS), and of the prepared processes beside it

    python -m bench.code [--calls N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from functions.code_sandbox.pool import Pool
from shared.models.code import CodeRequest, Language, Limits, RunStatus

console = Console()

PYTHON_LOOP = """
import time
def loop():
    total = 0
    for number in range({count}):
        total += number * 2 % 7
    return total
start = time.perf_counter()
loop()
print(time.perf_counter() - start)
"""
JAVASCRIPT_LOOP = """
const start = performance.now();
let total = 0;
for (let number = 0; number < {count}; number++) total += number * 2 % 7;
console.log((performance.now() - start) / 1000);
"""
LOOPS = {
    "python": PYTHON_LOOP.replace("{count}", "3000000"),
    "javascript": JAVASCRIPT_LOOP.replace("{count}", "10000000"),
}
HELLO = {"python": "print(1)", "javascript": "console.log(1)"}
#: Works a little, by which the run's process is known, and waits.
WAIT = {
    "python": "import time; sum(range(3_000_000)); time.sleep(2)",
    "javascript": "for (let n = 0; n < 3e6; n++); await new Promise((done) => setTimeout(done, 2000))",
    "node": "for (let n = 0; n < 3e8; n++); setTimeout(() => {}, 2000)",
}

Run = Callable[[str], str]  #: a program to what it printed


def ours(pool: Pool, language: str) -> Run:
    def run(code: str) -> str:
        outcome = pool.run(CodeRequest(language=Language(language), code=code, limits=Limits(wall_seconds=60)))
        assert outcome.status == RunStatus.COMPLETED, outcome
        return outcome.stdout

    return run


def bounded() -> None:
    """The limits of a careful native child."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def bare(code: str) -> str:
    """A fresh isolated Python with rlimits, an empty environment and a time limit."""
    command = [sys.executable, "-I", "-S", "-c", code]
    ran = subprocess.run(command, env={}, capture_output=True, text=True, check=True, timeout=60, preexec_fn=bounded)
    return ran.stdout


def node(code: str) -> str:
    found = shutil.which("node")
    assert found is not None
    ran = subprocess.run([found, "-e", code], env={}, capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout


def timed(run: Run, code: str) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    run(code)
    return (time.perf_counter() - start) * 1000


def percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]}


def latencies(contenders: dict[str, tuple[Run, str]], calls: int, pause: float) -> dict[str, dict[str, float]]:
    """Each contender's calls, in turns; ``pause`` lets processes get ready before the next."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(calls):
        for name, (run, code) in contenders.items():
            taken[name].append(timed(run, code))
            time.sleep(pause)
    return {name: percentiles(values) for name, values in taken.items()}


def cold(language: str, times: int) -> dict[str, float]:
    """The first call of a sandbox that was never used."""
    taken = []
    for _ in range(times):
        pool = Pool()
        taken.append(timed(ours(pool, language), HELLO[language]))
        pool.close()
    return percentiles(taken)


def throughput(run: Run, code: str, calls: int) -> float:
    """Runs a second with two callers."""
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, [code] * calls))
    return calls / (time.perf_counter() - start)


# --- memory


def children(parent: int) -> list[int]:
    """Those started by any of its threads."""
    return [int(pid) for told in Path(f"/proc/{parent}/task").glob("*/children") for pid in told.read_text().split()]


def family(parent: int) -> list[int]:
    return [pid for child in children(parent) for pid in (child, *family(child))]


def share(pid: int) -> float | None:
    """MB that a process has as its share; None where this may not be seen (only root sees a shut in process)."""
    try:
        rolled = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        return None
    line = next(line for line in rolled.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


def ticks(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def memory(run: Run, code: str) -> dict[str, float | None]:
    """MB of a run, and of the processes beside it, which stay."""
    before = {pid: ticks(pid) for pid in family(os.getpid())}
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(run, code)
        time.sleep(1.5)
        worked = {pid: ticks(pid) - before.get(pid, 0) for pid in family(os.getpid())}
        shares = {pid: share(pid) for pid in worked}
        running.result()
    own = max(worked, key=lambda pid: worked[pid])
    sizes = [size for size in shares.values() if size is not None]
    if len(sizes) != len(shares):
        return {"run": None, "beside": None}
    return {"run": shares[own], "beside": sum(sizes) - (shares[own] or 0)}


def memories(contenders: dict[str, tuple[Run, str]]) -> dict[str, dict[str, float | None]]:
    """Each contender alone: a sandbox of its own for each language."""
    found = {}
    for name, (run, language) in contenders.items():
        if not name.startswith("ours"):
            found[name] = memory(run, WAIT["node" if "node" in name else language])
            continue
        alone = Pool()
        ours(alone, language)(HELLO[language])
        time.sleep(0.2)
        found[name] = memory(ours(alone, language), WAIT[language])
        alone.close()
    return found


# --- all of it


def measure(calls: int) -> dict[str, Any]:
    pool = Pool(parallel=2, warm=2)
    contenders: dict[str, tuple[Run, str]] = {
        "ours, Python": (ours(pool, "python"), "python"),
        "ours, JavaScript": (ours(pool, "javascript"), "javascript"),
        "bare python -I": (bare, "python"),
    }
    if shutil.which("node"):
        contenders["bare node"] = (node, "javascript")
    hellos = {name: (run, HELLO[language]) for name, (run, language) in contenders.items()}
    for run, code in hellos.values():
        run(code)
    try:
        with console.status("latency"):
            warm = latencies(hellos, calls, 0.05)
            hurried = latencies(hellos, calls, 0.0)
            first = {"ours, Python": cold("python", 7), "ours, JavaScript": cold("javascript", 7)}
        with console.status("loops, throughput"):
            loops = {
                name: min(float(run(LOOPS[language])) for _ in range(3)) for name, (run, language) in contenders.items()
            }
            rates = {name: throughput(run, code, max(20, calls)) for name, (run, code) in hellos.items()}
    finally:
        pool.close()
    with console.status("memory"):
        sizes = memories(contenders)
    native = {"python": loops["bare python -I"], "javascript": loops.get("bare node")}
    rows = {}
    for name, (_, language) in contenders.items():
        beside = native[language]
        rows[name] = {
            "warm_ms": warm[name],
            "back_to_back_ms": hurried[name],
            "cold_ms": first.get(name, warm[name]),
            "loop_seconds": loops[name],
            "loop_ratio": None if beside is None else loops[name] / beside,
            "runs_per_second": rates[name],
            "memory_mb": sizes[name],
        }
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    return {"machine": machine, "calls": calls, "contenders": rows}


def show(found: dict[str, Any]) -> None:
    latency = Table(title="print(1), from the caller's view, in ms: p50 / p99")
    for heading in ("", "warm", "back to back", "cold"):
        latency.add_column(heading, justify="right" if heading else "left")
    work = Table(title="The rest")
    for heading in ("", "loop", "x native", "runs/s", "MB a run", "MB beside"):
        work.add_column(heading, justify="right" if heading else "left")
    for name, row in found["contenders"].items():
        latency.add_row(name, *(_pair(row[kind]) for kind in ("warm_ms", "back_to_back_ms", "cold_ms")))
        sizes = row["memory_mb"]
        shown = (_number(value, digits) for value, digits in ((row["loop_ratio"], 1), (row["runs_per_second"], 0)))
        work.add_row(
            name, f"{row['loop_seconds']:.2f} s", *shown, _number(sizes["run"], 0), _number(sizes["beside"], 0)
        )
    console.print(latency)
    console.print(work)
    console.print("The bare processes have no boundary at all; each of their calls is cold.")
    console.print("Loops: 3 million additions in Python, 10 million in JavaScript. Runs a second: two callers.")
    console.print("MB are shares (PSS); beside a run are the prepared interpreter and the idle processes.")


def _pair(figures: dict[str, float]) -> str:
    return f"{figures['p50']:.1f} / {figures['p99']:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the sandbox beside bare processes.")
    parser.add_argument("--calls", type=int, default=100, help="calls of each contender (100)")
    parser.add_argument("--json", type=Path, help="where to write the figures as well")
    given = parser.parse_args()
    found = measure(given.calls)
    show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
