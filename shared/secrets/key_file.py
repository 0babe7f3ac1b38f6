"""Data keys in a file: the laptop's keyring."""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from shared.secrets.keys import KEY_BYTES, SecretError


class LocalKeyring:
    """Data keys in a file of one machine: ``{"current": id, "keys": {id: base64}}``, mode 0600.

    The file is made when first needed, whole or not at all, and never over one that another process made meanwhile. A
    file that others could read, or that is not ours, is refused rather than repaired: its keys may be known already.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._current = ""
        self._keys: dict[str, bytes] = {}

    def current(self) -> str:
        with self._lock:
            if not self._current:
                self._read()
            return self._current

    def data_key(self, key_id: str) -> bytes:
        with self._lock:
            if key_id not in self._keys:
                self._read()  # another process may have added it
            try:
                return self._keys[key_id]
            except KeyError:
                raise SecretError("The key that sealed this secret is not in the key file.") from None

    def rotate(self) -> str:
        """Add a new key, which seals from now on; the others go on opening. Returns its id.

        Processes that have read the file already go on sealing with the key they know.
        """
        with self._lock:
            self._read()
            key_id, key = _new_key()
            keys = {**self._keys, key_id: key}
            temporary = self._write_beside(key_id, keys)
            os.replace(temporary, self._path)
            self._current, self._keys = key_id, keys
            return key_id

    def _read(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            self._make()
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise SecretError(f"The key file cannot be opened: {error.strerror}.") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise SecretError("The key file is not a file.")
        with open(descriptor, "rb") as file:
            if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
                raise SecretError(
                    f"The key file is open to others (mode {stat.S_IMODE(status.st_mode):04o}).",
                    remedy="If nobody can have read it, make it yours alone: chmod 600. Otherwise replace its keys.",
                )
            self._current, self._keys = _parse(file.read(1024 * 1024))

    def _make(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_id, key = _new_key()
        temporary = self._write_beside(key_id, {key_id: key})
        try:
            os.link(temporary, self._path)  # unlike a rename, fails when the file is there
        except FileExistsError:
            return  # another process was first: its keys are the ones
        finally:
            os.unlink(temporary)

    def _write_beside(self, current: str, keys: dict[str, bytes]) -> str:
        """A complete key file under a temporary name in the same directory, on disk."""
        document = {"current": current, "keys": {name: base64.b64encode(key).decode() for name, key in keys.items()}}
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")  # 0600
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                json.dump(document, file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        return temporary


def _new_key() -> tuple[str, bytes]:
    return f"local-{secrets.token_hex(8)}", secrets.token_bytes(KEY_BYTES)


def _parse(document: bytes) -> tuple[str, dict[str, bytes]]:
    try:
        listed = json.loads(document)
        keys = {name: base64.b64decode(key, validate=True) for name, key in listed["keys"].items()}
        current = listed["current"]
        if current not in keys or any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise SecretError("The key file cannot be read.", remedy="Put back the copy that was kept of it.") from None
    return current, keys
