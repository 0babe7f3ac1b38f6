"""One command line of ``millrace provision``, in this process."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import shared.settings
from infra import cli


@dataclass(frozen=True)
class Done:
    """A command line that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def outcomes(self) -> dict[str, str]:
        return {result["name"]: result["outcome"] for result in self.json["results"]}

    def result(self, name: str) -> dict[str, Any]:
        [found] = [result for result in self.json["results"] if result["name"] == name]
        return dict(found)


def run(*arguments: str) -> Done:
    shared.settings.forget()
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main(["provision", *arguments])
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
    return Done(code, out.getvalue(), err.getvalue())
