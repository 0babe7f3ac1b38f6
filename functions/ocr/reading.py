"""Jobs of kind ``ocr``: fetch the document, read it page by page, split what is long, end with what was read.

    short document     read its pages, each kept as soon as it is read; end
    long document      split into page ranges; each part reads its pages; woken, put the pages together; end

Pages that are kept are never read again: whoever takes over from a killed worker begins at the page where the kill
struck. What the same owner had read before, with the same content and in the same way, is not read again either.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from functions.ocr import outcome, routing
from functions.ocr.document import Document, Page
from functions.ocr.errors import Unreadable
from functions.ocr.options import Options
from functions.ocr.outcome import Read
from functions.ocr.source import Fetched, fetch, place_of
from shared import jobs, payloads, statements
from shared.database import Database
from shared.errors import Invalid, Unavailable
from shared.jobs import Claimed, JobError
from shared.models.ocr import OcrOptions, Routing
from shared.payloads import Payloads
from shared.settings import LimitSettings, OcrSettings, ReaderSettings
from shared.storage import Storage

#: Raised when reading gives other results than before, so that what was read is read anew when it is asked for.
REVISION = 1
#: What the results hang on besides.
ENGINES = ("rapidocr", "tesserocr", "pypdfium2")
#: Most parts of one document; a longer one has longer parts.
MOST_PARTS = 500
#: Each part fetches the whole file: a large one has fewer and longer parts, which fetch no more than this together,
FETCHED_BYTES = 4 * 1024**3
#: but this many in any case.
LEAST_PARTS = 8
#: Pages that are looked at in one statement.
PAGES_AT_ONCE = 20
#: How soon it is looked again whether another job has read the same file. A stored file that starts a workflow which
#: reads it has two jobs at the same moment; one of them reads.
WAIT_SECONDS = 2.0


class Settings(LimitSettings, OcrSettings, ReaderSettings):
    """What reading is told."""


class Stopped(JobError):
    """The job is another's now, or was cancelled; nothing that follows is kept."""

    def __init__(self) -> None:
        super().__init__("The job was taken over or cancelled.", kind="cancelled")


@dataclass(frozen=True, slots=True)
class Task:
    """A job's input, understood. A part's also holds what its whole found out."""

    place: dict[str, Any]
    options: Options
    routing: Routing
    wishes: dict[str, Any]  #: what a part is told: ``options`` and ``asked`` as they came
    pages: range | None = None  #: of a part: the page numbers that it reads
    read: Read | None = None  #: of a part
    page_count: int = 0  #: of a part


