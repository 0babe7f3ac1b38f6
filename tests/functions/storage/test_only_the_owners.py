"""No route reaches another owner's file, whatever the key says."""

from __future__ import annotations

import unicodedata
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import shared.storage
from functions.storage import keys
from shared.errors import Invalid, NotFound
from shared.models.upload import FOLDER_BYTES, NAME_BYTES, UploadInput
from shared.storage import BUCKETS, Storage
from shared.storage.names import name_of
from shared.storage.supabase import LONGEST_NAME
from tests.cluster import User
from tests.functions.storage.conftest import PNG, Files, S

MINE, THEIRS = uuid.UUID(int=1), uuid.UUID(int=2)


#: How one might write a key to get at another's file.
WAYS = [
    "{theirs}",
    "{me}/../{theirs}",
    "{me}/./../{theirs}",
    "{me}%2F..%2F{theirs}",
    "{me}/%2e%2e/{theirs}",
    "{me}%2f%2e%2e%2f{theirs}",
    "{me}/..%252F{theirs}",
    "{me}\\..\\{theirs}",
    "/{theirs}",
    "//{theirs}",
    "../user-uploads/{theirs}",
    "%2e%2e/user-uploads/{theirs}",
    "./{theirs}",
    "{theirs}/",
    "{upper}",
    "{me}",
    "{me}/",
    "incoming/{theirs}",
]


def test_no_way_to_write_a_key_leads_to_anothers_file(
    anywhere: str, files: Files, others: Files, user: User, subtests: pytest.Subtests
) -> None:
    key = others.upload(PNG).json["key"]
    for way in WAYS:
        path = way.format(me=user.id, theirs=key, upper=key.upper())
        with subtests.test(way=way):
            for answer in (
                files.api.get(f"{S}/download/user-uploads/{path}"),
                files.api.delete(f"{S}/delete/user-uploads/{path}"),
                files.api.delete(f"{S}/delete/rag-files/{path}"),
                files.api.post(f"{S}/signed-url", {"bucket": "user-uploads", "key": path}),
            ):
                assert answer.problem["status"] in (404, 422)
            for prefix in (path, key[:36]):
                page = files.api.get(f"{S}/list/user-uploads", prefix=prefix)
                assert page.json == {"items": [], "next": None}
    assert len(others.api.get(f"{S}/list/user-uploads").json["items"]) == 1


def test_a_bucket_that_is_none_of_ours_is_not_reached(files: Files, user: User, store: Storage) -> None:
    store.put("other-bucket", f"{user.id}/x", b"x")
    for bucket in ("other-bucket", "..", ".events", "user-uploads%2F.."):
        assert files.api.get(f"{S}/download/{bucket}/{user.id}/x").problem["status"] in (404, 422)
        assert files.api.get(f"{S}/list/{bucket}").problem["status"] in (404, 422)
        assert files.api.delete(f"{S}/delete/{bucket}/{user.id}/x").problem["status"] in (404, 422)


def test_anothers_upload_is_neither_read_nor_completed_nor_given_up(files: Files, others: Files) -> None:
    ticket = others.begin(PNG)
    others.bring(ticket, PNG)
    assert files.api.get(f"{S}/uploads/{ticket['id']}").problem["status"] == 404
    assert files.complete(ticket).problem["status"] == 404
    assert files.api.delete(f"{S}/uploads/{ticket['id']}").problem["status"] == 404
    assert others.complete(ticket).status == 200


def test_what_has_landed_is_reached_by_nobody(files: Files, user: User) -> None:
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    for key in (f"incoming/{user.id}/{ticket['id']}", ticket["key"]):
        assert files.api.get(f"{S}/download/user-uploads/{key}").problem["status"] == 404
        assert files.api.delete(f"{S}/delete/user-uploads/{key}").problem["status"] == 404
    assert files.complete(ticket).status == 200


def test_a_runs_value_is_not_deleted_as_a_file(files: Files, user: User, store: Storage) -> None:
    key = f"{user.id}/payloads/{'0' * 64}"
    store.put("workflow-attachments", key, b"large")
    assert files.api.delete(f"{S}/delete/workflow-attachments/{key}").problem["status"] == 409
    assert store.get("workflow-attachments", key) == b"large"


def test_a_cursor_of_anothers_page_shows_ones_own(files: Files, others: Files) -> None:
    for number in range(3):
        others.upload(PNG, f"{number}.png")
    cursor = others.api.get(f"{S}/list/user-uploads", limit=1).json["next"]
    assert files.api.get(f"{S}/list/user-uploads", cursor=cursor).json["items"] == []
    assert files.api.get(f"{S}/list/user-uploads", cursor="x").problem["status"] == 422


pieces = st.lists(st.sampled_from([*"./\\%2eF", str(MINE), str(THEIRS), "é"]), min_size=1, max_size=12)


@given(pieces.map("".join))
def test_a_key_is_ones_own_only_when_it_is_below_ones_folder(key: str) -> None:
    try:
        found = keys.own(MINE, "user-uploads", key)
    except (NotFound, Invalid):
        return
    parts = found.split("/")
    assert found == key
    assert parts[0] == str(MINE)
    assert len(parts) > 1
    assert not {"", ".", ".."} & set(parts)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["..", "a/b", "a\\b", "é" * 75, "x" * 150, "x" * 151, "日" * 50, "CON", "~", "a b.png", "%2e%2e", "!2F", "-rf"]
)


@given(filename=names, folder=names | st.just(""))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_a_name_that_is_taken_makes_a_key_of_its_owner_that_every_store_takes(filename: str, folder: str) -> None:
    try:
        new = UploadInput(bucket="user-uploads", filename=filename, size=1, folder=folder)
    except ValidationError:
        return
    key = keys.final_key(MINE, new.folder, new.filename)
    assert keys.own(MINE, "user-uploads", key) == key
    assert key != keys.final_key(MINE, new.folder, new.filename)
    assert keys.file_name(key) == new.filename.replace("%", "_").replace("?", "_")
    assert "%" not in key
    assert "?" not in key
    assert len(new.filename.encode()) <= NAME_BYTES
    assert len(new.folder.encode()) <= FOLDER_BYTES
    assert len(name_of(key)) <= LONGEST_NAME
    assert "\\" not in key
    assert not {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} & {unicodedata.category(character) for character in key}
    for bucket in BUCKETS:
        shared.storage.check_name(bucket, key)
