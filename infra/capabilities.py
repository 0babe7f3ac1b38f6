"""Which capabilities are installed here. A face with heavy dependencies has an extra of its own (``ocr-worker``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata

DISTRIBUTION = "millrace"

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)[^;]*;\s*extra\s*==\s*['\"](?P<extra>[a-z0-9-]+)-worker['\"]\s*")


@dataclass(frozen=True, slots=True)
class Missing:
    """A capability whose packages are not all installed, and the command that installs them."""

    capability: str
    packages: tuple[str, ...]

    @property
    def command(self) -> str:
        return f"make install-{self.capability}"


def missing(requirements: Iterable[str] | None = None, installed: Callable[[str], bool] | None = None) -> list[Missing]:
    """The capabilities that cannot run here, by name. Both arguments are this environment's own unless given."""
    present = installed or _installed
    lacking: dict[str, list[str]] = {}
    for requirement in metadata.requires(DISTRIBUTION) or [] if requirements is None else requirements:
        if (match := _REQUIREMENT.fullmatch(requirement)) and not present(match["name"]):
            lacking.setdefault(match["extra"], []).append(match["name"])
    return [Missing(capability, tuple(sorted(names))) for capability, names in sorted(lacking.items())]


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
