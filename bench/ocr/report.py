"""The figures as tables: one a class, then all together with the aim."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.ocr.scoring import Rates, Score, rates

#: Where ours should make at most half the errors of the better other one; elsewhere it should make no more.
HARD = ("noisy", "skewed", "rotated", "two columns", "receipt", "photo", "small UI text")


def by_class(scores: list[Score]) -> dict[str, dict[str, Rates]]:
    """Rates by class, then by contender."""
    found: dict[str, dict[str, Rates]] = {}
    for kind in dict.fromkeys(s.kind for s in scores):
        names = dict.fromkeys(s.contender for s in scores)
        found[kind] = {name: rates([s for s in scores if s.kind == kind and s.contender == name]) for name in names}
    return found


def ratio(mine: float, other: float) -> str:
    """``mine`` in parts of ``other``."""
    if other:
        return f"{mine / other:.2f}"
    return "=" if not mine else "worse"


def verdict(kind: str, found: dict[str, Rates]) -> tuple[str, bool]:
    """Ours against the better of the others; whether the aim is met."""
    mine, best = found["ours"].cer, min(r.cer for name, r in found.items() if name != "ours")
    allowed = best / 2 if kind in HARD else best
    return ratio(mine, best), mine <= allowed


def show(console: Console, scores: list[Score], memory: dict[str, int]) -> None:
    """Print the tables."""
    classes = by_class(scores)
    for kind, found in classes.items():
        table = Table(title=f"{kind} ({next(iter(found.values())).pages} pages)", title_justify="left")
        for column in ("", "CER", "WER", "s/page", "CER: ours to it", "s: ours to it"):
            table.add_column(column, justify="left" if not column else "right")
        mine = found.get("ours")
        for name, r in found.items():
            against = () if mine is None or name == "ours" else (ratio(mine.cer, r.cer), ratio(mine.seconds, r.seconds))
            table.add_row(name, f"{r.cer:.4f}", f"{r.wer:.4f}", f"{r.seconds:.2f}", *against)
        console.print(table)
    table = Table(title="all pages", title_justify="left")
    for column in ("", "CER", "WER", "s/page", "peak memory"):
        table.add_column(column, justify="left" if not column else "right")
    for name in memory:
        r = rates([s for s in scores if s.contender == name])
        table.add_row(name, f"{r.cer:.4f}", f"{r.wer:.4f}", f"{r.seconds:.2f}", f"{memory[name] / 1e6:,.0f} MB")
    console.print(table)
    if "ours" in memory and len(memory) > 1:
        for kind, found in classes.items():
            against, met = verdict(kind, found)
            aim = "half" if kind in HARD else "no worse"
            mark = "[green]met[/]   " if met else "[red]missed[/]"
            console.print(f"{mark} {kind}: {against} of the better one (aim: {aim})")
