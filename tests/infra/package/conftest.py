"""The packages for this machine, built once for all tests that start them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.package.build import Face, Package, build, faces, install
from infra.package.distributions import RUNTIME, read_lock
from infra.package.targets import HERE, TARGETS
from tests.infra.local.conftest import Workbench

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Packed:
    """Every face in a folder of its own, and beside them what Lambda's runtime has."""

    folder: Path
    runtime: Path
    faces: dict[str, Face]
    packages: dict[str, Package]


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("packages")
    runtime = tmp_path_factory.mktemp("runtime") / "packages"
    lock = read_lock(ROOT)
    install(runtime, TARGETS[HERE], [f"{name}=={pin}" for name in sorted(RUNTIME) for pin in lock.pins[name]], lock)
    found = faces(ROOT)
    packages = build(ROOT, TARGETS[HERE], found, folder=folder / HERE)
    return Packed(
        folder / HERE, runtime, {face.name: face for face in found}, {made.function: made for made in packages}
    )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    workbench = Workbench(tmp_path)
    yield workbench
    workbench.close()
