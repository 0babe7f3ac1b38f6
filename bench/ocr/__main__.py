"""Character and word error rates, seconds a page and peak memory: ours, plain Tesseract, rapidocr's defaults.

All three read the same generated pages in the same run, page by page in turn, each in a process of its own that may use
``--cores`` processor cores (1 unless told): it is bound to them, whatever number of threads its libraries start. A
contender starts and loads its models before its first page is timed. Pages come class by class in turn, so that a run
that is stopped (Ctrl-C) shows figures of every class.

    python -m bench.ocr [--class NAME]... [--pages N] [--cores N] [--only CONTENDER]... [--json FILE] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bench.ocr.contender import CONTENDERS
from bench.ocr.corpus import CLASSES, Sample, samples
from bench.ocr.report import show
from bench.ocr.scoring import Score, score

console = Console()


class Reader:
    """A contender's process."""

    def __init__(self, name: str, cores: int) -> None:
        self.name = name
        self.memory = 0
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.ocr.contender", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if name != "ours" else None,
            text=True,
            bufsize=1,
            env={**os.environ, "OMP_THREAD_LIMIT": str(cores)},
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        )
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self._process.wait()}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def read(self, path: Path, sample: Sample) -> tuple[str, float]:
        """The page's text, and the seconds that it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"path": str(path), "media_type": sample.media_type}) + "\n")
        answer = self._answer()
        self.memory = answer["memory"]
        return answer["text"], answer["seconds"]

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(pages: list[Sample], contenders: list[str], cores: int, folder: Path) -> tuple[list[Score], dict[str, int]]:
    """Every page by every contender: the scores, and each one's peak memory in bytes. Texts go to ``folder``."""
    readers = [Reader(name, cores) for name in contenders]
    scores: list[Score] = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("reading", total=len(pages))
        try:
            for sample in pages:
                scores.extend(_read(readers, sample, folder))
                progress.advance(bar)
        except KeyboardInterrupt:
            console.print("[yellow]Stopped: these are the figures of the pages read so far.[/]")
    memory = {reader.name: reader.memory for reader in readers}
    for reader in readers:
        reader.close()
    return scores, memory


def _read(readers: list[Reader], sample: Sample, folder: Path) -> list[Score]:
    """One page by every contender."""
    path = folder / f"{sample.name}.{sample.media_type.removeprefix('image/')}"
    path.write_bytes(sample.data)
    (folder / f"{sample.name}.txt").write_text(sample.text)
    scores = []
    for reader in readers:
        text, seconds = reader.read(path, sample)
        (folder / f"{sample.name}.{reader.name}.txt").write_text(text)
        scores.append(score(sample.kind, sample.name, reader.name, sample.text, text, seconds))
    return scores


def main() -> None:
    """Read the arguments, measure, show."""
    parser = argparse.ArgumentParser(prog="python -m bench.ocr", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--class", dest="classes", action="append", choices=list(CLASSES), help="only this class of pages"
    )
    parser.add_argument("--pages", type=int, help="at most so many pages of each class")
    parser.add_argument("--cores", type=int, default=1, help="processor cores that each contender may use")
    parser.add_argument("--only", action="append", choices=list(CONTENDERS), help="only this contender")
    parser.add_argument("--json", type=Path, help="write every page's score and the peaks to this file")
    parser.add_argument("--keep", type=Path, help="keep the pages and what was read in this folder")
    options = parser.parse_args()
    pages = list(samples(options.classes or list(CLASSES), options.pages))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        scores, memory = measure(pages, options.only or list(CONTENDERS), options.cores, folder)
    show(console, scores, memory)
    read = len({s.page for s in scores})
    console.print(f"{read} of {len(pages)} pages in {time.monotonic() - began:.0f} s, {options.cores} core each")
    if options.json:
        options.json.write_text(json.dumps({"scores": [asdict(s) for s in scores], "memory": memory}, indent=1))


if __name__ == "__main__":
    main()
