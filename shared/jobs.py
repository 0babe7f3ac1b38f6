"""Jobs: work that a capability does for a caller, a stored file or a run's step, as rows of ``millrace.job``.

A capability's worker face is one line::

    handler = jobs.face("ocr", perform)

where ``perform(job) -> result`` takes a :class:`Claimed` job and returns JSON or raises :class:`JobError`. Everything
else is here: the claim raises the job's epoch and lends it a lease, a thread renews the lease while the work goes on,
ending compares the epoch, failures that may pass are queued again with backoff until the attempts are used up, and the
run that waits for the job is rung. Delivery is at least once, so what ``perform`` does elsewhere must be under
``job.key``, which is the same in every attempt.

Work that is large is split: ``return job.split([input, ...])`` makes a job of the same kind for each input, which run
in parallel, each with its own lease and attempts. When the last of them has ended, ``perform`` is called again with
``job.parts`` filled, in order, and gives the result of the whole. ``job.report({"pages_done": 3})`` says how far it
is; numbers that parts report are added up in what the owner sees of the whole.

Tenants ask for jobs with :func:`request`, look at them with :func:`read` and end them with :func:`cancel`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from shared import records
from shared.database import Database, database, dump_json
from shared.doorbell import RUNS, Doorbell, doorbell
from shared.errors import Invalid, NotFound, TooLarge
from shared.settings import DatabaseSettings, DoorbellSettings, EngineSettings, JobSettings
from shared.statements import load
from shared.telemetry import logger
from shared.tenant import Caller

LONGEST_BACKOFF_SECONDS = 900.0  #: what a queue's delay holds


class JobError(Exception):
    """The job failed. ``kind`` is its error class for retry policies; ``retryable``: another attempt may do.

    ``output`` is what there is to tell all the same, as JSON: an error branch of the step that waits is given it.
    """

    def __init__(self, message: str, *, kind: str = "error", retryable: bool = False, output: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.retryable = retryable
        self.output = output


@dataclass(frozen=True, slots=True)
class Part:
    """What became of a part of a job: ``result`` when it completed, ``error`` (kind, message) when it failed."""

    id: str
    input: Any
    status: str  #: completed, failed or cancelled
    result: Any
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Split:
    """What ``perform`` returns to hand the work to parts; made by :meth:`Claimed.split`."""

    parts: list[Any]
    progress: Any


@dataclass(frozen=True, slots=True)
class Later:
    """What ``perform`` returns to be called again in ``delay`` seconds, without an attempt being counted."""

    delay: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that this worker holds."""

    id: str
    owner_id: str
    input: Any
    epoch: int
    attempt: int  #: 1 for the first
    max_attempts: int
    execution_id: str | None  #: the run that waits for it, if one does
    lost: threading.Event = field(
        default_factory=threading.Event
    )  #: set when the lease went to another, or it was cancelled
    parent_id: str | None = None  #: of a part: the job that it is a part of
    part: int | None = None  #: of a part: its number, from 0
    parts: list[Part] | None = None  #: of a job that was split: its parts, all of which have ended
    reporting: Callable[[Any], bool] = field(default=lambda _progress: True, repr=False)

    @property
    def key(self) -> str:
        """Stable through every attempt: send it along as an idempotency key."""
        return f"job/{self.id}"

    def split(self, inputs: list[Any], progress: Any = None) -> Split:
        """Hand the work to parts, 1 to 1,000, with these inputs: ``return job.split([...])``.

        A part cannot be split, and a job is split once.
        """
        return Split(inputs, progress)

    def report(self, progress: dict[str, Any]) -> bool:
        """Say how far it is, in a small JSON object, and extend the lease. False, and ``lost`` set: stop working."""
        if not self.reporting(progress):
            self.lost.set()
        return not self.lost.is_set()


Perform = Callable[[Claimed], Any]


class Settings(DatabaseSettings, DoorbellSettings, EngineSettings):
    """What a job worker is told."""


