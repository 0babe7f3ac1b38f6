"""What a face's code reaches: our modules, named statements and other people's packages, read from the source.

Every import statement counts, also one inside a function that runs only sometimes, but for those under
``if TYPE_CHECKING:``. Nothing is imported to find out, so a face can be read for a machine that is not here. Code that
chooses at run time what it imports, or which statements it loads, cannot be read so and is refused.

What lies beside a capability's code and is no code comes along, but for what was installed or made there: of that a
face gets the files that ``data.yml`` in the capability's folder declares for it, for that may be large and of other
faces. What is declared with ``{machine}`` in its name is made for one kind of processor.
"""

from __future__ import annotations

import ast
import functools
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from infra.local.variables import ServerlessError, load_yaml

#: Our own top-level packages that a function may contain.
OURS = ("functions", "shared", "sql")
#: Parts of the standard library that read a distribution's data. Lambda's images carry no time zones.
DATA = {"zoneinfo": "tzdata"}

#: CPython 3.11 counts the depth of what it parses for all threads together, and fails when two parse at once.
_PARSER = threading.Lock()
#: Where a capability says what of its installed files goes into packages.
DECLARATION = "data.yml"
#: Stands in a declared name for a kind of processor, as ``platform.machine()`` names it.
MACHINE = "{machine}"
_FOR_INSTALLING = (DECLARATION, "package.json", "package-lock.json", ".npmrc")
_IMPORTERS = ("importlib.import_module", "import_module", "__import__")


class ClosureError(Exception):
    """The source does not say what it needs; the message says where."""


@dataclass(frozen=True)
class Closure:
    """All that one face reaches."""

    files: tuple[str, ...]  #: of ours, relative to the root, sorted
    imports: dict[str, str] = field(default_factory=dict)  #: other people's modules, dotted, and one file that names it
    data: tuple[str, ...] = ()  #: what ``data.yml`` declares for it, relative to the root, sorted
    made: tuple[str, ...] = ()  #: the same with ``{machine}`` in the name, there or not

    @property
    def packages(self) -> frozenset[str]:
        """Top-level names of other people's modules."""
        return frozenset(name.partition(".")[0] for name in self.imports)

    @property
    def modules(self) -> tuple[str, ...]:
        """Our modules, dotted."""
        sources = (file for file in self.files if file.endswith(".py"))
        return tuple(file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in sources)


class _Needs(NamedTuple):
    """What one source file names."""

    ours: tuple[str, ...]  #: dotted; some are names inside a module rather than modules
    others: tuple[str, ...]
    statements: tuple[str, ...]


class _Declaration(NamedTuple):
    """What ``data.yml`` says: the command that puts the files there, and patterns by face."""

    install: str
    files: dict[str, tuple[str, ...]]

    @property
    def folders(self) -> frozenset[str]:
        """Where nothing lies but what is installed or made."""
        return frozenset(
            {"node_modules", *(pattern.partition("/")[0] for one in self.files.values() for pattern in one)}
        )


def closure(root: Path, handler: str, unused: Collection[str] = ()) -> Closure:
    """What ``handler`` (``functions/account/api.handler``) reaches. Raises :class:`ClosureError`.

    ``unused`` are files of ours that come along but never run there, so that what they import is not needed.
    """
    first = handler.rpartition(".")[0].replace("/", ".")
    if _file(root, first) is None:
        raise ClosureError(f"there is no module for the handler {handler}")
    files: set[str] = set()
    imports: dict[str, str] = {}
    for path, needs in _walk(root, [first], OURS):
        files.add(path)
        for name in needs.others if path not in unused else ():
            imports.setdefault(name, path)
        for name in needs.statements:
            statements = f"sql/queries/{name}.sql"
            if not (root / statements).is_file():
                raise ClosureError(f"{path} loads {statements}, which is not there")
            files.update((statements, "sql/__init__.py"))
    module = Path(first.replace(".", "/"))
    declared = _declaration(root, module.parent)
    files.update(_beside(root, module.parent, declared.folders))
    mine = declared.files.get(module.name, ())
    made = tuple(sorted(str(module.parent / pattern) for pattern in mine if MACHINE in pattern))
    data = tuple(sorted(_found(root, module.parent, declared, [one for one in mine if MACHINE not in one])))
    return Closure(tuple(sorted(files)), dict(sorted(imports.items())), data, made)


def reached(folder: Path, package: str, imports: Iterable[str], but: Collection[str] = ()) -> frozenset[str]:
    """The sources of another's ``package``, installed in ``folder``, that ``imports`` lead to, one by another.

    Ways through the modules ``but``, dotted, are not taken.

    Only for packages that import by statements; what they choose at run time is not seen.
    """
    starts = [name for name in imports if name.partition(".")[0] == package]
    return frozenset(path for path, _ in _walk(folder, starts, (package,), but, exact=False))


