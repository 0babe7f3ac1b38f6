"""Compile sources to bytecode for another minor version of Python, with that version's own interpreter.

Lambda's disk is read-only: without bytecode in the package every cold start compiles every module anew. The bytecode is
marked as unchecked (PEP 552), so that the import neither reads the source nor looks at its time.

This file is also the program that the other interpreter runs, so it needs the standard library only and no syntax that
is newer than the oldest target.
"""

from __future__ import annotations

import json
import os
import py_compile
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

Job = tuple[str, str, str]  #: source, where the bytecode goes, the name that tracebacks show


class BytecodeError(Exception):
    """The interpreter that should have compiled did not; the message has its own words."""


def compile_all(interpreter: Path, jobs: Iterable[Job]) -> list[str]:
    """Compile with ``interpreter``. Returns the sources that are not valid for it: they go without bytecode.

    The same source gives the same bytecode: hashes are not salted, and each file is compiled for itself.
    """
    environment = {"PYTHONHASHSEED": "0", "PATH": os.environ.get("PATH", "")}
    ran = subprocess.run(
        [interpreter, "-S", "-s", "-B", __file__],
        input=json.dumps(list(jobs)),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if ran.returncode != 0:
        raise BytecodeError(f"{interpreter} cannot compile: {ran.stderr.strip()}")
    refused: list[str] = json.loads(ran.stdout)
    return refused


def main() -> None:
    """Compile what standard input lists as JSON; print what could not be."""
    refused = []
    for source, target, shown in json.load(sys.stdin):
        try:
            py_compile.compile(
                source,
                cfile=target,
                dfile=shown,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except (py_compile.PyCompileError, ValueError):
            refused.append(source)
    json.dump(refused, sys.stdout)


if __name__ == "__main__":
    main()
