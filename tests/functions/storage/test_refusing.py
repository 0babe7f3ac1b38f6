"""What fails is refused with its reason, again and again the same, and kept nowhere."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

import shared.storage
from shared.storage import Storage
from tests.functions.storage.conftest import PDF, PNG, Files, S, put, sha256


def nothing_is_kept() -> bool:
    store = shared.storage.storage()
    return not any(store.list(bucket) for bucket in shared.storage.BUCKETS)


def office(folder: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(f"{folder}/document.xml", "<x/>")
    return packed.getvalue()


#: Content, name, bucket, what else was announced, and what the refusal says.
REFUSED: list[tuple[bytes, str, str, dict[str, str], str]] = [
    (PDF, "one.png", "user-uploads", {}, "ends with .png, and its content is application/pdf"),
    (b"<html><script>", "one.png", "user-uploads", {}, "its content is text/html"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "one.png", "ocr-documents", {}, "image/svg+xml"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "one.svg", "ocr-documents", {}, "takes application/pdf"),
    (b"<svg/>", "logo", "ocr-documents", {"media_type": "image/png"}, "announced as image/png"),
    (PNG, "one.pdf", "ocr-documents", {}, "its content is image/png"),
    (PNG, "one.png", "ocr-documents", {"media_type": "application/pdf"}, "announced as application/pdf"),
    (b"just words", "notes.txt", "ocr-documents", {}, "content is text/plain; the bucket ocr-documents takes"),
    (b"\x7fELF\x02\x01\x01" + bytes(99), "one.pdf", "rag-files", {}, "its content is"),
    (b"MZ\x90\0" + bytes(99), "setup", "rag-files", {}, "the bucket rag-files takes"),
    (b"{broken", "data.json", "rag-files", {}, "its content is text/plain"),
    (office("word"), "sheet.xlsx", "rag-files", {}, "wordprocessingml"),
    (PNG, "one.png", "user-uploads", {"sha256": "0" * 64}, "another was announced"),
]


def test_what_is_not_what_it_says_is_refused_and_kept_nowhere(files: Files, subtests: pytest.Subtests) -> None:
    for data, filename, bucket, more, said in REFUSED:
        with subtests.test(filename=filename, said=said):
            ticket = files.begin(data, filename, bucket, **more)
            if "sha256" in more:
                # A store that cannot be held to a hash, as Supabase's.
                landing = f"incoming/{ticket['key'].split('/')[0]}/{ticket['id']}"
                ticket["url"] = shared.storage.storage().signed_url("user-uploads", landing, method="PUT")
            files.bring(ticket, data)
            for _ in range(2):
                problem = files.complete(ticket).problem
                assert problem["status"] == 422
                assert said in problem["detail"]
                assert "is not kept" in problem["detail"]
            read = files.read(ticket)
            assert read["status"] == "refused"
            assert read["reason"] in problem["detail"]
            assert nothing_is_kept()


def test_a_file_of_another_size_is_refused(files: Files, store: Storage) -> None:
    for size in (1, len(PNG) - 1, len(PNG) + 1):
        ticket = files.begin(bytes(size))
        landing = f"incoming/{ticket['key'].split('/')[0]}/{ticket['id']}"
        put(store.signed_url("user-uploads", landing, method="PUT"), PNG, {})  # of a store that signs no size
        assert f"{len(PNG)} bytes, and {size} were announced" in files.complete(ticket).problem["detail"]
        assert nothing_is_kept()


def test_a_store_that_can_be_held_to_what_was_announced_is(files: Files) -> None:
    ticket = files.begin(PNG, sha256=sha256(PNG))
    with pytest.raises(shared.errors.TooLarge):
        files.bring(ticket, PNG + b"x")
    with pytest.raises(shared.errors.Invalid):
        files.bring(ticket, PNG[::-1])
    assert nothing_is_kept()


def test_what_a_bucket_does_not_take_for_its_size_is_not_begun(files: Files) -> None:
    for bucket, size in [("ocr-documents", 50 * 1024**2 + 1), ("user-uploads", 1024**3 + 1)]:
        answer = files.api.post(f"{S}/upload", {"bucket": bucket, "filename": "x", "size": size})
        assert answer.problem["status"] == 413
    assert files.api.post(f"{S}/upload", {"bucket": "user-uploads", "filename": "x", "size": 0}).paths == ["size"]
    assert files.api.post(f"{S}/upload", {"bucket": "secrets", "filename": "x", "size": 1}).paths == ["bucket"]


#: Names that could lead elsewhere, or show what they are not; and what is no hash and no type.
WRONG: list[tuple[str, str]] = [
    *(
        ("filename", name)
        for name in ["", ".", "..", "a/b", "../x", "a\\b", "a\0b", "a\nb", " a", "a ", "\u202egnp.exe"]
    ),
    *(("filename", name) for name in ["é" * 76, "\ue000", "\ufdd0"]),
    *(
        ("folder", folder)
        for folder in ["..", "../x", "a/../b", "/", "a//b", "/a", "a/./b", "a\0", "x" * 101, "50%", "why?"]
    ),
    ("sha256", "0" * 63),
    ("sha256", "Z" * 64),
    ("media_type", "png"),
    ("media_type", "image/png\r\nx: y"),
]


def test_a_name_that_could_lead_elsewhere_is_not_begun(files: Files, subtests: pytest.Subtests) -> None:
    for field, value in WRONG:
        with subtests.test(field=field, value=value):
            body = json.dumps({"bucket": "user-uploads", "filename": "x", "size": 1} | {field: value})
            assert files.api.post(f"{S}/upload", body).status in (400, 422)


def test_what_only_looks_like_a_signature_is_text(files: Files) -> None:
    for data, filename, media_type in [
        (b"BMW sold 3 cars", "cars.txt", "text/plain"),
        (b"MZ;1\nAB;2\n", "codes.csv", "text/csv"),
        (b"GIF89a is a format", "notes.md", "text/markdown"),
        (b"<p align=center>Readme</p>", "README.md", "text/markdown"),
        ("größe\tzahl".encode("utf-16"), "t.tsv", "text/tab-separated-values"),
    ]:
        assert files.upload(data, filename).json["media_type"] == media_type
