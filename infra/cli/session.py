"""What every command shares: the global options, the address it talks to, and where its answers go."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from infra.cli.address import Address, read_address
from infra.cli.exits import Exit, Failure
from infra.cli.screen import console

if TYPE_CHECKING:  # httpx takes a tenth of a second, which `migrate` and `--help` need not pay
    from infra.cli.api import Api


@dataclass
class Session:
    """One command line's choices. ``home`` is the directory that holds the local stack's data."""

    url: str | None = None
    token: str | None = None
    as_json: bool = False
    home: Path = Path(".millrace")
    screen: Console = field(default_factory=console)

    def address(self) -> Address:
        """The address given, or else that of the local stack that runs here."""
        local = read_address(self.home)
        if self.url is not None:
            return Address(self.url.rstrip("/"), self.token, None)
        if local is None:
            raise Failure(
                "No address was given and no local stack runs here.",
                remedy="Start one with `millrace dev`, or give --url (MILLRACE_URL) and --token (MILLRACE_TOKEN).",
                exit_code=Exit.UNREACHABLE,
            )
        return Address(local.url, self.token or local.token, local.pid)

    def api(self) -> Api:
        """A client for :meth:`address`."""
        from infra.cli.api import Api

        address = self.address()
        return Api(address.url, address.token, for_people=not self.as_json)

    def show(self, value: Any, render: Callable[[], object]) -> None:
        """``value`` as one JSON document with ``--json``, else whatever ``render`` makes of it."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
            sys.stdout.flush()
            return
        if (made := render()) is not None:
            self.screen.print(made, soft_wrap=isinstance(made, Text))
