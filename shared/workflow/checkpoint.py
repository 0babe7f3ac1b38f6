"""What a checkpoint adds to what the database knows of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.workflow.node import Json


@dataclass(slots=True)
class Pending:
    """What the next checkpoint will add."""

    steps: list[dict[str, Json]] = field(default_factory=list)
    resolved: list[dict[str, Json]] = field(default_factory=list)
    jobs: list[dict[str, Json]] = field(default_factory=list)
    cancel_jobs: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    logs: list[dict[str, Json]] = field(default_factory=list)
    response: Json = None
    frontier: bool = False  #: the frontier changed

    def parts(self) -> dict[str, Json]:
        names = ("steps", "resolved", "jobs", "cancel_jobs", "signals", "logs", "response")
        return {name: value for name in names if (value := getattr(self, name))}

    @property
    def presses(self) -> bool:
        """Whether it should not wait for an effect under way; steps that can be computed again, and log lines, may."""
        return self.frontier or not self.parts().keys() <= {"steps", "logs"}


def closing(run: str, epoch: int, seq: int, news: int, error: dict[str, Json], node: str | None) -> dict[str, Json]:
    """The checkpoint that fails a run and adds nothing else."""
    end = {"status": "failed", "error": error, "error_message": error["message"], "node": node, "epoch": epoch}
    return {"run": run, "epoch": epoch, "seq": seq + 1, "news": news, "then": "finish", "end": end}
