"""From imported names to the distributions that a package is made of, at the versions and hashes of the lock.

The lock is ``requirements/dev.txt``: what is shipped is what the tests ran with. A face's requirements are those of
``pyproject.toml`` whose packages its code imports, with their extras, pinned. uv resolves what these need in turn for
the target machine, held to the lock's versions, and refuses whatever has not the lock's hash.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

#: What Lambda's Python runtime brings along. Source: AWS Lambda Developer Guide, "Building Lambda functions with
#: Python", "Runtime-included SDK versions".
RUNTIME = frozenset({"boto3", "botocore", "awslambdaric"})

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<rest>[^\\\n]+?)\s*\\?$", re.MULTILINE)
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^\]]*\])?")


class LockError(Exception):
    """The lock or ``pyproject.toml`` does not cover what the code imports; the message says what."""


@dataclass(frozen=True)
class Lock:
    """The pinned versions, and which requirements the project states itself."""

    path: Path
    pins: dict[str, tuple[str, ...]]  #: name to ``version ; marker``, more than one where the machines differ
    extras: dict[str, str]  #: name to ``[binary]``, as pyproject.toml asks for it

    def requirements(self, packages: Iterable[str]) -> list[str]:
        """The pinned lines for these top-level packages, less what Lambda has. Raises :class:`LockError`."""
        lines = []
        for name in sorted({distribution(package) for package in packages} - RUNTIME):
            if name not in self.pins:
                raise LockError(
                    f"{name} is imported but not in {self.path.name}; add it to pyproject.toml, `make lock`"
                )
            lines += [f"{name}{self.extras.get(name, '')}=={pin}" for pin in self.pins[name]]
        return lines


def read_lock(root: Path) -> Lock:
    """The lock of the checkout at ``root``. Raises :class:`LockError`."""
    path = root / "requirements" / "dev.txt"
    try:
        text = path.read_text(encoding="utf-8")
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except FileNotFoundError as error:
        raise LockError(f"{error.filename} is not there: packages are built from a checkout") from None
    pins: dict[str, tuple[str, ...]] = {}
    for match in _PINNED.finditer(text):
        name = normal(match["name"])
        pins[name] = (*pins.get(name, ()), match["rest"].strip())
    extras: dict[str, str] = {}
    for requirements in (project["dependencies"], *project["optional-dependencies"].values()):
        for requirement in requirements:
            named = _REQUIREMENT.match(requirement)
            if named and named["extras"]:
                extras[normal(named["name"])] = named["extras"]
    return Lock(path, pins, extras)


def normal(name: str) -> str:
    """A distribution's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def _by_package() -> dict[str, list[str]]:
    found = metadata.packages_distributions()
    return {package: sorted({normal(name) for name in names}) for package, names in found.items()}


def distribution(package: str) -> str:
    """The distribution that has this top-level package, as installed here. Raises :class:`LockError`."""
    match _by_package().get(package, []):
        case [name]:
            return name
        case []:
            raise LockError(f"{package} is imported but nothing installed here has it; run `make install-dev`")
        case several:
            raise LockError(f"{package} is in several distributions: {', '.join(several)}")
