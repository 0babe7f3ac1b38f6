"""What of an installed distribution is left out because it never runs in a function.

Only what cannot be missed: scripts, tests, what compilers and type checkers read, records of the installation, and the
parts of a few large distributions that a rule below names with its reason. A distribution's metadata, entry points and
licences stay. The test that starts every packed face, and imports all that its code names, watches over the rules.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from infra.package.closure import reached

#: For type checkers and compilers.
_SUFFIXES = frozenset({".pyi", ".pyx", ".pxd", ".pyc", ".c", ".cc", ".cpp", ".h", ".hpp", ".pxi", ".a"})
#: Plugins that tools load, not programs.
_PLUGINS = frozenset({"mypy.py", "pytest_plugin.py", "_hypothesis_plugin.py", "py.typed"})
#: What ``importlib.metadata`` answers from, and what a licence asks to be kept.
_METADATA = ("METADATA", "entry_points.txt", "top_level.txt")
_LICENCES = ("LICEN", "COPYING", "NOTICE", "AUTHORS")

#: Left out unless the face's own code imports them, by top-level name.
_WHOLE = {
    "bazel-project",  # the build tree that comes with cel-expr-python 0.1.3: setup.py, examples, tests
    "cffi",  # cryptography loads the module _cffi_backend only; the package is for writing such modules
    "pycparser",  # what cffi reads C declarations with
}
#: Folders left out. FastAPI asks whether there is a pydantic.v1, to refuse its models, and takes no for an answer; with
#: it every import of a face loads that whole former pydantic, 20 ms, for nothing here uses it.
_FOLDERS = ("pydantic/v1",)
#: Of these only the modules that our imports lead to, by other ways than these. Powertools is a collection: we use its
#: log formatter and metrics of some thirty utilities. Its router, 2 MB with the OpenAPI pages, is also asked to write
#: pydantic models into log lines, which hold plain JSON types only with us (shared.telemetry.redact).
_REACHED = {"aws_lambda_powertools": ("aws_lambda_powertools.event_handler",)}
#: Libraries of these folders are loaded only when imported by name, each linked statically: 5 to 7 MB.
_NAMED = {"cel_expr_python/ext": "cel_expr_python.ext"}


class Trim:
    """Decides for the distributions installed in one folder, for a face whose code names ``imports`` (dotted)."""

    def __init__(self, folder: Path, imports: Collection[str]) -> None:
        self._imports = imports
        self._tops = {name.partition(".")[0] for name in imports}
        self._reached = {top: reached(folder, top, imports, but) for top, but in _REACHED.items()}

    def keeps(self, path: PurePosixPath) -> bool:
        """Whether ``path``, relative to the folder, goes into the package."""
        top, name = path.parts[0], path.name
        if top.endswith(".dist-info"):
            return name in _METADATA or "licenses" in path.parts or name.upper().startswith(_LICENCES)
        if top in ("bin", ".lock") or path.suffix in _SUFFIXES or name in _PLUGINS:
            return False
        if {"tests", "__pycache__"} & set(path.parts[:-1]):
            return False
        if top in _WHOLE:
            return top in self._tops
        if str(path).startswith(tuple(f"{folder}/" for folder in _FOLDERS)):
            return False
        if top in self._reached:
            source = path if path.suffix == ".py" else path.parent / "__init__.py"
            return str(source) in self._reached[top]
        if (package := _NAMED.get(str(path.parent))) and path.suffix == ".so":
            return f"{package}.{name.partition('.')[0]}" in self._imports
        return True
