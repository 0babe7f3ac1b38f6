"""Secrets sealed for the database: AES-256-GCM (NIST SP 800-38D), one random nonce each.

The owner's and the row's ids are authenticated with the ciphertext, so that a sealed secret moved to another row or
owner does not open. Data keys come from a :class:`Keyring` and are kept in memory, so that opening asks nobody; a
secret names the key that sealed it, so that a new key may become current while the old ones still open.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from shared.errors import TooLarge
from shared.secrets.key_file import LocalKeyring
from shared.secrets.keys import Keyring, SecretError
from shared.secrets.kms import KmsKeyring

if TYPE_CHECKING:
    from shared.settings import SecretSettings

__all__ = [
    "LONGEST",
    "Keyring",
    "KmsKeyring",
    "LocalKeyring",
    "Sealed",
    "SecretError",
    "keyring",
    "opener",
    "seal",
    "sealer",
    "unseal",
]

LONGEST = 64 * 1024  #: bytes of one secret

_NONCE_BYTES = 12
_PURPOSE = b"millrace secret 1\x00"  # so that nothing sealed for another purpose ever opens here


class Sealed(NamedTuple):
    """What the row keeps."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


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


_keyrings: dict[str, Keyring] = {}


def keyring(settings: SecretSettings | None = None) -> Keyring:
    """This process's keyring; :class:`SecretError` when none is configured. Asks nobody: its first use does."""
    from shared.settings import SecretSettings

    settings = settings or SecretSettings.load()
    if settings.secret_kms_key is not None:
        return _keyrings.setdefault(settings.secret_kms_key, KmsKeyring(settings.secret_kms_key))
    path = settings.secret_key_file
    if path is None:
        raise SecretError(
            "No key is configured.", remedy="Set MILLRACE_SECRET_KMS_KEY, or MILLRACE_SECRET_KEY_FILE on a laptop."
        )
    return _keyrings.setdefault(str(path), LocalKeyring(path))


def sealer(settings: SecretSettings) -> Callable[[UUID, UUID, str], Sealed]:
    """``(owner id, row id, plaintext) -> sealed`` with this process's keyring, which is read at the first call."""
    return lambda owner_id, secret_id, plaintext: seal(keyring(settings), owner_id, secret_id, plaintext)


def opener(settings: SecretSettings) -> Callable[[UUID, UUID, str, bytes, bytes], str]:
    """``(owner id, row id, key id, nonce, ciphertext) -> plaintext`` likewise."""
    return lambda owner_id, secret_id, key_id, nonce, ciphertext: unseal(
        keyring(settings), owner_id, secret_id, key_id, nonce, ciphertext
    )
