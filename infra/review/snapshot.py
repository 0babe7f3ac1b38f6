"""What a migrated database holds, and which migration each object came from: ``expected.json``.

``python -m infra.review.snapshot`` (in ``make reference``) makes it anew; a test compares it with the migrations. One
line an object, so that a migration's effect shows in a diff.
"""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import migrations
from infra.review import catalogue
from infra.review.catalogue import Catalogue, Facts

FILE = Path(__file__).with_name("expected.json")


@dataclass(frozen=True)
class Expected:
    """An object as it shall be, the migration that made it, and the last one that changed it."""

    facts: Facts
    since: str
    changed: str

    def as_json(self) -> dict[str, Any]:
        changed = {"changed": self.changed} if self.changed != self.since else {}
        return {"since": self.since, **changed, "is": self.facts}


@dataclass
class Snapshot:
    """All that is expected. ``removed`` is what some migration made and a later one removed: kind, name, that one."""

    versions: list[str] = field(default_factory=list)
    objects: dict[str, dict[str, Expected]] = field(default_factory=dict)
    removed: dict[str, dict[str, str]] = field(default_factory=dict)

    def follow(self, version: str, found: Catalogue) -> None:
        """``version`` has been applied, and this is what there is now."""
        self.versions.append(version)
        for kind, there in found.items():
            known = self.objects.setdefault(kind, {})
            removed = self.removed.setdefault(kind, {})
            for name in [name for name in known if name not in there]:
                del known[name]
                removed[name] = version
            for name, facts in there.items():
                before = known.get(name)
                if before is None:
                    known[name] = Expected(facts, version, version)
                    removed.pop(name, None)
                elif before.facts != facts:
                    known[name] = Expected(facts, before.since, version)

    def text(self) -> str:
        """The file: sorted, one line an object."""
        sections = {kind: {name: one.as_json() for name, one in held.items()} for kind, held in self.objects.items()}
        body = ",\n".join(f"{json.dumps(kind)}: {_lines(held)}" for kind, held in sections.items())
        removed = {kind: names for kind, names in self.removed.items() if names}
        gone = ",\n".join(f"{json.dumps(kind)}: {_lines(names)}" for kind, names in removed.items())
        return (
            f'{{\n"made_by": "make reference",\n"versions": {json.dumps(self.versions)},\n'
            f'"objects": {{\n{body}\n}},\n"removed": {{\n{gone}\n}}\n}}\n'
        )


def _lines(held: dict[str, Any]) -> str:
    lines = [f"  {json.dumps(name)}: {json.dumps(held[name], sort_keys=True)}" for name in sorted(held)]
    return "{\n" + ",\n".join(lines) + "\n}"


@functools.cache
def expected() -> Snapshot:
    """``expected.json``, read once."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    return Snapshot(
        versions=document["versions"],
        objects={
            kind: {
                name: Expected(one["is"], one["since"], one.get("changed", one["since"])) for name, one in held.items()
            }
            for kind, held in document["objects"].items()
        },
        removed=document["removed"],
    )


def make(url: str) -> Snapshot:
    """Apply every migration to the empty database at ``url`` and watch what becomes of it."""
    made = Snapshot()
    with catalogue.connect(url) as connection:
        migrations.up(url, progress=lambda applied: made.follow(applied.version, catalogue.read(connection)[1]))
    return made


def main() -> None:
    """Write the file."""
    from infra.local.postgres import EmbeddedPostgres

    with tempfile.TemporaryDirectory() as directory, EmbeddedPostgres(Path(directory), durable=False) as server:
        FILE.write_text(make(server.url()).text(), encoding="utf-8")


if __name__ == "__main__":
    main()