class Reading:
    """Everything one worker needs to do these jobs."""

    def __init__(self, database: Database, storage: Callable[[], Storage], settings: Settings) -> None:
        self._database = database
        self._storage = storage
        self._settings = settings
        self._statements = statements.load("ocr")
        self._payloads = Payloads(
            storage, inline_bytes=settings.payload_inline_bytes, largest_bytes=settings.payload_limit_bytes
        )

    def perform(self, job: Claimed) -> Any:
        """What the job ends with, or its parts. Raises :class:`JobError` with a reason for people."""
        try:
            task = understood(job.input)
            if job.parts is not None:
                return self._whole(job, task)
            return self._whole_or_parts(job, task) if job.parent_id is None else self._part(job, task)
        except Unreadable as error:
            raise JobError(error.message, kind=error.kind) from None
        except Unavailable as error:
            raise JobError(error.detail, kind="unavailable", retryable=True) from error

    def _whole_or_parts(self, job: Claimed, task: Task) -> Any:
        owner = UUID(job.owner_id)
        if self._database.call(self._statements["under_way"], {"job": job.id})[0]["under_way"]:
            return jobs.Later(WAIT_SECONDS)
        fetched = self._fetch(owner, task.place)
        print_ = fingerprint(fetched.sha256, task)
        if not job.input.get("anew"):
            for earlier in self._database.call(self._statements["find"], {"owner": owner, "fingerprint": print_}):
                return outcome.again(job.id, owner, earlier, task.routing, self._payloads)
        from functions.ocr import reader  # by the first job that needs it: its libraries are heavy

        count = reader.page_count(fetched.data, fetched.media_type)
        if count <= self._settings.ocr_part_pages:
            document = self._read(job, task, fetched, range(1, count + 1), {"pages": count})
            media_type = document.media_type if document else fetched.media_type
            read = Read(media_type, fetched.sha256, len(fetched.data), print_)
            return self._end(job, task, read, count, list(document.notes) if document else [])
        return self._split(job, task, fetched, print_, count)

    def _split(self, job: Claimed, task: Task, fetched: Fetched, print_: str, count: int) -> jobs.Split:
        place = task.place
        if "url" in place:  # another download could give something else
            place = payloads.keep(self._storage(), UUID(job.owner_id), fetched.data, fetched.media_type)
        read = asdict(Read(fetched.media_type, fetched.sha256, len(fetched.data), print_))
        most = min(MOST_PARTS, max(LEAST_PARTS, FETCHED_BYTES // len(fetched.data)))
        size = max(self._settings.ocr_part_pages, -(-count // most))
        parts = [
            {
                "document": place,
                **task.wishes,
                "read": read,
                "page_count": count,
                "pages": [first, min(first + size - 1, count)],
            }
            for first in range(1, count + 1, size)
        ]
        return job.split(parts, {"pages": count, "pages_done": 0})

    def _part(self, job: Claimed, task: Task) -> Any:
        if task.pages is None or task.read is None:
            raise JobError("The part names no pages.", kind="internal")
        missing = self._missing(job, task.pages)
        if not missing:
            return {"media_type": None, "notes": []}
        fetched = self._fetch(UUID(job.owner_id), task.place)
        if fetched.sha256 != task.read.sha256:
            raise JobError("The file was replaced while it was being read.", kind="changed")
        document = self._read(job, task, fetched, task.pages, {})
        return {"media_type": document.media_type, "notes": list(document.notes)} if document else None

    def _whole(self, job: Claimed, task: Task) -> Any:
        parts = job.parts or []
        for part in parts:
            if part.status != "completed":
                first, last = part.input["pages"]
                error = part.error or {"kind": "cancelled", "message": "It was cancelled."}
                raise JobError(f"Pages {first} to {last} could not be read. {error['message']}", kind=error["kind"])
        results = [part.result or {} for part in parts]
        notes = list(dict.fromkeys(note for result in results for note in result.get("notes", ())))
        found = understood(parts[0].input)
        if found.read is None:
            raise JobError("The parts say nothing of the file.", kind="internal")
        media_type = next((result["media_type"] for result in results if result.get("media_type")), None)
        read = Read(**{**asdict(found.read), "media_type": media_type or found.read.media_type})
        return self._end(job, task, read, found.page_count, notes)

    def _end(self, job: Claimed, task: Task, read: Read, count: int, notes: list[str]) -> dict[str, Any]:
        from functions.ocr import markdown

        pages = tuple(self._pages(job))
        if [page.number for page in pages] != list(range(1, count + 1)):
            raise JobError(f"{len(pages)} of {count} pages were kept.", kind="internal", retryable=True)
        document = Document(media_type=read.media_type, page_count=count, pages=pages, notes=tuple(notes))
        document = document.model_copy(update={"markdown": markdown.render(document)})
        return outcome.outcome(
            job.id,
            UUID(job.owner_id),
            document,
            read,
            task.routing,
            self._payloads,
            output_bytes=self._settings.ocr_output_bytes,
        )

    def _read(
        self, job: Claimed, task: Task, fetched: Fetched, pages: range, progress: dict[str, Any]
    ) -> Document | None:
        """Read those pages that are not kept yet, and keep each; the last thing read, or None if nothing was left."""
        from functions.ocr import reader

        missing = self._missing(job, pages)
        done = len(pages) - len(missing)
        if not job.report({**progress, "pages_done": done}):
            raise Stopped
        if not missing:
            return None

        def keep(page: Page, number: int, _of: int) -> None:
            self._keep(job, page, {**progress, "pages_done": done + number})

        wanted = range(missing[0], missing[-1] + 1)
        return reader.read(fetched.data, fetched.media_type, task.options, pages=wanted, progress=keep)

    def _keep(self, job: Claimed, page: Page, progress: dict[str, Any]) -> None:
        data = payloads.externalise(
            self._storage(),
            UUID(job.owner_id),
            page.model_dump(mode="json"),
            self._settings.ocr_page_bytes,
            largest=self._settings.payload_limit_bytes,
        )
        told = {"job": job.id, "epoch": job.epoch, "page": page.number, "data": data, "progress": progress}
        [row] = self._database.call(self._statements["keep_page"], told)
        if not row["held"] or job.lost.is_set():
            job.lost.set()
            raise Stopped

    def _missing(self, job: Claimed, pages: range) -> list[int]:
        kept = {number for number, _ in self._kept(job, pages.start - 1)}
        return [number for number in pages if number not in kept]

    def _pages(self, job: Claimed) -> Iterator[Page]:
        for _, data in self._kept(job, 0):
            yield Page.model_validate(self._payloads.resolve(UUID(job.owner_id), data))

    def _kept(self, job: Claimed, after: int) -> Iterator[tuple[int, Any]]:
        while rows := self._database.call(
            self._statements["pages"], {"job": job.id, "after": after, "limit": PAGES_AT_ONCE}
        ):
            yield from ((row["page"], row["data"]) for row in rows)
            after = rows[-1]["page"]

    def _fetch(self, owner: UUID, place: dict[str, Any]) -> Fetched:
        return fetch(self._storage(), owner, place, largest=self._settings.ocr_document_bytes)


def understood(input_: Any) -> Task:
    """A job's input. Raises :class:`JobError` for one that nobody of ours makes, or an engine that is not here."""
    try:
        chosen = routing.wishes(input_)
        said = OcrOptions.model_validate(input_.get("options") or {})
        pages = range(input_["pages"][0], input_["pages"][1] + 1) if "pages" in input_ else None
        read = Read(**input_["read"]) if "read" in input_ else None
    except Invalid as error:
        raise JobError(f"{error.detail} {error.remedy or ''}".strip(), kind="no_engine") from None
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise JobError(f"The job's input is not understood: {error}", kind="invalid") from None
    return Task(
        place=place_of(input_),
        options=Options(
            engine="auto" if chosen.engine == "text_layer" else chosen.engine,
            text_layer="only" if chosen.engine == "text_layer" else said.text_layer,
            tables=said.tables,
            fields=said.fields,
        ),
        routing=chosen,
        wishes={name: input_[name] for name in ("options", "asked") if name in input_},
        pages=pages,
        read=read,
        page_count=input_.get("page_count", 0),
    )


def fingerprint(sha256: str, task: Task) -> str:
    """What is the same only when the content, how it is read and what reads it are."""
    told = [sha256, task.options.model_dump(mode="json"), REVISION, _versions()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@functools.cache
def _versions() -> list[str]:
    found = []
    for name in ENGINES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return found
