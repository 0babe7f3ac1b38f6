"""The queue face: a bell names a document to be read."""

from __future__ import annotations

import functools
from typing import Any

from functions.ocr.reading import Reading, Settings
from shared import jobs
from shared.database import database
from shared.settings import OutboundSettings, StorageSettings
from shared.storage import storage


class WorkerSettings(Settings, StorageSettings, OutboundSettings, jobs.Settings):
    """What this function is told."""


@functools.cache
def reading() -> Reading:
    """The process's own."""
    return Reading(database(), storage, WorkerSettings.load())


def perform(job: jobs.Claimed) -> Any:
    """Do one job."""
    return reading().perform(job)


handler = jobs.face("ocr", perform)
