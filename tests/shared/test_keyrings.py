"""What every keyring promises: one suite for the key file and for KMS (moto). Then what KMS adds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from botocore.stub import Stubber

from shared import aws
from shared.errors import Unavailable
from shared.secrets import (
    Keyring,
    KmsKeyring,
    LocalKeyring,
    SecretError,
    keyring,
    opener,
    seal,
    sealer,
    unseal,
)
from shared.secrets.kms import KEPT_KEYS, KEPT_SECONDS
from shared.settings import SecretSettings
from tests.aws import pretended

OWNER = UUID("00000000-0000-4000-8000-000000000001")
ROW = UUID("00000000-0000-4000-8000-000000000002")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def by_file(tmp_path: Path) -> Iterator[Callable[[], Keyring]]:
    yield lambda: LocalKeyring(tmp_path / "keys" / "secrets.json")


@contextmanager
def by_kms(tmp_path: Path) -> Iterator[Callable[[], Keyring]]:
    with pretended():
        key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
        yield lambda: KmsKeyring(key)


@pytest.fixture(params=[by_file, by_kms], ids=lambda make: make.__name__)
def open_ring(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Keyring]]:
    """Opens the keyring of one installation, in a process of its own each time."""
    with request.param(tmp_path) as open_ring:
        yield open_ring


class TestContract:
    def test_another_process_opens_what_was_sealed(self, open_ring: Callable[[], Keyring]) -> None:
        sealed = seal(open_ring(), OWNER, ROW, "hunter2")
        assert unseal(open_ring(), OWNER, ROW, *sealed) == "hunter2"

    def test_a_key_is_32_bytes_and_always_the_same(self, open_ring: Callable[[], Keyring]) -> None:
        ring = open_ring()
        id_ = ring.current()
        assert len(ring.data_key(id_)) == 32
        assert ring.data_key(id_) == ring.data_key(id_) == open_ring().data_key(id_)
        assert ring.current() == id_

    def test_the_ids_of_keys_are_no_keys(self, open_ring: Callable[[], Keyring]) -> None:
        ring = open_ring()
        id_ = ring.current()
        key = ring.data_key(id_)
        assert key.hex() not in id_
        assert key not in bytes(id_, "ascii")

    @pytest.mark.parametrize("unknown", ["", "local-0000000000000000", "kms.0000000000000000.AAAA", "kms..", "\0", "é"])
    def test_an_unknown_key_is_refused(self, open_ring: Callable[[], Keyring], unknown: str) -> None:
        with pytest.raises(SecretError):
            open_ring().data_key(unknown)

    def test_threads_that_start_together_agree_on_one_key(self, open_ring: Callable[[], Keyring]) -> None:
        ring = open_ring()
        barrier = threading.Barrier(8)
        found: list[str] = []

        def start() -> None:
            barrier.wait()
            found.append(ring.current())

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(found), len(set(found))) == (8, 1)


# --- KMS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def kms_key() -> Iterator[str]:
    with pretended():
        yield aws.client("kms").create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def asked(kms_key: str) -> list[tuple[str, dict[str, Any]]]:
    """What KMS was asked."""
    found: list[tuple[str, dict[str, Any]]] = []
    aws.client("kms").meta.events.register(
        "provide-client-params.kms.*", lambda params, model, **_: found.append((model.name, dict(params)))
    )
    return found


def test_kms_is_asked_once_for_many_secrets(kms_key: str, asked: list[tuple[str, dict[str, Any]]]) -> None:
    sealing, opening = KmsKeyring(kms_key), KmsKeyring(kms_key)
    sealed = [seal(sealing, OWNER, ROW, f"secret {number}") for number in range(20)]
    assert [unseal(opening, OWNER, ROW, *each) for each in sealed] == [f"secret {number}" for number in range(20)]
    assert [name for name, _ in asked] == ["GenerateDataKey", "Decrypt"]


def test_each_key_is_bound_to_its_name(kms_key: str, asked: list[tuple[str, dict[str, Any]]]) -> None:
    ring = KmsKeyring(kms_key)
    one, other = ring.current(), KmsKeyring(kms_key).current()
    _, name, wrapped = one.split(".")
    assert asked[0][1]["EncryptionContext"] == {"millrace": "data key", "name": name}
    with pytest.raises(SecretError):
        KmsKeyring(kms_key).data_key(f"kms.{other.split('.')[1]}.{wrapped}")
    KmsKeyring(kms_key).data_key(one)


def test_a_key_of_another_installation_does_not_open(kms_key: str) -> None:
    other = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    with pytest.raises(SecretError):
        KmsKeyring(other).data_key(KmsKeyring(kms_key).current())


def test_a_key_is_kept_for_an_hour_and_then_asked_for_again(
    kms_key: str, asked: list[tuple[str, dict[str, Any]]]
) -> None:
    clock = Clock()
    ring = KmsKeyring(kms_key, clock=clock)
    first = ring.current()
    clock.now += KEPT_SECONDS - 1
    assert ring.current() == first
    clock.now += 1
    second = ring.current()
    assert second != first
    assert len(ring.data_key(first)) == 32
    assert [name for name, _ in asked] == ["GenerateDataKey", "GenerateDataKey", "Decrypt"]


def test_the_keys_in_memory_are_bounded_and_the_last_used_stay(
    kms_key: str, asked: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KEPT_KEYS == 1000
    monkeypatch.setattr("shared.secrets.kms.KEPT_KEYS", 2)
    ids = [KmsKeyring(kms_key).current() for _ in range(3)]
    ring = KmsKeyring(kms_key)
    asked.clear()
    for id_ in (ids[0], ids[1], ids[0], ids[2], ids[0], ids[1]):
        ring.data_key(id_)
    assert len(asked) == 4  # the second was the longest unused when the third came


@pytest.mark.parametrize("code", ["DisabledException", "AccessDeniedException", "NotFoundException"])
def test_a_key_that_may_not_be_used_is_named_as_the_reason(kms_key: str, code: str) -> None:
    id_ = KmsKeyring(kms_key).current()
    with Stubber(aws.client("kms")) as stubber:
        stubber.add_client_error("decrypt", service_error_code=code, http_status_code=400)
        with pytest.raises(SecretError, match=code) as refused:
            KmsKeyring(kms_key).data_key(id_)
    assert "MILLRACE_SECRET_KMS_KEY" in str(refused.value.remedy)


@pytest.mark.parametrize("code", ["ThrottlingException", "KMSInternalException", "DependencyTimeoutException"])
def test_a_kms_in_trouble_is_unavailable_and_asked_again_later(kms_key: str, code: str) -> None:
    ring = KmsKeyring(kms_key)
    with Stubber(aws.client("kms")) as stubber:
        stubber.add_client_error("generate_data_key", service_error_code=code, http_status_code=500)
        with pytest.raises(Unavailable):
            ring.current()
    assert ring.current().startswith("kms.")


def test_the_process_has_one_keyring_of_kms_which_goes_before_a_key_file(kms_key: str, tmp_path: Path) -> None:
    settings = SecretSettings.model_validate({"secret_kms_key": kms_key, "secret_key_file": tmp_path / "keys"})
    ring = keyring(settings)
    assert isinstance(ring, KmsKeyring)
    assert keyring(settings) is ring
    sealed = sealer(settings)(OWNER, ROW, "hunter2")
    assert opener(settings)(OWNER, ROW, *sealed) == "hunter2"
    assert not (tmp_path / "keys").exists()
    assert "hunter2" not in json.dumps([sealed.key_id, sealed.nonce.hex(), sealed.ciphertext.hex()])
