"""Bytes between a file here and a store: to the addresses of an upload's ticket, and from a signed address."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from infra.cli.exits import Exit, Failure

PIECE = 256 * 1024
#: How often a part is sent before the upload is given up; the others are kept meanwhile.
ATTEMPTS = 3
TIMEOUT = httpx.Timeout(60.0, connect=10.0)

Progress = Callable[[int], None]


def sha256(path: Path) -> str:
    """The file's hash in hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def send(ticket: dict[str, Any], path: Path, progress: Progress) -> list[str]:
    """Send a file where its ticket says; the tags of its parts. ``progress`` is told bytes as they leave.

    Raises :class:`Failure` when the store refuses it or does not answer.
    """
    with httpx.Client(timeout=TIMEOUT) as client, path.open("rb") as file:
        if ticket["method"] == "TUS":
            _resumable(client, ticket, file, progress)
            return []
        if not ticket["parts"]:
            _put(client, ticket["url"], file, 0, ticket["size"], ticket["headers"], progress)
            return []
        tags, at = [], 0
        for part in ticket["parts"]:
            tags.append(_put(client, part["url"], file, at, part["size"], ticket["headers"], progress))
            at += part["size"]
        return tags


def fetch(url: str, target: Path, progress: Progress) -> int:
    """Write what lies at an address to ``target``, whole or not at all; its size. Never over a file that is there."""
    if target.exists():
        raise Failure(f"{target} is there already.", remedy="Give another --to.", exit_code=Exit.USAGE)
    aside = target.with_name(f".{target.name}.part")
    try:
        size = 0
        with httpx.stream("GET", url, timeout=TIMEOUT) as answer, aside.open("xb") as file:
            if not answer.is_success:
                raise Failure(f"The store answers {answer.status_code}.")
            for piece in answer.iter_bytes(PIECE):
                file.write(piece)
                size += len(piece)
                progress(len(piece))
        os.link(aside, target)  # unlike a rename, fails when the name was taken meanwhile
        return size
    except (httpx.HTTPError, OSError) as error:
        raise Failure(f"{target} was not written: {error or type(error).__name__}.") from error
    finally:
        aside.unlink(missing_ok=True)


def _put(
    client: httpx.Client, url: str, file: BinaryIO, start: int, size: int, headers: dict[str, str], progress: Progress
) -> str:
    for attempt in range(1, ATTEMPTS + 1):
        sent = 0

        def pieces() -> Iterator[bytes]:
            nonlocal sent
            file.seek(start)
            while sent < size and (piece := file.read(min(PIECE, size - sent))):
                sent += len(piece)
                progress(len(piece))
                yield piece

        try:
            answer = client.put(url, content=pieces(), headers=headers | {"content-length": str(size)})
        except httpx.HTTPError as error:
            if attempt == ATTEMPTS:
                raise Failure(
                    f"The store does not answer: {error or type(error).__name__}.", exit_code=Exit.UNREACHABLE
                ) from error
        else:
            if answer.is_success:
                return str(answer.headers.get("etag", ""))
            if answer.status_code == 412:  # an attempt before got through, and its answer was lost
                return ""
            if answer.status_code < 500 or attempt == ATTEMPTS:
                raise Failure(f"The store refuses the file ({answer.status_code}): {_said(answer)}")
        progress(-sent)
    raise AssertionError("the last attempt returns or raises")


def _resumable(client: httpx.Client, ticket: dict[str, Any], file: BinaryIO, progress: Progress) -> None:
    """By TUS 1.0.0 (https://tus.io/protocols/resumable-upload), going on where the store says."""
    said = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in ticket["metadata"].items())
    headers = {"tus-resumable": "1.0.0", **ticket["headers"]}
    try:
        begun = client.post(
            ticket["url"], headers=headers | {"upload-length": str(ticket["size"]), "upload-metadata": said}
        )
        if begun.status_code != 201:
            raise Failure(f"The store refuses the file ({begun.status_code}): {_said(begun)}")
        address, at = str(begun.url.join(begun.headers["location"])), 0
        while at < ticket["size"]:
            file.seek(at)
            piece = headers | {"content-type": "application/offset+octet-stream", "upload-offset": str(at)}
            answer = client.patch(address, content=file.read(ticket["part_size"]), headers=piece)
            if answer.status_code == 409:
                answer = client.head(address, headers=headers)
            if not answer.is_success:
                raise Failure(f"The store refuses the file ({answer.status_code}): {_said(answer)}")
            reached = int(answer.headers["upload-offset"])
            progress(reached - at)
            at = reached
    except httpx.HTTPError as error:
        raise Failure(
            f"The store does not answer: {error or type(error).__name__}.", exit_code=Exit.UNREACHABLE
        ) from error


def _said(answer: httpx.Response) -> str:
    """What a store says of a refusal, in brief: JSON's detail or message, or the beginning of what there is."""
    try:
        document = answer.json()
        return str(document.get("detail") or document.get("message") or document)[:300]
    except (ValueError, AttributeError):
        return " ".join(answer.text.split())[:300]
