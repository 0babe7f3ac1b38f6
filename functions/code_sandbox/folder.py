"""The one folder of a run. It is in the memory of the run's process: no path of it leads to a file of the host.

WASI's file functions (``wasi``) and JavaScript's ``readFile`` and ``writeFile`` work on it. What would go over the
bounds is found out before any memory is taken, and ends the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from functions.code_sandbox.bounds import Exceeded

MAX_PATH = 255  #: of a path's bytes, from the folder on: what an artifact's path may have
MAX_DEPTH = 16


class FolderError(Exception):
    """A request that the folder refuses; ``number`` is the errno of WASI's preview 1."""

    def __init__(self, number: int) -> None:
        self.number = number


NOT_EMPTY, NO_SUCH, EXISTS, IS_FOLDER, NO_FOLDER, TOO_LONG, BAD_NAME, OUTSIDE, INVALID = (
    55,
    44,
    20,
    31,
    54,
    37,
    25,
    76,
    28,
)


@dataclass(eq=False)
class File:
    """A file's content and when it was changed, in nanoseconds."""

    data: bytearray = field(default_factory=bytearray)
    changed: int = 0
    number: int = 0  #: its own in the folder, as an inode's


@dataclass(eq=False)
class Directory:
    """Names in a folder."""

    entries: dict[str, Node] = field(default_factory=dict)
    changed: int = 0
    number: int = 0


Node = File | Directory


class Folder:
    """A bounded tree of files. Raises :class:`FolderError`, and :class:`Exceeded` where a bound is met."""

    def __init__(self, max_files: int, max_bytes: int) -> None:
        self.root = Directory()
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._files = 0
        self._bytes = 0
        self._given: dict[str, bytes] = {}
        self._made = 0

    def fill(self, files: dict[str, bytes]) -> None:
        """Put in what the run is given."""
        for path, content in files.items():
            above = self.root
            *folders, name = path.split("/")
            for part in folders:
                inner = above.entries.get(part)
                if inner is None:
                    inner = self.add(above, part, Directory())
                if not isinstance(inner, Directory):
                    raise FolderError(NO_FOLDER)
                above = inner
            if name in above.entries:
                raise FolderError(EXISTS)
            made = self.add(above, name, File())
            assert isinstance(made, File)
            self.write(made, 0, content)
        self._given = dict(files)

    def artifacts(self) -> Iterator[tuple[str, bytes]]:
        """Files that were not given so, with their paths, sorted."""
        for path, content in sorted(self.everything()):
            if self._given.get(path) != content:
                yield path, content

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """All files with their paths."""
        return self._walk(self.root, "")

    def _walk(self, above: Directory, prefix: str) -> Iterator[tuple[str, bytes]]:
        for name, node in above.entries.items():
            if isinstance(node, Directory):
                yield from self._walk(node, f"{prefix}{name}/")
            else:
                yield prefix + name, bytes(node.data)

    # --- finding

    def find(self, start: Directory, path: bytes) -> tuple[Directory, str, Node | None]:
        """The folder that ``path`` ends in, the last name (empty for the folder itself) and what is there."""
        if len(path) > MAX_PATH:
            raise FolderError(TOO_LONG)
        try:
            parts = path.decode("utf-8").split("/")
        except UnicodeDecodeError:
            raise FolderError(BAD_NAME) from None
        if b"\x00" in path or path.startswith(b"/"):
            raise FolderError(OUTSIDE)
        chain = [start]
        parts = [part for part in parts if part not in ("", ".")]
        for index, part in enumerate(parts):
            if part == "..":
                if len(chain) == 1:  # nobody climbs above the folder that was handed out
                    raise FolderError(OUTSIDE)
                chain.pop()
                continue
            node = chain[-1].entries.get(part)
            if index == len(parts) - 1:
                if node is None and len(chain) > MAX_DEPTH:
                    raise FolderError(TOO_LONG)
                return chain[-1], part, node
            if node is None:
                raise FolderError(NO_SUCH)
            if not isinstance(node, Directory):
                raise FolderError(NO_FOLDER)
            chain.append(node)
        return chain[-1], "", chain[-1]

    # --- changing

    def add(self, above: Directory, name: str, node: Node) -> Node:
        """Put a new, empty ``node`` under ``name``."""
        if self._files + 1 > self._max_files:
            raise Exceeded("files", f"more than {self._max_files} files and folders")
        self._files += 1
        self._made += 1
        node.number = self._made
        above.entries[name] = node
        return node

    def remove(self, above: Directory, name: str) -> None:
        node = above.entries.pop(name)
        self._files -= 1
        if isinstance(node, File):
            self._bytes -= len(node.data)
            node.data = bytearray()  # who has it open sees it empty, so that what is deleted takes no room

    def move(self, above: Directory, name: str, there: Directory, to: str) -> None:
        """Give ``name`` another place, where nothing or a file or an empty folder may be."""
        node = above.entries[name]
        if there.entries.get(to) is node:
            return
        if isinstance(node, Directory) and self._holds(node, there):
            raise FolderError(INVALID)
        if (old := there.entries.get(to)) is not None:
            if isinstance(old, Directory) and old.entries:
                raise FolderError(NOT_EMPTY)
            if isinstance(old, Directory) is not isinstance(node, Directory):
                raise FolderError(IS_FOLDER if isinstance(old, Directory) else NO_FOLDER)
            self.remove(there, to)
        del above.entries[name]
        there.entries[to] = node

    def _holds(self, node: Directory, other: Directory) -> bool:
        return node is other or any(
            self._holds(inner, other) for inner in node.entries.values() if isinstance(inner, Directory)
        )

    def write(self, file: File, at: int, data: bytes) -> None:
        """Put ``data`` at the offset ``at``; what lies before it and was not there is zeros."""
        if data:
            self.resize(file, max(len(file.data), at + len(data)))
            file.data[at : at + len(data)] = data

    def resize(self, file: File, size: int) -> None:
        """Cut the file, or add zeros."""
        grown = size - len(file.data)
        if self._bytes + grown > self._max_bytes:
            raise Exceeded("files", f"more than {self._max_bytes} bytes in files")
        self._bytes += grown
        if grown < 0:
            del file.data[size:]
        else:
            file.data.extend(bytes(grown))
