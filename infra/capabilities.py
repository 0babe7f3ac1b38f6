"""Which capabilities are installed here. A face with heavy dependencies has an extra of its own (``ocr-worker``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata

DISTRIBUTION = "millrace"

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)[^;]*;\s*extra\s*==\s*['\"](?P<extra>[a-z0-9-]+)-worker['\"]\s*")

#: The capability as node types name it, and the command, where the face's extra is named otherwise.
_NAMED = {"code-sandbox": ("code_exec", "make install-code")}


@dataclass(frozen=True, slots=True)
class Missing:
    """A capability that lacks packages, and the command that installs them."""

    capability: str
    packages: tuple[str, ...]
    command: str


def missing(requirements: Iterable[str] | None = None, installed: Callable[[str], bool] | None = None) -> list[Missing]:
    """The capabilities that cannot run here, by name. Both arguments are this environment's own unless given."""
    present = installed or _installed
    lacking = {
        extra: tuple(sorted(name for name in names if not present(name)))
        for extra, names in _by_extra(requirements).items()
    }
    if installed is None and lacking.get("code-sandbox") == ():
        from functions.code_sandbox import runtimes  # what npm brings is no distribution

        if not runtimes.installed():
            lacking["code-sandbox"] = tuple(sorted(runtime.package for runtime in runtimes.RUNTIMES.values()))
    return sorted(
        (Missing(_capability(extra), names, _command(extra)) for extra, names in lacking.items() if names),
        key=lambda one: one.capability,
    )


def present(requirements: Iterable[str] | None = None, installed: Callable[[str], bool] | None = None) -> list[str]:
    """The capabilities with packages of their own that can run here, as ``MILLRACE_CAPABILITIES`` names them."""
    lacking = {one.capability for one in missing(requirements, installed)}
    return sorted({_capability(extra) for extra in _by_extra(requirements)} - lacking)


def _by_extra(requirements: Iterable[str] | None) -> dict[str, list[str]]:
    """The distributions that each worker's extra asks for."""
    stated = metadata.requires(DISTRIBUTION) or [] if requirements is None else requirements
    found: dict[str, list[str]] = {}
    for requirement in stated:
        if match := _REQUIREMENT.fullmatch(requirement):
            found.setdefault(match["extra"], []).append(match["name"])
    return found


def _capability(extra: str) -> str:
    return _NAMED.get(extra, (extra, ""))[0]


def _command(extra: str) -> str:
    return _NAMED.get(extra, ("", f"make install-{extra}"))[1]


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
