"""A sealed secret opens for its own row with its own key, and in no other way."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import TooLarge
from shared.secrets import LONGEST, LocalKeyring, Sealed, SecretError, keyring, opener, seal, sealer, unseal
from shared.settings import SecretSettings

OWNER = UUID("00000000-0000-4000-8000-000000000001")
ROW = UUID("00000000-0000-4000-8000-000000000002")


class OneKey:
    """A keyring of fixed keys."""

    def __init__(self, **keys: bytes) -> None:
        self.keys = keys

    def current(self) -> str:
        return next(iter(self.keys))

    def data_key(self, key_id: str) -> bytes:
        try:
            return self.keys[key_id]
        except KeyError:
            raise SecretError from None


KEYS = OneKey(a=b"a" * 32, b=b"a" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "secrets.json"


@given(st.text())
def test_what_is_sealed_opens(plaintext: str) -> None:
    sealed = seal(KEYS, OWNER, ROW, plaintext)
    assert unseal(KEYS, OWNER, ROW, *sealed) == plaintext


def test_the_same_secret_never_looks_the_same() -> None:
    first, second = seal(KEYS, OWNER, ROW, "hunter2"), seal(KEYS, OWNER, ROW, "hunter2")
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext
    assert b"hunter2" not in first.ciphertext


@given(st.data())
def test_any_flipped_bit_keeps_it_shut(data: st.DataObject) -> None:
    key_id, *parts = seal(KEYS, OWNER, ROW, "hunter2")
    part = data.draw(st.integers(0, 1))
    changed = bytearray(parts[part])
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    parts[part] = bytes(changed)
    with pytest.raises(SecretError) as shut:
        unseal(KEYS, OWNER, ROW, key_id, parts[0], parts[1])
    assert "hunter2" not in str(shut.value)


@pytest.mark.parametrize(("nonce", "ciphertext"), [(b"", b""), (b"x" * 12, b""), (b"x", b"y" * 40), (b"x" * 300, b"z")])
def test_what_was_never_sealed_does_not_open(nonce: bytes, ciphertext: bytes) -> None:
    with pytest.raises(SecretError):
        unseal(KEYS, OWNER, ROW, "a", nonce, ciphertext)


def test_it_opens_for_its_own_owner_row_and_key_only() -> None:
    key_id, nonce, ciphertext = seal(KEYS, OWNER, ROW, "hunter2")
    with pytest.raises(SecretError):
        unseal(KEYS, uuid4(), ROW, key_id, nonce, ciphertext)
    with pytest.raises(SecretError):
        unseal(KEYS, OWNER, uuid4(), key_id, nonce, ciphertext)
    with pytest.raises(SecretError):
        unseal(KEYS, ROW, OWNER, key_id, nonce, ciphertext)
    with pytest.raises(SecretError):
        unseal(KEYS, OWNER, ROW, "b", nonce, ciphertext)
    with pytest.raises(SecretError):
        unseal(OneKey(a=b"b" * 32), OWNER, ROW, key_id, nonce, ciphertext)


def test_a_secret_has_a_largest_size() -> None:
    assert unseal(KEYS, OWNER, ROW, *seal(KEYS, OWNER, ROW, "x" * LONGEST)) == "x" * LONGEST
    with pytest.raises(TooLarge):
        seal(KEYS, OWNER, ROW, "x" * (LONGEST + 1))


def test_the_key_file_is_made_for_its_owner_alone(path: Path) -> None:
    previous = os.umask(0)
    try:
        sealed = seal(LocalKeyring(path), OWNER, ROW, "hunter2")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert unseal(LocalKeyring(path), OWNER, ROW, *sealed) == "hunter2"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o777, 0o610])
def test_a_key_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    LocalKeyring(path).current()
    path.chmod(mode)
    before = path.read_bytes()
    with pytest.raises(SecretError, match=f"mode {mode:04o}") as refused:
        LocalKeyring(path).current()
    assert "chmod 600" in (refused.value.remedy or "")
    assert path.read_bytes() == before
    path.chmod(0o400)
    assert LocalKeyring(path).current()


def test_a_link_is_no_key_file(path: Path, tmp_path: Path) -> None:
    LocalKeyring(path).current()
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(SecretError, match="cannot be opened"):
        LocalKeyring(link).current()
    with pytest.raises(SecretError, match="is not a file"):
        LocalKeyring(tmp_path).current()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"current": "a", "keys": {}}',
        '{"current": "a", "keys": {"a": "c2hvcnQ="}}',
        '{"current": "a", "keys": {"a": "****"}}',
        '{"current": [], "keys": {"a": 7}}',
        "[" * 5000,
    ],
)
def test_a_damaged_key_file_is_refused_and_left_alone(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SecretError, match="cannot be read"):
        LocalKeyring(path).current()
    assert path.read_text() == content


def test_processes_that_start_together_agree_on_one_key(path: Path) -> None:
    barrier = threading.Barrier(8)
    found: list[str] = []

    def start() -> None:
        ring = LocalKeyring(path)
        barrier.wait()
        found.append(ring.current())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_rotated_key_seals_and_the_old_one_still_opens(path: Path) -> None:
    ring, other = LocalKeyring(path), LocalKeyring(path)
    old = seal(ring, OWNER, ROW, "old")
    assert other.current() == old.key_id
    assert ring.rotate() == ring.current() != old.key_id
    new = seal(ring, OWNER, ROW, "new")
    assert unseal(ring, OWNER, ROW, *old) == "old"
    assert unseal(other, OWNER, ROW, *new) == "new"  # it looks into the file again
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(json.loads(path.read_text())["keys"]) == 2


def test_an_unknown_key_is_named_as_the_reason(path: Path) -> None:
    with pytest.raises(SecretError, match="not in the key file"):
        unseal(LocalKeyring(path), OWNER, ROW, "gone", b"x" * 12, b"y" * 16)


def test_the_key_file_is_not_asked_again_for_a_known_key(path: Path) -> None:
    ring = LocalKeyring(path)
    sealed = seal(ring, OWNER, ROW, "hunter2")
    path.unlink()
    assert unseal(ring, OWNER, ROW, *sealed) == "hunter2"


def test_the_process_has_one_keyring_per_file(path: Path) -> None:
    settings = SecretSettings.model_validate({"secret_key_file": path})
    assert keyring(settings) is keyring(settings)
    sealed: Sealed = sealer(settings)(OWNER, ROW, "hunter2")
    assert opener(settings)(OWNER, ROW, *sealed) == "hunter2"
    with pytest.raises(SecretError, match="No key is configured"):
        sealer(SecretSettings.model_validate({"secret_key_file": None}))(OWNER, ROW, "x")
