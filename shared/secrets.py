"""Secrets sealed for the database: AES-256-GCM (NIST SP 800-38D), one random nonce each.

The owner's and the row's ids are authenticated with the ciphertext, so that a sealed secret moved to another row or
owner does not open. Data keys come from a :class:`Keyring` and are kept in memory, so that opening asks nobody; a
secret names the key that sealed it, so that a new key may become current while the old ones still open.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

from shared.errors import MillraceError, TooLarge

if TYPE_CHECKING:
    from shared.settings import SecretSettings

LONGEST = 64 * 1024  #: bytes of one secret

_NONCE_BYTES = 12
_KEY_BYTES = 32
_PURPOSE = b"millrace secret 1\x00"  # so that nothing sealed for another purpose ever opens here


class SecretError(MillraceError):
    """The secret cannot be opened."""

    slug = "secret"


class Sealed(NamedTuple):
    """What the row keeps."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


class Keyring(Protocol):
    """Where data keys come from."""

    def current(self) -> str:
        """The id of the key that seals now."""

    def data_key(self, key_id: str) -> bytes:
        """The 32 bytes of a key; :class:`SecretError` when it is not known. Cheap: it is kept."""


def seal(keyring: Keyring, owner_id: UUID, secret_id: UUID, plaintext: str) -> Sealed:
    """``plaintext`` for the row ``secret_id`` of ``owner_id``; :class:`TooLarge` beyond ``LONGEST`` bytes."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = plaintext.encode()
    if len(data) > LONGEST:
        raise TooLarge(f"A secret has at most {LONGEST} bytes.")
    key_id = keyring.current()
    nonce = os.urandom(_NONCE_BYTES)
    return Sealed(
        key_id, nonce, AESGCM(keyring.data_key(key_id)).encrypt(nonce, data, _bound_to(owner_id, secret_id, key_id))
    )


def unseal(keyring: Keyring, owner_id: UUID, secret_id: UUID, key_id: str, nonce: bytes, ciphertext: bytes) -> str:
    """The plaintext; :class:`SecretError` when anything was changed, moved, or sealed by a key that is not known."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(keyring.data_key(key_id))
    try:
        data = cipher.decrypt(bytes(nonce), bytes(ciphertext), _bound_to(owner_id, secret_id, key_id))
    except (InvalidTag, ValueError):
        raise SecretError from None
    return data.decode()


def _bound_to(owner_id: UUID, secret_id: UUID, key_id: str) -> bytes:
    return _PURPOSE + owner_id.bytes + secret_id.bytes + key_id.encode()


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
    return f"local-{secrets.token_hex(8)}", secrets.token_bytes(_KEY_BYTES)


def _parse(document: bytes) -> tuple[str, dict[str, bytes]]:
    try:
        listed = json.loads(document)
        keys = {name: base64.b64decode(key, validate=True) for name, key in listed["keys"].items()}
        current = listed["current"]
        if current not in keys or any(len(key) != _KEY_BYTES for key in keys.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise SecretError("The key file cannot be read.", remedy="Put back the copy that was kept of it.") from None
    return current, keys


_keyrings: dict[Path, LocalKeyring] = {}


def keyring(settings: SecretSettings | None = None) -> Keyring:
    """This process's keyring; :class:`SecretError` when none is configured."""
    from shared.settings import SecretSettings

    settings = settings or SecretSettings.load()
    path = settings.secret_key_file
    if path is None:
        raise SecretError("No key file is configured.", remedy="Set MILLRACE_SECRET_KEY_FILE.")
    return _keyrings.setdefault(path, LocalKeyring(path))


def sealer(settings: SecretSettings) -> Callable[[UUID, UUID, str], Sealed]:
    """``(owner id, row id, plaintext) -> sealed`` with this process's keyring, which is read at the first call."""
    return lambda owner_id, secret_id, plaintext: seal(keyring(settings), owner_id, secret_id, plaintext)


def opener(settings: SecretSettings) -> Callable[[UUID, UUID, str, bytes, bytes], str]:
    """``(owner id, row id, key id, nonce, ciphertext) -> plaintext`` likewise."""
    return lambda owner_id, secret_id, key_id, nonce, ciphertext: unseal(
        keyring(settings), owner_id, secret_id, key_id, nonce, ciphertext
    )
