"""From imported names to the distributions that a package is made of, at the versions and hashes of the lock.

The lock is ``requirements/dev.txt``, and for what only one capability needs its own file there, which is held to the
former: what is shipped is what the tests ran with. A face's requirements are those of ``pyproject.toml`` whose packages
its code imports, with their extras, pinned. uv resolves what these need in turn for
the target machine, held to the lock's versions, and refuses whatever has not the lock's hash.
"""

from __future__ import annotations

import functools
import itertools
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

#: What Lambda's Python runtime brings along. Source: AWS Lambda Developer Guide, "Building Lambda functions with
#: Python", "Runtime-included SDK versions".
RUNTIME = frozenset({"boto3", "botocore", "awslambdaric", "snapshot-restore-py"})

#: In ``requirements``; the first goes before the others.
LOCKS = ("dev.txt", "ocr.txt", "code-sandbox.txt")

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<rest>[^\\\n]+?)\s*\\?$", re.MULTILINE)
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^\]]*\])?")


class LockError(Exception):
    """The lock or ``pyproject.toml`` does not cover what the code imports; the message says what."""


@dataclass(frozen=True)
class Lock:
    """The pinned versions, and which requirements the project states itself."""

    text: str  #: what uv is given: one entry a version, with its hashes
    pins: dict[str, tuple[str, ...]]  #: name to ``version ; marker``, more than one where the machines differ
    extras: dict[str, str]  #: name to ``[binary]``, as pyproject.toml asks for it
    overrides: tuple[str, ...] = ()  #: requirements in place of what distributions ask for, as pyproject.toml tells uv

    def requirements(self, packages: Iterable[str]) -> list[str]:
        """The pinned lines for these top-level packages, less what Lambda has. Raises :class:`LockError`."""
        lines = []
        for name in sorted({distribution(package) for package in packages} - RUNTIME):
            if name not in self.pins:
                raise LockError(f"{name} is imported but not in requirements/; add it to pyproject.toml, `make lock`")
            lines += [f"{name}{self.extras.get(name, '')}=={pin}" for pin in self.pins[name]]
        return lines


def read_lock(root: Path) -> Lock:
    """The lock of the checkout at ``root``. Raises :class:`LockError`."""
    paths = tuple(root / "requirements" / file for file in LOCKS)
    try:
        texts = [path.read_text(encoding="utf-8") for path in paths]
        stated = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LockError(f"{error.filename} is not there: packages are built from a checkout") from None
    project = stated["project"]
    pins: dict[str, tuple[str, ...]] = {}
    entries: list[str] = []
    for text in texts:
        found = _entries(text)
        entries += [entry for name, entry in found if name not in pins]
        pins = _pins(found) | pins
    extras: dict[str, str] = {}
    for requirements in (project["dependencies"], *project["optional-dependencies"].values()):
        for requirement in requirements:
            named = _REQUIREMENT.match(requirement)
            if named and named["extras"]:
                extras[normal(named["name"])] = named["extras"]
    return Lock("".join(entries), pins, extras, tuple(stated["tool"]["uv"]["override-dependencies"]))


def _entries(text: str) -> list[tuple[str, str]]:
    """Each pinned version of one file: its name, and its lines with the hashes."""
    places = [match.start() for match in _PINNED.finditer(text)]
    entries = [text[start:end] for start, end in itertools.pairwise([*places, len(text)])]
    return [(normal(entry.partition("==")[0]), entry) for entry in entries]


def _pins(entries: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    pins: dict[str, tuple[str, ...]] = {}
    for name, entry in entries:
        if match := _PINNED.match(entry):
            pins[name] = (*pins.get(name, ()), match["rest"].strip())
    return pins


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
            raise LockError(
                f"{package} is imported but nothing installed here has it; "
                "run `make install-dev install-ocr install-code`"
            )
        case several:
            raise LockError(f"{package} is in several distributions: {', '.join(several)}")
