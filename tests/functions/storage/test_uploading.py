"""A file is brought straight to the store, looked at, and only then put where it belongs; in every store."""

from __future__ import annotations

import re
from typing import Any

import pytest

import shared.settings
import shared.storage
from shared import aws
from shared.storage import DirectoryStorage, Storage
from tests.cluster import User
from tests.functions.storage.conftest import PDF, PNG, Files, S, got, sha256

MEGABYTE = 1024 * 1024


def kept(user: User) -> list[str]:
    """The keys of everything that any bucket holds."""
    store = shared.storage.storage()
    return [found.key for bucket in shared.storage.BUCKETS for found in store.list(bucket)]


def test_a_file_is_stored_under_its_owners_id_and_a_name_that_nobody_guesses(
    anywhere: str, files: Files, user: User
) -> None:
    answer = files.upload(PNG, "Ä photo.png", folder="trips/2026", sha256=sha256(PNG), media_type="image/png")
    assert answer.status == 200, answer
    stored = answer.json
    assert re.fullmatch(rf"{user.id}/trips/2026/[\w-]{{22}}/Ä photo\.png", stored["key"])
    assert (stored["size"], stored["media_type"], stored["sha256"]) == (len(PNG), "image/png", sha256(PNG))
    assert kept(user) == [stored["key"]]
    assert files.upload(PNG, "Ä photo.png", folder="trips/2026").json["key"] != stored["key"]


def test_nothing_is_there_before_it_was_completed(anywhere: str, files: Files, user: User) -> None:
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    assert files.api.get(f"{S}/list/user-uploads").json["items"] == []
    assert files.read(ticket)["status"] == "pending"
    assert files.complete(ticket).status == 200
    read = files.read(ticket)
    assert (read["status"], read["media_type"], read["sha256"]) == ("stored", "image/png", sha256(PNG))
    assert [item["key"] for item in files.api.get(f"{S}/list/user-uploads").json["items"]] == [read["key"]]