def face(kind: str, perform: Perform) -> Callable[[Any, Any], dict[str, Any]]:
    """A capability's queue face: does the jobs of ``kind`` that the bells name. What is no bell fails alone."""

    def handler(event: Any, context: Any) -> dict[str, Any]:
        ids, poisoned = records.bells(event)
        if poisoned:
            logger.error("records that are no bells", extra={"message_ids": poisoned})
        if ids:
            work(database(), doorbell(), kind, set(ids.values()), perform, lease_seconds=Settings.load().lease_seconds)
        return records.failures(poisoned)

    return handler


def work(
    database: Database, doorbell: Doorbell, kind: str, ids: Iterable[str], perform: Perform, *, lease_seconds: float
) -> int:
    """Do those of these jobs that are due, one after another; answer how many were claimed.

    Each is claimed when its turn comes: one that only waited would lose its lease and use up its attempts. Raises
    ``shared.errors.Unavailable`` when the database does not answer; the lease then runs out and nothing is lost.
    """
    claim = load("engine")["claim_jobs"]
    claimed = 0
    for id_ in ids:
        for row in database.call(claim, {"kind": kind, "ids": [id_], "lease": lease_seconds, "claim": uuid.uuid4()}):
            claimed += 1
            job = _claimed(database, row, lease_seconds)
            with _renewed(database, job, lease_seconds):
                end = _outcome(job, perform)
            _end(database, doorbell, kind, job, end)
    return claimed


def _claimed(database: Database, row: dict[str, Any], lease_seconds: float) -> Claimed:
    def report(progress: Any) -> bool:
        told = {"id": row["id"], "epoch": row["epoch"], "lease": lease_seconds, "progress": progress}
        return bool(database.call(load("engine")["report_job"], told)[0]["held"])

    return Claimed(
        id=str(row["id"]),
        owner_id=str(row["owner_id"]),
        input=row["input"],
        epoch=row["epoch"],
        attempt=row["attempts"],
        max_attempts=row["max_attempts"],
        execution_id=str(row["execution_id"]) if row["execution_id"] else None,
        parent_id=str(row["parent_id"]) if row["parent_id"] else None,
        part=row["part"],
        parts=None if row["parts"] is None else [Part(**part) for part in row["parts"]],
        reporting=report,
    )


def _end(database: Database, doorbell: Doorbell, kind: str, job: Claimed, end: dict[str, Any]) -> None:
    """Write the end of one attempt, and ring for whoever waits for it."""
    statement = load("engine")["end_jobs"]
    try:
        answer = database.call(statement, {"ends": [end]})[0]["answers"][job.id]
    except (Invalid, psycopg.DataError) as error:  # to do it again would give the same
        logger.exception("a job's end cannot be stored", extra={"job_id": job.id})
        told = {"kind": "invalid_output", "message": f"The result cannot be stored: {error}"}
        end = {"id": job.id, "epoch": job.epoch, "status": "failed", "error": told}
        answer = database.call(statement, {"ends": [end]})[0]["answers"][job.id]
    if not answer["ended"]:
        logger.warning("a job's lease was lost", extra={"job_id": job.id, "epoch": job.epoch})
    elif end["status"] == "queued":
        doorbell.ring(kind, [job.id], end["delay"])
    elif answer["execution_id"]:
        doorbell.ring(RUNS, [answer["execution_id"]])
    elif answer.get("parts"):
        doorbell.ring(kind, answer["parts"])
    elif answer.get("parent"):
        doorbell.ring(kind, [answer["parent"]])


def _outcome(job: Claimed, perform: Perform) -> dict[str, Any]:
    """The end of one attempt, as ``millrace.end_jobs`` takes it."""
    try:
        result = perform(job)
        if isinstance(result, Later):
            return {"id": job.id, "epoch": job.epoch, "status": "queued", "delay": result.delay, "counts": False}
        if isinstance(result, Split):
            handed = {"parts": result.parts, "progress": result.progress}
            return {"id": job.id, "epoch": job.epoch, "status": "split", **handed}
        return {"id": job.id, "epoch": job.epoch, "status": "completed", "result": result}
    except JobError as error:
        failure = error
    except Exception:
        logger.exception("a job raised", extra={"job_id": job.id})
        message = "The work failed in a way it should not have; the worker's log has the details."
        failure = JobError(message, kind="internal", retryable=True)
    told: dict[str, Any] = {"kind": failure.kind, "message": failure.message}
    if failure.output is not None:
        told["output"] = failure.output
    end = {"id": job.id, "epoch": job.epoch, "error": told}
    if failure.retryable and job.attempt < job.max_attempts:
        return {**end, "status": "queued", "delay": min(2.0 ** (job.attempt - 1), LONGEST_BACKOFF_SECONDS)}
    return {**end, "status": "failed"}