def _walk(
    root: Path, starts: Iterable[str], tops: tuple[str, ...], but: Collection[str] = (), *, exact: bool = True
) -> Iterator[tuple[str, _Needs]]:
    """Every source file under ``root`` that ``starts`` lead to within the packages ``tops``, once."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        for module in _with_parents(waiting.pop()):
            if module in but:
                break
            path = _file(root, module)
            if path is not None and path not in seen:
                seen.add(path)
                needs = _needs((root / path).read_bytes(), path, module, tops, exact)
                waiting += needs.ours
                yield path, needs


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _file(root: Path, module: str) -> str | None:
    """The source of one of our modules, relative to ``root``; None when the name is of something inside a module."""
    path = module.replace(".", "/")
    return next((file for file in (f"{path}/__init__.py", f"{path}.py") if (root / file).is_file()), None)


def _declaration(root: Path, capability: Path) -> _Declaration:
    path = root / capability / DECLARATION
    if not path.is_file():
        return _Declaration("", {})
    try:
        given: Any = load_yaml(path)
        files = {str(face): tuple(map(str, patterns)) for face, patterns in given["files"].items()}
        return _Declaration(str(given["install"]), files)
    except (ServerlessError, KeyError, TypeError, AttributeError) as error:
        raise ClosureError(f"{capability / DECLARATION}: `install` and `files`, by face, are wanted: {error}") from None


def _beside(root: Path, capability: Path, folders: Collection[str]) -> Iterator[str]:
    """What lies beside a capability's code and is not code: it is there to be read at run time."""
    for path in (root / capability).rglob("*"):
        inside = path.relative_to(root / capability)
        if path.suffix in (".py", ".pyc", ".md") or path.name in _FOR_INSTALLING or inside.parts[0] in folders:
            continue
        if path.is_file():
            yield (capability / inside).as_posix()


def _found(root: Path, capability: Path, declared: _Declaration, patterns: Iterable[str]) -> Iterator[str]:
    """What the patterns of a face find. Raises :class:`ClosureError` for one that finds nothing."""
    for pattern in patterns:
        found = [one for one in (root / capability).glob(pattern) if one.is_file()]
        if not found:
            raise ClosureError(
                f"{capability / DECLARATION} declares {pattern}, which is not there; run `{declared.install}`"
            )
        yield from (one.relative_to(root).as_posix() for one in found)


@functools.lru_cache(maxsize=4096)
def _needs(source: bytes, shown: str, module: str, tops: tuple[str, ...], exact: bool) -> _Needs:
    with _PARSER:
        tree = ast.parse(source, filename=shown)
    package = module if shown.endswith("__init__.py") else module.rpartition(".")[0]
    names: list[str] = []
    statements: list[str] = []
    loaders = _loaders(tree)
    for node in _run(tree):
        match node:
            case ast.Import():
                names += [alias.name for alias in node.names]
            case ast.ImportFrom():
                parent = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*parent, *([node.module] if node.module else [])])
                names += [f"{base}.{alias.name}" for alias in node.names]
            case ast.Call():
                called = ast.unparse(node.func)
                if called in loaders or called in _IMPORTERS:
                    loaded = _literal(node)
                    if loaded is not None:
                        (statements if called in loaders else names).append(loaded)
                    elif exact:
                        raise ClosureError(
                            f"{shown}:{node.lineno}: {ast.unparse(node)} chooses at run time what it loads; "
                            "name it outright"
                        )
    ours = tuple(name for name in names if name.partition(".")[0] in tops)
    others = tuple(
        name
        for name in dict.fromkeys(DATA.get(name.partition(".")[0], name) for name in names)
        if name.partition(".")[0] not in (*tops, *sys.stdlib_module_names)
    )
    return _Needs(ours, others, tuple(statements))


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below that may run: all but what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for otherwise in child.orelse:
                yield otherwise
                yield from _run(otherwise)
            continue
        yield child
        yield from _run(child)


def _loaders(tree: ast.AST) -> frozenset[str]:
    """Under which names this module knows ``shared.statements.load``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (node.module, alias.name) == ("shared", "statements"):
                    found.add(f"{alias.asname or alias.name}.load")
                elif (node.module, alias.name) == ("shared.statements", "load"):
                    found.add(alias.asname or alias.name)
    return frozenset(found)


def _literal(call: ast.Call) -> str | None:
    match call.args:
        case [ast.Constant(value=str(text))]:
            return text
    return None
