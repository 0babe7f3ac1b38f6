"""Data keys that AWS KMS makes and opens: the deployment's keyring.

A data key's id holds the key itself, encrypted by KMS: ``kms.<name>.<base64url of the encrypted key>``. So the row of a
secret has all that opens it but the leave to ask KMS; there is no table of keys to read beside it, to provision or to
lose, and a function that only opens secrets needs no more than ``kms:Decrypt``. The name is in the encryption context
too ("Encryption context", AWS KMS Developer Guide): CloudTrail tells which key was asked for, and a key that was put
under another's name does not open.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shared.errors import Unavailable
from shared.secrets.keys import KEY_BYTES, SecretError

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient

#: How long a key is kept in memory: so long may pass until taking a role's leave away has its effect.
KEPT_SECONDS = 3600.0
#: How many are kept. Each process that seals makes one an hour, so a busy installation has some thousands.
KEPT_KEYS = 1000

_KEY_ID = re.compile(r"kms\.([0-9a-f]{16})\.([A-Za-z0-9_-]{1,8192})")


def _own_client() -> KMSClient:
    from shared import aws

    return aws.client("kms")


class KmsKeyring:
    """Data keys under the KMS key ``kms_key`` (id, ARN or alias). Asks KMS once an hour and key, not once a secret."""

    def __init__(
        self,
        kms_key: str,
        *,
        open_client: Callable[[], KMSClient] = _own_client,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kms_key = kms_key
        self._client = open_client
        self._clock = clock
        self._lock = threading.Lock()
        self._sealing = ""  #: the id of the key that seals
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()  #: and until when, the last used last

    def current(self) -> str:
        with self._lock:
            if self._keep(self._sealing) is None:
                self._sealing = self._make()
            return self._sealing

    def data_key(self, key_id: str) -> bytes:
        with self._lock:
            found = self._keep(key_id)
            return self._open(key_id) if found is None else found

    def _keep(self, key_id: str) -> bytes | None:
        """The key, if it is in memory and not for too long."""
        key, until = self._kept.get(key_id, (b"", 0.0))
        if not key or self._clock() >= until:
            self._kept.pop(key_id, None)
            return None
        self._kept.move_to_end(key_id)
        return key

    def _make(self) -> str:
        name = secrets.token_hex(8)
        with _errors():
            made = self._client().generate_data_key(
                KeyId=self._kms_key, KeySpec="AES_256", EncryptionContext=_context(name)
            )
        wrapped = base64.urlsafe_b64encode(made["CiphertextBlob"]).decode().rstrip("=")
        return self._remember(f"kms.{name}.{wrapped}", made["Plaintext"])

    def _open(self, key_id: str) -> bytes:
        found = _KEY_ID.fullmatch(key_id)
        if found is None:
            raise SecretError(
                "This secret was not sealed with a key of KMS.", remedy="Set it anew; or set MILLRACE_SECRET_KEY_FILE."
            )
        name, wrapped = found.groups()
        try:
            blob = base64.urlsafe_b64decode(wrapped + "=" * (-len(wrapped) % 4))
        except binascii.Error:
            raise SecretError("The key of this secret cannot be read.") from None
        with _errors():
            key = self._client().decrypt(CiphertextBlob=blob, KeyId=self._kms_key, EncryptionContext=_context(name))[
                "Plaintext"
            ]
        self._remember(key_id, key)
        return key

    def _remember(self, key_id: str, key: bytes) -> str:
        if len(key) != KEY_BYTES:
            raise SecretError(f"KMS gave a key of {len(key)} bytes.")
        self._kept[key_id] = key, self._clock() + KEPT_SECONDS
        while len(self._kept) > KEPT_KEYS:
            self._kept.popitem(last=False)
        return key_id


def _context(name: str) -> dict[str, str]:
    return {"millrace": "data key", "name": name}


@contextmanager
def _errors() -> Iterator[None]:
    """KMS's refusals as ours: a key that never opens again, and a KMS that cannot be asked now."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("InvalidCiphertextException", "IncorrectKeyException"):
            raise SecretError("The key of this secret is not one of this installation's KMS key.") from None
        if code in ("AccessDeniedException", "NotFoundException", "DisabledException", "KMSInvalidStateException"):
            raise SecretError(
                f"KMS refuses its key ({code}).", remedy="Check MILLRACE_SECRET_KMS_KEY, the key's state and the role."
            ) from None
        raise Unavailable(f"KMS could not do that ({code}).", retry_after=2) from error
    except BotoCoreError as error:
        raise Unavailable(f"KMS cannot be used: {type(error).__name__}.", retry_after=2) from error
