"""WASI's file functions, on the folder of a run. Links, locks and other users' rights do not exist."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from functions.code_sandbox import folder as folders
from functions.code_sandbox.folder import Directory, File, Folder, FolderError
from functions.code_sandbox.machine import Time
from functions.code_sandbox.wasi import BAD_FD, CHARACTERS, INVALID, MOST_SAID, OK, STDERR, Program, Streams

_DIRECTORY, _FILE = 3, 4
_TOO_MANY_OPEN, _NO_SEEK = 33, 70
_CREATE, _DIRECTORY_ONLY, _EXCLUSIVE, _TRUNCATE = 1, 2, 4, 8  # how path_open is asked
_APPEND = 1
_READ, _WRITE = 1 << 1, 1 << 6  # rights
_ALL = (1 << 30) - 1
FOLDER_FD = 3
MOUNT = b"/files"  #: where a program finds its folder
REPORT = ".report"  #: opened for writing there, it is the way of the result; it is no file
MAX_OPEN = 64
_SET_CHANGED, _SET_CHANGED_NOW = 4, 8


@dataclass
class _Report:
    """The way of the result."""

    changed = number = 0


@dataclass
class _Open:
    """What a descriptor stands for."""

    node: File | Directory | _Report
    at: int = 0
    append: bool = False
    readable: bool = True
    writable: bool = True


class Wasi(Streams):
    """All of WASI that there is here."""

    folder = Folder(0, 0)
    _open: dict[int, _Open] = {}

    def begin(self, program: Program, time: Time, folder: Folder, data: bytes = b"") -> None:
        super().begin(program, time, folder, data)
        self.folder = folder
        self._open = {FOLDER_FD: _Open(folder.root)}

    def _descriptor(self, fd: int) -> _Open:
        found = self._open.get(fd)
        if found is None:
            raise FolderError(BAD_FD)
        return found

    def _file(self, fd: int) -> tuple[_Open, File]:
        found = self._descriptor(fd)
        if not isinstance(found.node, File):
            raise FolderError(folders.IS_FOLDER)
        return found, found.node

    def _directory(self, fd: int) -> Directory:
        found = self._descriptor(fd).node
        if not isinstance(found, Directory):
            raise FolderError(folders.NO_FOLDER)
        return found

    def _find(self, fd: int, path: int, size: int) -> tuple[Directory, str, File | Directory | None]:
        if size > 4096:
            raise FolderError(folders.TOO_LONG)
        return self.folder.find(self._directory(fd), self.memory.read(path, size))

    def _there(self, fd: int, path: int, size: int) -> tuple[Directory, str, File | Directory]:
        above, name, node = self._find(fd, path, size)
        if node is None:
            raise FolderError(folders.NO_SUCH)
        return above, name, node

    # --- the folder that is there from the start

    def fd_prestat_get(self, fd: int, to: int) -> int:
        if fd != FOLDER_FD:
            return BAD_FD
        self.memory.write(to, struct.pack("<B3xI", 0, len(MOUNT)))
        return OK

    def fd_prestat_dir_name(self, fd: int, to: int, size: int) -> int:
        if fd != FOLDER_FD or size < len(MOUNT):
            return BAD_FD
        self.memory.write(to, MOUNT)
        return OK

    # --- opening and closing

    def path_open(
        self, fd: int, follow: int, path: int, size: int, how: int, rights: int, inherited: int, flags: int, to: int
    ) -> int:
        above, name, node = self._find(fd, path, size)
        if len(self._open) >= MAX_OPEN:
            return _TOO_MANY_OPEN
        if above is self.folder.root and name == REPORT and rights & _WRITE:
            return self._opened(_Open(_Report()), to)
        if node is None:
            if not how & _CREATE or how & _DIRECTORY_ONLY:
                return folders.NO_SUCH
            node = self.folder.add(above, name, File(changed=self.time.read(0)))
        elif how & _EXCLUSIVE:
            return folders.EXISTS
        elif how & _DIRECTORY_ONLY and isinstance(node, File):
            return folders.NO_FOLDER
        if isinstance(node, Directory) and (rights & _WRITE or how & (_CREATE | _TRUNCATE)):
            return folders.IS_FOLDER
        if how & _TRUNCATE and isinstance(node, File):
            self.folder.resize(node, 0)
        opened = _Open(node, 0, bool(flags & _APPEND), bool(rights & _READ), bool(rights & _WRITE))
        return self._opened(opened, to)

    def _opened(self, opened: _Open, to: int) -> int:
        fd = next(number for number in range(FOLDER_FD + 1, FOLDER_FD + 2 + MAX_OPEN) if number not in self._open)
        self.memory.write(to, struct.pack("<I", fd))
        self._open[fd] = opened
        return OK

    def fd_close(self, fd: int) -> int:
        if fd <= STDERR:
            return OK
        self._descriptor(fd)
        del self._open[fd]
        return OK

    def fd_renumber(self, fd: int, to: int) -> int:
        self._descriptor(to)
        self._open[to] = self._descriptor(fd)
        if fd != to:
            del self._open[fd]
        return OK

    # --- reading and writing

    def fd_read(self, fd: int, vectors: int, count: int, to: int) -> int:
        if fd <= STDERR:
            return super().fd_read(fd, vectors, count, to)
        opened, _ = self._file(fd)
        opened.at += self._read(fd, vectors, count, opened.at, to)
        return OK

    def fd_pread(self, fd: int, vectors: int, count: int, offset: int, to: int) -> int:
        self._read(fd, vectors, count, offset, to)
        return OK

    def _read(self, fd: int, vectors: int, count: int, at: int, to: int) -> int:
        opened, file = self._file(fd)
        if not opened.readable or at < 0:
            raise FolderError(BAD_FD if at >= 0 else INVALID)
        taken = 0
        for where, size in self.memory.buffers(vectors, count):
            part = bytes(file.data[at + taken : at + taken + size])
            self.memory.write(where, part)
            taken += len(part)
        self.memory.write(to, struct.pack("<I", taken))
        return taken

    def fd_write(self, fd: int, vectors: int, count: int, to: int) -> int:
        if fd <= STDERR:
            return super().fd_write(fd, vectors, count, to)
        opened = self._descriptor(fd)
        if isinstance(opened.node, File) and opened.append:
            opened.at = len(opened.node.data)
        opened.at += self._write(fd, vectors, count, opened.at, to)
        return OK

    def fd_pwrite(self, fd: int, vectors: int, count: int, offset: int, to: int) -> int:
        self._write(fd, vectors, count, offset, to)
        return OK

    def _write(self, fd: int, vectors: int, count: int, at: int, to: int) -> int:
        opened = self._descriptor(fd)
        if not opened.writable or at < 0:
            raise FolderError(BAD_FD if at >= 0 else INVALID)
        written = 0
        for where, size in self.memory.buffers(vectors, count):
            if isinstance(opened.node, File):
                if size:  # room first: what does not fit is not copied out of the program
                    self.folder.resize(opened.node, max(len(opened.node.data), at + written + size))
                    self.folder.write(opened.node, at + written, self.memory.read(where, size))
                opened.node.changed = self.time.read(0)
            elif isinstance(opened.node, _Report) and self.program is not None:
                self.program.report(self.memory.read(where, min(size, MOST_SAID)))
            else:
                raise FolderError(folders.IS_FOLDER)
            written += size
        self.memory.write(to, struct.pack("<I", written))
        return written

    def fd_seek(self, fd: int, offset: int, whence: int, to: int) -> int:
        if fd <= STDERR:
            return _NO_SEEK
        opened = self._descriptor(fd)
        if not isinstance(opened.node, File):
            return _NO_SEEK
        starts = (0, opened.at, len(opened.node.data))
        if whence >= len(starts) or not 0 <= starts[whence] + offset < 1 << 62:
            return INVALID
        opened.at = starts[whence] + offset
        self.memory.write(to, struct.pack("<Q", opened.at))
        return OK

    def fd_tell(self, fd: int, to: int) -> int:
        self.memory.write(to, struct.pack("<Q", self._descriptor(fd).at))
        return OK

    def fd_filestat_set_size(self, fd: int, size: int) -> int:
        opened, file = self._file(fd)
        if not opened.writable or size < 0:
            return INVALID
        self.folder.resize(file, size)
        return OK

    def fd_allocate(self, fd: int, offset: int, size: int) -> int:
        opened, file = self._file(fd)
        if not opened.writable or offset < 0 or size < 0:
            return INVALID
        self.folder.resize(file, max(len(file.data), offset + size))
        return OK

    def fd_sync(self, fd: int) -> int:
        return OK

    fd_datasync = fd_sync

    def fd_advise(self, fd: int, offset: int, size: int, advice: int) -> int:
        return OK

    # --- looking

    def fd_fdstat_get(self, fd: int, to: int) -> int:
        if fd <= STDERR:
            return super().fd_fdstat_get(fd, to)
        opened = self._descriptor(fd)
        kind = _DIRECTORY if isinstance(opened.node, Directory) else _FILE
        rights = _ALL if kind == _DIRECTORY else _ALL & ~(0 if opened.readable else _READ)
        self.stat_of_descriptor(to, kind, _APPEND if opened.append else 0, rights)
        return OK

    def fd_fdstat_set_flags(self, fd: int, flags: int) -> int:
        self._descriptor(fd).append = bool(flags & _APPEND)
        return OK

    def fd_filestat_get(self, fd: int, to: int) -> int:
        if fd <= STDERR:
            self.memory.write(to, struct.pack("<QQB7xQQQQQ", 0, fd, CHARACTERS, 1, 0, 0, 0, 0))
        else:
            self._stat(self._descriptor(fd).node, to)
        return OK

    def path_filestat_get(self, fd: int, follow: int, path: int, size: int, to: int) -> int:
        self._stat(self._there(fd, path, size)[2], to)
        return OK

    def _stat(self, node: File | Directory | _Report, to: int) -> None:
        kind = _DIRECTORY if isinstance(node, Directory) else _FILE
        size = len(node.data) if isinstance(node, File) else 0
        times = (node.changed,) * 3
        self.memory.write(to, struct.pack("<QQB7xQQQQQ", 1, node.number, kind, 1, size, *times))

    def fd_readdir(self, fd: int, buffer: int, size: int, cookie: int, to: int) -> int:
        """Entries from ``cookie`` on, the last one cut off where the buffer ends."""
        entries = b""
        listed = list(self._directory(fd).entries.items())
        for index, (name, node) in enumerate(listed[max(0, cookie) :], start=max(0, cookie)):
            kind = _DIRECTORY if isinstance(node, Directory) else _FILE
            shown = name.encode()
            entries += struct.pack("<QQIB3x", index + 1, node.number, len(shown), kind) + shown
            if len(entries) >= size:
                break
        self.memory.write(buffer, entries[:size])
        self.memory.write(to, struct.pack("<I", min(len(entries), size)))
        return OK

    # --- changing

    def path_create_directory(self, fd: int, path: int, size: int) -> int:
        above, name, node = self._find(fd, path, size)
        if node is not None:
            return folders.EXISTS
        self.folder.add(above, name, Directory(changed=self.time.read(0)))
        return OK

    def path_remove_directory(self, fd: int, path: int, size: int) -> int:
        above, name, node = self._there(fd, path, size)
        if not isinstance(node, Directory):
            return folders.NO_FOLDER
        if node.entries:
            return folders.NOT_EMPTY
        if not name:
            return INVALID
        self.folder.remove(above, name)
        return OK

    def path_unlink_file(self, fd: int, path: int, size: int) -> int:
        above, name, node = self._there(fd, path, size)
        if isinstance(node, Directory):
            return folders.IS_FOLDER
        self.folder.remove(above, name)
        return OK

    def path_rename(self, fd: int, path: int, size: int, new_fd: int, new_path: int, new_size: int) -> int:
        above, name, _ = self._there(fd, path, size)
        there, to, _ = self._find(new_fd, new_path, new_size)
        if not name or not to:
            return INVALID
        self.folder.move(above, name, there, to)
        return OK

    def path_filestat_set_times(
        self, fd: int, follow: int, path: int, size: int, read: int, changed: int, which: int
    ) -> int:
        self._set_times(self._there(fd, path, size)[2], changed, which)
        return OK

    def fd_filestat_set_times(self, fd: int, read: int, changed: int, which: int) -> int:
        node = self._descriptor(fd).node
        if not isinstance(node, _Report):
            self._set_times(node, changed, which)
        return OK

    def _set_times(self, node: File | Directory, changed: int, which: int) -> None:
        if which & _SET_CHANGED:
            node.changed = changed & 0xFFFF_FFFF_FFFF_FFFF
        elif which & _SET_CHANGED_NOW:
            node.changed = self.time.read(0)
