"""What an attack is, as data: any backend must withstand all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shared.models.code import CodeOutcome, CodeRequest, Language, Limits, RunStatus

NOTHING = object()
#: Seconds for attacks that run until they are stopped.
WALL = 0.7
#: For those that end by themselves, long before this, but on a machine that has much else to do.
PATIENCE = 15.0


@dataclass(frozen=True)
class Attack:
    """A program, and how it may end: a limit, an error's type, ``failed`` (whatever the error) or ``completed``."""

    language: Language
    tries: str
    code: str
    ends: tuple[str, ...]
    result: Any = NOTHING  #: where it completes
    limits: dict[str, Any] = field(default_factory=dict)
    input_data: Any = None

    @property
    def name(self) -> str:
        return f"{self.language}: {self.tries}"

    def request(self, file: str, port: int) -> CodeRequest:
        code = self.code.replace("{FILE}", file).replace("{PORT}", str(port))
        wall = WALL if "wall" in self.ends else PATIENCE
        limits = Limits(**{"wall_seconds": wall, "memory_mb": 128} | self.limits)
        return CodeRequest(language=self.language, code=code, limits=limits, input_data=self.input_data)


def ending(outcome: CodeOutcome) -> str:
    """How it ended, in one word."""
    if outcome.limit is not None:
        return str(outcome.limit)
    return outcome.error.type if outcome.error is not None else str(outcome.status)


def as_expected(attack: Attack, outcome: CodeOutcome) -> bool:
    if ending(outcome) not in attack.ends and not (outcome.status == RunStatus.FAILED and "failed" in attack.ends):
        return False
    return outcome.status != RunStatus.COMPLETED or attack.result is NOTHING or outcome.result == attack.result


def python(
    tries: str,
    code: str,
    *ends: str,
    result: Any = NOTHING,
    limits: dict[str, Any] | None = None,
    input_data: Any = None,
) -> Attack:
    return Attack(Language.PYTHON, tries, code, ends, result, limits or {}, input_data)


def javascript(
    tries: str,
    code: str,
    *ends: str,
    result: Any = NOTHING,
    limits: dict[str, Any] | None = None,
    input_data: Any = None,
) -> Attack:
    return Attack(Language.JAVASCRIPT, tries, code, ends, result, limits or {}, input_data)
