"""The file tree of an image, by layer.

A layer is a folder, and all of them are copied over each other to where Lambda looks for the function. The same sources
and locks give the same files with the same times and modes, so a registry that has a layer is not sent it again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.package.distributions import read_lock
from infra.package.staging import Face, PackageError, Staged, add_bytecode, stage
from infra.package.targets import HERE, Target

#: From what changes most seldom: a new version of ours then sends the last layer only.
LAYERS = ("dependencies", "data", "code")
#: The layers over each other, as the image has them: only for this machine, to start it here.
TASK = "task"

#: Bytes of an image, unpacked. Source: AWS Lambda Developer Guide, "Lambda quotas", "Container image size".
MAX_BYTES = 10 * 1024**3

_TIME = 315_532_800  # 1 January 1980, as in packages
_FILE, _LIBRARY, _FOLDER = 0o644, 0o755, 0o755


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, and what weighs most in it: top-level names and their bytes."""

    name: str
    files: int
    bytes: int
    heaviest: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of one image, in ``folder``."""

    function: str
    handler: str
    target: str
    folder: Path
    layers: tuple[Layer, ...]
    compiled: bool
    distributions: tuple[str, ...]  #: ``name version``

    @property
    def bytes(self) -> int:
        """Of all layers; Lambda's own, below them, not counted."""
        return sum(layer.bytes for layer in self.layers)


def assemble(
    root: Path, target: Target, face: Face, folder: Path, progress: Callable[[str], None] = lambda what: None
) -> Tree:
    """Put the layers of ``face`` for ``target`` into ``folder``, which appears when all is there.

    Raises :class:`PackageError` and ``LockError`` and leaves what was there before.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{face.name}-", dir=folder.parent) as scratch:
        work = Path(scratch)
        progress(f"fetching what {face.name} needs on {target.name}")
        staged = stage(root, work / "stage", target, face, read_lock(root))
        progress("compiling")
        compiled = add_bytecode(target, [staged], work / "bytecode")
        progress("laying out")
        fresh = work / "tree"
        layers = _lay_out(staged, fresh)
        tree = Tree(face.name, face.handler, target.name, folder, layers, compiled, staged.distributions)
        if tree.bytes > MAX_BYTES:
            raise PackageError(f"{face.name}: {tree.bytes:,} bytes, over Lambda's {MAX_BYTES:,} for an image")
        if target.name == HERE:
            _overlay(fresh)
        _settle(fresh)
        if folder.exists():
            folder.replace(work / "before")
        fresh.replace(folder)
    return tree


def _lay_out(staged: Staged, folder: Path) -> tuple[Layer, ...]:
    weights: dict[str, Counter[str]] = {name: Counter() for name in LAYERS}
    counts: Counter[str] = Counter()
    closure = staged.face.closure
    tops = {Path(file).parts[0] for file in closure.files}
    data = frozenset((*closure.data, *staged.made))
    for name, source in sorted(staged.files.items()):
        parts = Path(name).parts
        layer = "data" if name in data else "code" if parts[0] in tops else "dependencies"
        place = folder / layer / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)  # a copy: what uv installs may be linked to its cache
        place.chmod(_LIBRARY if ".so" in source.suffixes else _FILE)
        os.utime(place, (_TIME, _TIME))
        shown = parts[0] if layer == "dependencies" else "/".join(parts[:2])
        weights[layer][shown] += place.stat().st_size
        counts[layer] += 1
    for name in LAYERS:
        (folder / name).mkdir(exist_ok=True)  # the Dockerfile names each
    return tuple(
        Layer(name, counts[name], weights[name].total(), tuple(weights[name].most_common(8))) for name in LAYERS
    )


def _overlay(folder: Path) -> None:
    """The layers as one folder, without a second copy of anything."""
    for name in LAYERS:
        for path in (folder / name).rglob("*"):
            if path.is_file():
                link = folder / TASK / path.relative_to(folder / name)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.hardlink_to(path)


def _settle(folder: Path) -> None:
    """Folders too have a time and a mode, which go into a layer."""
    for path, _, _ in os.walk(folder, topdown=False):
        os.chmod(path, _FOLDER)
        os.utime(path, (_TIME, _TIME))
