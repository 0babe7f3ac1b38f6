"""Runs osls on a copy of ``serverless.yml``: no network, no credentials, nothing written into the repository.

The template does not depend on what is in the packages but for the hashes of published versions, so an empty zip stands
in for each one that is not built.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.variables import Variables, load_yaml

#: osls takes about three seconds.
_PATIENCE_SECONDS = 120
#: Under this name osls leaves the template that it would deploy.
_COMPILED = Path(".serverless/cloudformation-template-update-stack.json")


class TemplateError(Exception):
    """The template cannot be compiled, or must not be deployed; the message says what to do."""


@dataclass(frozen=True)
class Template:
    """A compiled template."""

    stage: str
    body: dict[str, Any]
    missing: tuple[str, ...]  #: packages that are not built, by their paths

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Those of one type, such as ``AWS::SQS::Queue``, by logical id."""
        return {name: found for name, found in self.body["Resources"].items() if found["Type"] == kind}


def osls(root: Path) -> Path | None:
    """The osls that ``make install-deploy`` installed, where a Node is that runs it."""
    program = root / "node_modules" / ".bin" / "osls"
    return program if program.exists() and _node_will_do() else None


@functools.cache
def _node_will_do() -> bool:
    """Node ^20.19, ^22.13 or 24 and newer: what osls 4 asks for."""
    if (node := shutil.which("node")) is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.fullmatch(r"v(\d+)\.(\d+)\.\d+.*", said.strip())
    if match is None:
        return False
    major, minor = int(match[1]), int(match[2])
    return major >= 24 or (major, minor) >= {20: (20, 19), 22: (22, 13)}.get(major, (99, 0))


def compile_template(root: Path, stage: str, env: Mapping[str, str] | None = None) -> Template:
    """What ``serverless.yml`` in ``root`` becomes for ``stage``. ``env`` is this process's unless given."""
    program = osls(root)
    if program is None:
        raise TemplateError("osls is not installed: it needs Node 20.19 or newer, then `make install-deploy`.")
    env = os.environ if env is None else env
    with tempfile.TemporaryDirectory(prefix="template-") as folder:
        copy = Path(folder)
        shutil.copy(root / "serverless.yml", copy)
        shutil.copytree(root / "infra", copy / "infra", ignore=_only_yaml)
        missing = [path for path in packages(copy, stage, env) if not (root / path).is_file()]
        for path in packages(copy, stage, env):
            _stand_in(copy / path, root / path)
        ran = subprocess.run(
            [program.absolute(), "package", "--stage", stage],
            cwd=copy,
            env={**env, "HOME": folder, "PATH": os.environ.get("PATH", os.defpath), "SLS_TELEMETRY_DISABLED": "1"},
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        if ran.returncode != 0:
            raise TemplateError(f"osls cannot compile serverless.yml:\n{(ran.stdout + ran.stderr).strip()}")
        body = json.loads((copy / _COMPILED).read_text(encoding="utf-8"))
    return Template(stage, body, tuple(str(path) for path in missing))


def packages(root: Path, stage: str, env: Mapping[str, str]) -> list[Path]:
    """Where ``serverless.yml`` says that each function's package lies, below ``root``; images have none."""
    document = load_yaml(root / "serverless.yml")
    functions = Variables(root, document, stage, env).resolve(document["functions"])
    return [Path(function["package"]["artifact"]) for function in functions.values() if "image" not in function]


def _stand_in(path: Path, package: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if package.is_file():
        path.symlink_to(package.absolute())
    else:
        zipfile.ZipFile(path, "w").close()


def _only_yaml(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".yml")]
