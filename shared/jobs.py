"""Jobs: work that a capability does for a caller, a stored file or a run's step, as rows of ``millrace.job``.

A capability's worker face is one line::

    handler = jobs.face("ocr", perform)

where ``perform(job) -> result`` takes a :class:`Claimed` job and returns JSON or raises :class:`JobError`. Everything
else is here: the claim raises the job's epoch and lends it a lease, a thread renews the lease while the work goes on,
ending compares the epoch, failures that may pass are queued again with backoff until the attempts are used up, and the
run that waits for the job is rung. Delivery is at least once, so what ``perform`` does elsewhere must be under
``job.key``, which is the same in every attempt.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from shared import records
from shared.database import Database, database
from shared.doorbell import RUNS, Doorbell, doorbell
from shared.errors import Invalid
from shared.settings import DatabaseSettings, DoorbellSettings, EngineSettings
from shared.statements import load
from shared.telemetry import logger

LONGEST_BACKOFF_SECONDS = 900.0  #: what a queue's delay holds


class JobError(Exception):
    """The job failed. ``kind`` is its error class for retry policies; ``retryable``: another attempt may do."""

    def __init__(self, message: str, *, kind: str = "error", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.retryable = retryable


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

    @property
    def key(self) -> str:
        """Stable through every attempt: send it along as an idempotency key."""
        return f"job/{self.id}"


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
            job = Claimed(
                id=str(row["id"]),
                owner_id=str(row["owner_id"]),
                input=row["input"],
                epoch=row["epoch"],
                attempt=row["attempts"],
                max_attempts=row["max_attempts"],
                execution_id=str(row["execution_id"]) if row["execution_id"] else None,
            )
            with _renewed(database, job, lease_seconds):
                end = _outcome(job, perform)
            _end(database, doorbell, kind, job, end)
    return claimed


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


def _outcome(job: Claimed, perform: Perform) -> dict[str, Any]:
    """The end of one attempt, as ``millrace.end_jobs`` takes it."""
    try:
        return {"id": job.id, "epoch": job.epoch, "status": "completed", "result": perform(job)}
    except JobError as error:
        failure = error
    except Exception:
        logger.exception("a job raised", extra={"job_id": job.id})
        message = "The work failed in a way it should not have; the worker's log has the details."
        failure = JobError(message, kind="internal", retryable=True)
    end = {"id": job.id, "epoch": job.epoch, "error": {"kind": failure.kind, "message": failure.message}}
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
