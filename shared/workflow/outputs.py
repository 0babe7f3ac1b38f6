"""What rows hold of the steps' outputs: JSON that Postgres can keep, bounded, the large ones by reference."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Iterable

from shared.database import dump_json
from shared.errors import MillraceError, Unavailable
from shared.payloads import Payloads
from shared.workflow.node import Json, Output, StepError

logger = logging.getLogger(__name__)

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  #: the escape itself, not a backslash that happens to stand before u0000


class Outputs:
    """The outputs of one run, each of at most ``output_bytes`` and all together of at most ``context_bytes``."""

    def __init__(
        self, payloads: Payloads, owner: uuid.UUID, run: str, *, output_bytes: int, context_bytes: int
    ) -> None:
        self._payloads = payloads
        self._owner = owner
        self._run = run
        self._output_bytes = output_bytes
        self._context_bytes = context_bytes
        self._size = 0  #: of all that were counted

    def count(self, steps: Iterable[dict[str, Json]]) -> None:
        """Count what ended before."""
        self._size += sum(len(dump_json([step["output"], step["variables"]])) for step in steps)

    def kept(self, outcome: Output, *, counted: bool = True) -> Json:
        """The output as its row holds it. What JSON or Postgres cannot hold, or what is too large, fails the step."""
        try:
            text = json.dumps([outcome.value, outcome.variables, outcome.respond], allow_nan=False, ensure_ascii=False)
            size = len(text.encode())  # a lone surrogate is not Unicode text
        except (TypeError, ValueError, RecursionError) as error:
            raise StepError(f"The step's output is not JSON: {error}", kind="invalid_output") from None
        if _NUL.search(text):
            message = "The step's output holds a NUL character, which Postgres cannot keep."
            raise StepError(message, kind="invalid_output")
        if size > self._output_bytes:
            message = f"The step's output is {size:,} bytes; at most {self._output_bytes:,} are kept."
            raise StepError(message, kind="output_too_large")
        if counted and self._size + size > self._context_bytes:
            message = f"The outputs of this run's steps are more than {self._context_bytes:,} bytes together."
            raise StepError(message, kind="context_too_large")
        try:
            kept = self._payloads.keep(self._owner, outcome.value, size)
        except (MillraceError, OSError) as error:
            logger.warning("a step's output could not be stored", exc_info=error, extra={"execution_id": self._run})
            passing = isinstance(error, Unavailable | OSError)
            raise StepError("The step's output could not be stored.", kind="storage", retryable=passing) from None
        if counted:
            self._size += size
        return kept

    def failure(self, told: Json, output: Json, *, counted: bool) -> tuple[Json, Json]:
        """A failed step's output, and what its row holds. What cannot be kept is left out, not to hide the failure."""
        failure = {"error": told}
        if output is not None:
            whole = {**failure, "output": output}
            try:
                return whole, self.kept(Output(whole), counted=counted)
            except StepError as error:
                logger.info("a failed step's output is not kept: %s", error, extra={"execution_id": self._run})
        return failure, failure
