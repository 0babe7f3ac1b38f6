"""What the doctor says of each thing it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing is."""

    OK = "ok"
    FAILING = "failing"
    SKIPPED = "not looked at"  #: what it needs is failing, or is not used here


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: how it is, and what helps when it is failing."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str | None = None


def ok(name: str, detail: str) -> Finding:
    return Finding(name, Verdict.OK, detail)


def failing(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, Verdict.FAILING, detail, remedy)


def skipped(name: str, detail: str) -> Finding:
    return Finding(name, Verdict.SKIPPED, detail)