@pytest.fixture
def small_parts(anywhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_UPLOAD_PART_BYTES", str(5 * MEGABYTE))
    monkeypatch.setenv("MILLRACE_UPLOAD_WHOLE_BYTES", str(5 * MEGABYTE))
    shared.settings.forget()


def test_a_large_file_comes_in_parts(anywhere: str, small_parts: None, files: Files, user: User) -> None:
    data = PDF + bytes(11 * MEGABYTE)
    ticket = files.begin(data, "book.pdf", "rag-files", sha256=sha256(data))
    if anywhere == "supabase":
        assert ticket["method"] == "TUS"
    else:
        assert ticket["url"] is None
        assert [part["size"] for part in ticket["parts"]] == [5 * MEGABYTE, 5 * MEGABYTE, len(data) - 10 * MEGABYTE]
    tags = files.bring(ticket, data)
    for _ in range(2):
        answer = files.complete(ticket, tags)
        assert answer.status == 200, answer
        assert (answer.json["media_type"], answer.json["sha256"]) == ("application/pdf", sha256(data))
    assert kept(user) == [answer.json["key"]]


def test_parts_that_are_missing_are_asked_for_again(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_UPLOAD_PART_BYTES", str(5 * MEGABYTE))
    monkeypatch.setenv("MILLRACE_UPLOAD_WHOLE_BYTES", str(5 * MEGABYTE))
    shared.settings.forget()
    data = PDF + bytes(6 * MEGABYTE)
    ticket = files.begin(data, "book.pdf")
    tags = files.bring(ticket, data)
    assert files.complete(ticket).problem["status"] == 409
    assert files.complete(ticket, ["0" * 64, tags[1]]).problem["status"] == 422
    assert files.read(ticket)["status"] == "pending"
    assert files.complete(ticket, tags).status == 200


def test_a_completion_that_was_lost_on_the_way_is_repeated(anywhere: str, files: Files, user: User) -> None:
    ticket = files.begin(PNG)
    assert files.complete(ticket).problem["detail"] == "Nothing was uploaded yet."
    files.bring(ticket, PNG)
    first = files.complete(ticket)
    assert files.complete(ticket).json == first.json
    assert kept(user) == [first.json["key"]]


def test_what_lies_there_is_not_replaced_through_an_old_address(files: Files, store: Storage) -> None:
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    with pytest.raises(shared.errors.PreconditionFailed):
        files.bring(ticket, PNG[::-1])
    assert files.complete(ticket).json["sha256"] == sha256(PNG)


def test_a_page_reads_and_deletes_what_it_stored(anywhere: str, files: Files) -> None:
    stored = files.upload(b"<script>alert(1)</script>", "page.html").json
    assert stored["media_type"] == "text/html"
    path = f"{stored['bucket']}/{stored['key']}"
    answer = files.api.get(f"{S}/download/{path}")
    assert answer.status == 307
    assert got(answer.headers["location"]) == b"<script>alert(1)</script>"
    as_json = files.api.get(f"{S}/download/{path}", redirect="false").json
    assert got(as_json["url"]) == b"<script>alert(1)</script>"
    signed = files.api.post(f"{S}/signed-url", {"bucket": stored["bucket"], "key": stored["key"], "expires_in": 60})
    assert got(signed.json["url"]) == b"<script>alert(1)</script>"
    assert files.api.delete(f"{S}/delete/{path}").status == 204
    assert files.api.delete(f"{S}/delete/{path}").problem["status"] == 404
    assert files.api.get(f"{S}/download/{path}").problem["status"] == 404


def test_an_address_lasts_from_a_minute_to_a_week(files: Files) -> None:
    stored = files.upload(PNG).json
    for seconds in (59, 7 * 24 * 3600 + 1, 0, -1):
        wanted = {"bucket": stored["bucket"], "key": stored["key"], "expires_in": seconds}
        assert files.api.post(f"{S}/signed-url", wanted).paths == ["expires_in"]


def test_a_list_is_in_pages_by_folder(files: Files, user: User) -> None:
    stored = [files.upload(PNG, f"{number}.png", folder=folder).json["key"] for number in range(3) for folder in "ab"]
    mine = sorted(key for key in stored if key.startswith(f"{user.id}/a/"))
    found: list[str] = []
    query: dict[str, Any] = {"prefix": "a/", "limit": 2}
    while True:
        page = files.api.get(f"{S}/list/user-uploads", **query).json
        found += [item["key"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == mine
    assert len(files.api.get(f"{S}/list/user-uploads", prefix=f"{user.id}/a/").json["items"]) == 3


def test_the_buckets_say_what_they_take(files: Files) -> None:
    found = {bucket["name"]: bucket for bucket in files.api.get(f"{S}/buckets").json}
    assert tuple(found) == shared.storage.BUCKETS
    assert "application/pdf" in found["ocr-documents"]["media_types"]
    assert found["user-uploads"] == {"name": "user-uploads", "size_limit": 1024**3, "media_types": None}


def test_an_upload_that_is_given_up_leaves_nothing(anywhere: str, files: Files, user: User) -> None:
    ticket = files.begin(PNG)
    files.bring(ticket, PNG)
    assert files.api.delete(f"{S}/uploads/{ticket['id']}").status == 204
    assert files.api.delete(f"{S}/uploads/{ticket['id']}").status == 204
    assert files.complete(ticket).problem["status"] == 409
    assert kept(user) == []
    stored = files.begin(PNG)
    files.bring(stored, PNG)
    files.complete(stored)
    assert files.api.delete(f"{S}/uploads/{stored['id']}").problem["status"] == 409
    assert len(kept(user)) == 1


def test_no_version_of_what_was_refused_is_left_on_s3(s3: None, files: Files) -> None:
    assert files.upload(b"<html>", "one.png").status == 422
    left = aws.client("s3").list_object_versions(Bucket="millrace-test-user-uploads")
    assert left.get("Versions", []) == left.get("DeleteMarkers", []) == []


def test_what_was_stored_is_told_once_and_what_landed_is_in_nobodys_folder(
    files: Files, objects: DirectoryStorage, user: User
) -> None:
    stored = files.upload(PNG).json
    files.upload(b"<html>", "two.png")
    told = [event.object.key for event in objects.events()]
    assert [key for key in told if key.startswith(f"{user.id}/")] == [stored["key"]]
