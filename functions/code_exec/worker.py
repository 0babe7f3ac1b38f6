"""The queue face: jobs of kind ``code``, each run in the function ``code-sandbox``."""

from __future__ import annotations

from typing import Any

from functions.code_exec.runs import Runner
from functions.code_exec.settings import WorkerSettings
from shared import jobs
from shared.database import database
from shared.invocation import functions
from shared.storage import storage


def perform(job: jobs.Claimed) -> Any:
    """Run the job's code."""
    return Runner(database(), functions(), storage(), WorkerSettings.load()).perform(job)


handler = jobs.face("code", perform)
