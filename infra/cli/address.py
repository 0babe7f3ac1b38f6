"""Where the local stack is: a small file beside its data, written when it is up, removed when it stops."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "address.json"


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API is: its base URL, a token for it if there is one, and the process that serves it if it is ours."""

    url: str
    token: str | None
    pid: int | None
    embedded: bool = False  #: it is the local stack on its own Postgres, which the demo may use


def write_address(home: Path, address: Address) -> None:
    """Write the file with mode 0600, for it holds a token; in one move, so that no reader sees half of it."""
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f"{NAME}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(address), file)
    draft.replace(home / NAME)


def read_address(home: Path) -> Address | None:
    """The address, or None when there is no file, it cannot be understood, or its process is gone."""
    try:
        found = json.loads((home / NAME).read_text(encoding="utf-8"))
        pid = int(found["pid"])
        address = Address(str(found["url"]), str(found["token"]), pid, found["embedded"] is True)
        os.kill(pid, 0)  # a stack that was killed left its file behind
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address


def remove_address(home: Path) -> None:
    (home / NAME).unlink(missing_ok=True)
