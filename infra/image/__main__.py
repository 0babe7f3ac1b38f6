"""``make image-tree``: gather what the image of each function that is one holds, and say what it weighs.

Exit codes: 0, or 1 with the reason on standard error; what was gathered before is left then.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from infra.image.tree import MAX_BYTES, Tree, assemble
from infra.local.variables import ServerlessError
from infra.package.build import faces
from infra.package.bytecode import BytecodeError
from infra.package.closure import ClosureError
from infra.package.distributions import LockError
from infra.package.staging import PackageError
from infra.package.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
MB = 1024 * 1024
#: Docker's names of the targets that it names otherwise.
_DOCKERS = {"amd64": "x86_64"}


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m infra.image", description=__doc__)
    parser.add_argument("functions", nargs="*", metavar="FUNCTION", help="of serverless.yml; default: every image")
    parser.add_argument("--target", default="arm64", choices=[*TARGETS, *_DOCKERS])
    parser.add_argument("--storage", default=os.environ.get("MILLRACE_STORAGE", "s3"), help="as it will be deployed")
    parser.add_argument("--output", type=Path, help="default: dist/images/<target>")
    given = parser.parse_args(arguments)
    target = TARGETS[_DOCKERS.get(given.target, given.target)]
    output: Path = given.output or ROOT / "dist" / "images" / target.name
    try:
        for face in faces(ROOT, given.functions, storage=given.storage.partition(":")[0], images=True):
            tree = assemble(ROOT, target, face, output / face.name, _say)
            sys.stdout.write(_report(tree))
    except (PackageError, ClosureError, LockError, ServerlessError, BytecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


def _report(tree: Tree) -> str:
    lines = [f"{tree.function} for {tree.target}, in {os.path.relpath(tree.folder)}"]
    for layer in tree.layers:
        lines.append(f"  {layer.name:<14}{layer.bytes / MB:8.1f} MB {layer.files:>6} files")
        lines += [f"    {name:<32}{size / MB:8.1f} MB" for name, size in layer.heaviest if size >= MB / 10]
    lines.append(f"  {'in all':<14}{tree.bytes / MB:8.1f} MB of Lambda's {MAX_BYTES // MB:,} MB")
    if not tree.compiled:
        lines.append("  not byte-compiled: there is no Python of that version here")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