@contextmanager
def _renewed(database: Database, job: Claimed, lease_seconds: float) -> Iterator[None]:
    """Renew the job's lease every third of it; set ``job.lost`` when it is no longer ours."""
    done = threading.Event()
    renew = load("engine")["renew_job"]

    def renewing() -> None:
        while not done.wait(lease_seconds / 3):
            try:
                held = database.call(renew, {"id": job.id, "epoch": job.epoch, "lease": lease_seconds})[0]["renewed"]
            except Exception:
                logger.exception("a job's lease could not be renewed", extra={"job_id": job.id})
                continue  # the next turn may reach the database; if none does, the fence decides
            if not held:
                job.lost.set()
                return

    thread = threading.Thread(target=renewing, name=f"renew-{job.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


# Tenants --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its owner sees it."""

    id: UUID
    kind: str
    status: str  #: queued, running, completed, failed or cancelled
    input: Any
    result: Any
    error: dict[str, Any] | None
    progress: dict[str, Any] | None  #: what its worker reported, with the numbers of its parts added up
    parts: int | None
    attempts: int
    execution_id: UUID | None
    node_id: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


def request(caller: Caller, doorbell: Doorbell, kind: str, input_: Any, key: str | None = None) -> UUID:
    """Ask for one job; as :func:`request_all`."""
    return request_all(caller, doorbell, kind, [input_], key)[0]


def request_all(caller: Caller, doorbell: Doorbell, kind: str, inputs: list[Any], key: str | None = None) -> list[UUID]:
    """Ask for a job of ``kind`` for each input, or for none of them; the ids in order. The same key: the same jobs.

    Raises :class:`TooLarge` for an input over ``MILLRACE_JOB_INPUT_BYTES``, :class:`Invalid` for a key that was used
    for something else and :class:`~shared.errors.TooMany` over ``MILLRACE_JOBS_OPEN``.
    """
    bounds = JobSettings.load()
    for input_ in inputs:
        if (size := len(dump_json(input_))) > bounds.job_input_bytes:
            raise TooLarge(
                f"The job's input has {size} bytes as JSON; at most {bounds.job_input_bytes} are accepted.",
                remedy="Store large values as an object first and name it.",
            )
    # Without a key of the caller's, one of this call: a statement that is repeated after a lost reply asks once.
    asked = {"kind": kind, "inputs": inputs, "key": key or str(uuid.uuid4()), "open": bounds.jobs_open}
    ids: list[UUID] = caller.call(load("engine")["request_jobs"], asked)[0]["ids"]
    doorbell.ring(kind, [str(id_) for id_ in ids])
    return ids


def read(caller: Caller, kind: str, id_: UUID) -> Job:
    """One job of the caller's; :class:`NotFound` when it is another's, of another kind, or nobody's."""
    rows = caller.call(load("engine")["read_jobs"], {"ids": [id_]})
    if not rows or rows[0]["kind"] != kind:
        raise NotFound("There is no such job, or it is not yours.")
    return Job(**rows[0])


def cancel(caller: Caller, doorbell: Doorbell, id_: UUID) -> None:
    """Cancel a job of the caller's, with its parts.

    Raises :class:`NotFound` and, for one that has ended otherwise, :class:`~shared.errors.Conflict`.
    """
    [row] = caller.call(load("engine")["cancel_job"], {"id": id_})
    if row["execution_id"]:
        doorbell.ring(RUNS, [str(row["execution_id"])])
