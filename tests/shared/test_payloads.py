"""A large value comes back as it went, from its owner's own place only, and only whole."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import errors
from shared.payloads import BUCKET, MARK, externalise, fetch, is_payload, keep, keeper, resolve
from shared.storage import DirectoryStorage

OWNER, OTHER = uuid.uuid4(), uuid.uuid4()

text = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner) | st.dictionaries(text | st.sampled_from([MARK, "value", "sha256"]), inner),
)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path)


@given(value=documents, limit=st.integers(0, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_value_comes_back_as_it_went(store: DirectoryStorage, value: Any, limit: int) -> None:
    kept = externalise(store, OWNER, value, limit)
    assert resolve(store, OWNER, json.loads(json.dumps(kept))) == value


def test_a_small_value_stays_and_a_large_one_is_a_reference(store: DirectoryStorage) -> None:
    assert externalise(store, OWNER, {"a": 1}, 7) == {"a": 1}
    reference = externalise(store, OWNER, {"a": 12}, 7)
    digest = hashlib.sha256(b'{"a":12}').hexdigest()
    assert reference == {
        MARK: {
            "bucket": BUCKET,
            "key": f"{OWNER}/payloads/{digest}",
            "sha256": digest,
            "bytes": 8,
            "media_type": "application/json",
        }
    }
    assert is_payload(BUCKET, reference[MARK]["key"])
    assert not is_payload(BUCKET, f"{OWNER}/invoice.pdf")


def test_equal_values_of_one_owner_are_kept_once(store: DirectoryStorage) -> None:
    for _ in range(2):
        externalise(store, OWNER, "x" * 100, 10)
    externalise(store, OTHER, "x" * 100, 10)
    assert len(store.list(BUCKET, f"{OWNER}/")) == 1
    assert len(store.list(BUCKET)) == 2


def test_a_value_above_the_ceiling_is_too_large(store: DirectoryStorage) -> None:
    with pytest.raises(errors.TooLarge):
        externalise(store, OWNER, "x" * 100, 10, largest=50)
    assert store.list(BUCKET) == []


def test_anothers_payload_is_not_found_whatever_the_reference_says(store: DirectoryStorage) -> None:
    reference = externalise(store, OTHER, "their secret", 1)
    with pytest.raises(errors.NotFound):
        resolve(store, OWNER, reference)
    reference[MARK]["key"] = f"{OTHER}/payloads/{reference[MARK]['sha256']}"
    with pytest.raises(errors.NotFound):
        resolve(store, OWNER, reference)


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"sha256": None},
        {"sha256": "../" * 21 + "x"},
        {"sha256": f"../../{OTHER}/payloads/" + "a" * 3},
        {"sha256": "A" * 64},
        {"sha256": ["a"] * 64},
        {"bucket": "rag-files", "key": "k", "sha256": "a" * 64, "bytes": 1},
    ],
)
def test_a_forged_reference_is_not_found(store: DirectoryStorage, forged: dict[str, Any]) -> None:
    with pytest.raises(errors.NotFound):
        resolve(store, OWNER, {MARK: forged})


def test_a_damaged_payload_is_never_handed_out(store: DirectoryStorage) -> None:
    reference = externalise(store, OWNER, "x" * 100, 10)
    store.put(BUCKET, reference[MARK]["key"], b'"changed"')
    with pytest.raises(errors.Unavailable, match="damaged"):
        resolve(store, OWNER, reference)


def test_bytes_are_kept_with_their_type(store: DirectoryStorage) -> None:
    reference = keep(store, OWNER, b"\x89PNG", "image/png")
    assert fetch(store, OWNER, reference) == b"\x89PNG"
    assert store.head(BUCKET, reference[MARK]["key"]).media_type == "image/png"


def test_a_keeper_opens_the_store_only_for_what_is_large(store: DirectoryStorage) -> None:
    opened: list[int] = []

    def open_storage() -> DirectoryStorage:
        opened.append(1)
        return store

    hold = keeper(open_storage, 3)(SimpleNamespace(owner_id=OWNER))
    assert hold(b"abc", "image/png") is None
    assert not opened
    reference = hold(b"abcd", "image/png")
    assert reference is not None
    assert fetch(store, OWNER, reference) == b"abcd"
