"""What packages are built for: Lambda on arm64 and x86-64, and this machine, to start them here.

The platform tags are uv's. ``manylinux_2_28``, not ``manylinux2014``: CEL's wheels and psycopg's for arm64 need it, and
Lambda has it: python3.13 runs on Amazon Linux 2023, whose glibc is 2.34.
Source: AWS Lambda Developer Guide, "Lambda runtimes"; Amazon Linux 2023 User Guide, "glibc".
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LAMBDA_PYTHON = "3.13"  #: provider.runtime in serverless.yml
HERE = "host"


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of machine. ``name`` is its folder under ``dist/packages``; ``platform`` None is this machine."""

    name: str
    platform: str | None
    python: str

    @property
    def machine(self) -> str:
        """The kind of processor, as ``platform.machine()`` names it there."""
        return platform.machine() if self.platform is None else self.platform.partition("-")[0]

    @property
    def uv_options(self) -> tuple[str, ...]:
        """How uv is told; wheels only, for nothing may be built for a machine that is not here."""
        where = ("--python", sys.executable) if self.platform is None else ("--python-platform", self.platform)
        return (*where, "--python-version", self.python, "--only-binary", ":all:")


TARGETS: dict[str, Target] = {
    "arm64": Target("arm64", "aarch64-manylinux_2_28", LAMBDA_PYTHON),
    "x86_64": Target("x86_64", "x86_64-manylinux_2_28", LAMBDA_PYTHON),
    HERE: Target(HERE, None, f"{sys.version_info.major}.{sys.version_info.minor}"),
}
FOR_LAMBDA = ("arm64", "x86_64")


@functools.cache
def interpreter(version: str) -> Path | None:
    """A Python of this minor version on this machine, else None. ``PATH`` is looked through, then pyenv's versions."""
    if version == TARGETS[HERE].python:
        return Path(sys.executable)
    return next((path for path in _candidates(version) if _is_python(path, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    if found := shutil.which(f"python{version}"):
        yield Path(found)  # maybe pyenv's stand-in, which answers only for the versions that were chosen
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)


def _is_python(path: Path, version: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run([path, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0 and ran.stdout.strip() == version
