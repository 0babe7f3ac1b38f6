"""The local stack as a user has it: `millrace dev` in a process of its own, on data of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.cli.address import Address, read_address

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60


@dataclass(frozen=True)
class RunningStack:
    """A stack that answers, and what a command line needs to use it."""

    home: Path
    address: Address
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **clean_environment(),
            "MILLRACE_URL": self.address.url,
            "MILLRACE_TOKEN": self.address.token,
            "MILLRACE_HOME": str(self.home),
        }


def clean_environment(**added: str) -> dict[str, str]:
    """Ours without anyone's Millrace settings, and with the installed commands first on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {"COLUMNS": "100", "NO_COLOR": "1"} | added


def millrace(
    *arguments: str, environment: dict[str, str] | None = None, cwd: Path | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run one command line to its end."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "millrace"), *arguments],
        env=environment or clean_environment(),
        cwd=cwd or ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        **options,  # type: ignore[call-overload]
    )


@contextmanager
def running_stack(home: Path, **variables: str) -> Iterator[RunningStack]:
    """Start `millrace dev` on ``home`` and a free port, wait until it says where it is, stop it in the end."""
    log = home.with_name(f"{home.name}.out")
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "millrace"), "--home", str(home), "dev", "--port", "0"],
            env=clean_environment(**variables),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while (address := read_address(home)) is None:
            assert process.poll() is None, f"millrace dev ended:\n{log.read_text()}"
            assert time.monotonic() < until, f"millrace dev does not start:\n{log.read_text()}"
            time.sleep(0.02)
        yield RunningStack(home, address, process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
