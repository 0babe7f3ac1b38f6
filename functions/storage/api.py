"""The HTTP face of stored files: uploads that pass us by, and what is stored."""

from __future__ import annotations

import functools
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, RedirectResponse, Response

from functions.storage import buckets, files
from functions.storage.uploads import Uploads
from shared.models.api import Cursor, Limit, Page
from shared.models.storage import Bucket
from shared.models.upload import (
    BucketOutput,
    ObjectOutput,
    SignedUrlInput,
    SignedUrlOutput,
    UploadCompletion,
    UploadInput,
    UploadOutput,
    UploadTicket,
)
from shared.scopes import Scope
from shared.settings import StorageSettings, UploadSettings
from shared.storage import storage
from shared.tenant import Tenant
from shared.web import StrictRoute, allow, asgi_handler, create_app, problems

router = APIRouter(route_class=StrictRoute, tags=["storage"])

Reader = Annotated[Tenant, allow(Scope.STORAGE_READ)]
Writer = Annotated[Tenant, allow(Scope.STORAGE_WRITE)]
Key = Annotated[str, Path(max_length=1024, description="The file's whole key, beginning with your user id.")]

#: How long the address lasts that a download leads to.
DOWNLOAD_SECONDS = 300


class Settings(StorageSettings, UploadSettings):
    """What this function is told."""


def _limits() -> dict[str, buckets.Limits]:
    return _read(Settings.load().buckets)


_read = functools.cache(buckets.read)


def uploads() -> Uploads:
    """Uploads into this process's store."""
    settings = Settings.load()
    return Uploads(
        storage(),
        _limits(),
        seconds=settings.upload_seconds,
        whole_bytes=settings.upload_whole_bytes,
        part_bytes=settings.upload_part_bytes,
    )


@router.get("/buckets", summary="List buckets")
def list_buckets(caller: Reader) -> list[BucketOutput]:
    """The buckets, and what each takes."""
    return [limits.shown() for limits in _limits().values()]


@router.post("/upload", status_code=201, summary="Begin an upload", responses=problems(413, 429))
def begin_upload(caller: Writer, new: UploadInput) -> UploadTicket:
    """Where to send a file, and what to send with it. Nothing is stored until the upload is completed."""
    return uploads().begin(caller, caller.user_id, new)


@router.get("/uploads/{upload_id}", summary="Read an upload", responses=problems(404))
def read_upload(caller: Reader, upload_id: UUID) -> UploadOutput:
    """What became of an upload; for thirty days."""
    return uploads().read(caller, upload_id)


@router.post("/uploads/{upload_id}/complete", summary="Complete an upload", responses=problems(404, 409))
def complete_upload(caller: Writer, upload_id: UUID, done: UploadCompletion | None = None) -> ObjectOutput:
    """Look at what was sent, and store it. What fails is refused with the reason (422) and kept nowhere.

    May be repeated: the answer stays the same.
    """
    return uploads().complete(caller, upload_id, done or UploadCompletion())


@router.delete("/uploads/{upload_id}", status_code=204, summary="Give up an upload", responses=problems(404, 409))
def cancel_upload(caller: Writer, upload_id: UUID) -> None:
    """What was sent is removed."""
    uploads().cancel(caller, upload_id)


@router.get("/list/{bucket}", summary="List files")
def list_files(
    caller: Reader,
    bucket: Bucket,
    prefix: Annotated[str, Query(max_length=1000, description="How the key goes on below your folder.")] = "",
    cursor: Annotated[Cursor | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
) -> Page[ObjectOutput]:
    """The caller's files in a bucket by their keys, a page at a time."""
    return files.list_files(storage(), caller.user_id, bucket, prefix, cursor, limit)


@router.post("/signed-url", summary="Sign an address", responses=problems(404))
def sign_url(caller: Reader, wanted: SignedUrlInput) -> SignedUrlOutput:
    """An address that lets anybody read one file until it ends; it cannot be taken back before, but by deleting."""
    return files.address(storage(), caller.user_id, wanted.bucket, wanted.key, wanted.expires_in)


@router.get(
    "/download/{bucket}/{key:path}",
    summary="Download a file",
    response_model=SignedUrlOutput,
    responses={**problems(404), 307: {"description": "To the address of the content."}},
)
def download_file(
    caller: Reader,
    bucket: Bucket,
    key: Key,
    redirect: Annotated[bool, Query(description="False: the address as JSON.")] = True,
) -> Response:
    """Leads to the content, at an address that lasts five minutes. It comes as a file to keep, never as a page."""
    signed = files.address(storage(), caller.user_id, bucket, key, DOWNLOAD_SECONDS)
    return RedirectResponse(signed.url, 307) if redirect else JSONResponse(signed.model_dump(mode="json"))


@router.delete("/delete/{bucket}/{key:path}", status_code=204, summary="Delete a file", responses=problems(404, 409))
def delete_file(caller: Writer, bucket: Bucket, key: Key) -> None:
    """The file is gone at once; where the store keeps versions, it can be brought back for thirty days."""
    files.delete(storage(), caller.user_id, bucket, key)


app = create_app(
    "Storage", "/api/v1/storage", router, description="Files: uploads straight to the store, and what is stored."
)
handler = asgi_handler(app)
