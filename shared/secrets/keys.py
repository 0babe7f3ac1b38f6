"""The keyring's port: where data keys come from."""

from __future__ import annotations

from typing import Protocol

from shared.errors import MillraceError

KEY_BYTES = 32  #: of a data key, for AES-256


class SecretError(MillraceError):
    """The secret cannot be opened."""

    slug = "secret"


class Keyring(Protocol):
    """Where data keys come from."""

    def current(self) -> str:
        """The id of the key that seals now."""

    def data_key(self, key_id: str) -> bytes:
        """The 32 bytes of a key; :class:`SecretError` when it is not known. Cheap: it is kept."""
