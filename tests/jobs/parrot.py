"""A capability that lives in the tests: it repeats what it is told, and proves the job contract end to end."""

from __future__ import annotations

from typing import Any

from shared import jobs


def perform(job: jobs.Claimed) -> Any:
    """``{"say": text}`` gives ``{"said": text}``."""
    if job.input.get("say") == "nothing":
        raise jobs.JobError("It will not speak.", kind="silent")
    return {"said": job.input["say"], "attempt": job.attempt}


handler = jobs.face("parrot", perform)
