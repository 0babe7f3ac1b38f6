"""One review: the database, its migrations, its buckets and the row models, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from infra import migrations
from infra.buckets import Bucket, declared
from infra.migrations import State
from infra.review import buckets, catalogue, rows
from infra.review.buckets import Held
from infra.review.catalogue import Catalogue, Connection, NotAllowed, Server
from infra.review.drift import Difference, Drift, compare
from infra.review.remedy import Remedy, Restorer, split
from infra.review.rows import Mismatch
from infra.review.snapshot import Snapshot, expected
from shared import errors

#: What came before this is the system that Millrace replaces: its tables are the inherited ones.
OURS_SINCE = "20261122100000"


class StoreUnreachable(errors.Unavailable):
    """The store of the buckets does not answer."""

    slug = "store-unreachable"


@dataclass(frozen=True)
class Table:
    """One table as it was found, in numbers."""

    name: str
    domain: str
    inherited: bool
    there: bool
    model: str | None
    columns: int = 0
    foreign_keys: int = 0
    indexes: int = 0
    constraints: int = 0
    policies: int = 0
    row_security: bool = False
    drifts: int = 0


@dataclass
class Review:
    """What was found. It is clean when there is no drift; notes are no drift."""

    server: Server
    at: datetime
    tables: list[Table]
    migrations: list[migrations.Row]
    buckets: list[Held]
    mismatches: list[Mismatch]
    drifts: list[Drift]
    notes: list[str]
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)  #: kind to (as expected, expected)

    @property
    def clean(self) -> bool:
        return not self.drifts

    @property
    def models(self) -> tuple[int, int]:
        """Row models that match their table, and all."""
        wrong = {mismatch.table for mismatch in self.mismatches}
        held = [table for table in self.tables if table.model is not None]
        return sum(table.there and table.name not in wrong for table in held), len(held)

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "clean": self.clean,
            "at": self.at.isoformat(),
            "server": asdict(self.server),
            "counts": {kind: {"expected": all_, "as_expected": good} for kind, (good, all_) in self.counts.items()},
            "drift": [
                {
                    "kind": drift.kind,
                    "object": drift.object,
                    "says": drift.says,
                    "migration": drift.migration,
                    "remedy": asdict(drift.remedy),
                }
                for drift in self.drifts
            ],
            "notes": self.notes,
            "tables": [asdict(table) for table in self.tables],
            "migrations": [asdict(row) for row in self.migrations],
            "buckets": [
                {"name": held.name, "place": held.place, "should": held.should, "is": held.says}
                for held in self.buckets
            ],
            "row_models": {
                "matching": self.models[0],
                "all": self.models[1],
                "mismatches": [asdict(mismatch) for mismatch in self.mismatches],
            },
        }


def review(
    url: str, *, storage: str, directory: Path = migrations.DIRECTORY, snapshot: Snapshot | None = None
) -> Review:
    """Review the database at ``url`` (its owner's address) and the buckets of ``storage``, as MILLRACE_STORAGE has it.

    Writes nothing. Raises :class:`catalogue.WrongVersion`, :class:`catalogue.NotAllowed`, psycopg's OperationalError
    when the database does not answer, and botocore's errors when S3 does not.
    """
    snapshot = snapshot or expected()
    with catalogue.connect(url) as connection:
        server, found = catalogue.read(connection)
        try:
            history = migrations.status(url, directory=directory)
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotAllowed(
                f"{server.role} may not read which migrations were applied: {error.diag.message_primary}.",
                remedy="Give the owner's address in MILLRACE_MIGRATION_URL.",
            ) from error
        wanted = declared()
        held = _look_at(storage, connection, wanted)
        deaf = buckets.triggers(connection) if storage.startswith("supabase:") else []
    states = {row.version: row.state for row in history}
    pending = {version for version, state in states.items() if state in (State.PENDING, State.LATE)}
    re_runnable = {migration.version for migration in migrations.read(directory) if migration.re_runnable}
    restorer = Restorer(snapshot, server.owner, vector_available=server.vector_available)
    fresh = snapshot.versions[0] in pending
    difference = compare(snapshot, found, pending, restorer, fresh=fresh)
    made = Review(
        server=server,
        at=datetime.now(UTC),
        tables=[],
        migrations=history,
        buckets=held,
        mismatches=rows.mismatches(found),
        drifts=[],
        notes=difference.notes,
    )
    made.drifts += _of_migrations(history, difference, re_runnable, restorer, snapshot, fresh=fresh)
    made.drifts += difference.drifts
    made.drifts += _of_models(made.mismatches, difference.drifts, snapshot, pending)
    made.drifts += [drift for bucket in held for drift in bucket.drifts]
    made.drifts += deaf
    inherited = [name for name, one in snapshot.objects["table"].items() if one.since < OURS_SINCE]
    if fresh and (here := [name for name in inherited if name in found["table"]]):
        made.notes.append(f"{len(here)} inherited tables are here already: `millrace adopt` takes them over")
    made.tables = _tables(snapshot, found, made.drifts)
    made.counts = _counts(snapshot, pending, made.drifts)
    return made


def _look_at(storage: str, connection: Connection, wanted: tuple[Bucket, ...]) -> list[Held]:
    kind, _, where = storage.partition(":")
    look: dict[str, Callable[[], list[Held]]] = {
        "supabase": lambda: buckets.on_supabase(connection, wanted),
        "s3": lambda: _on_s3(where, wanted),
        "directory": lambda: buckets.in_directory(Path(where).absolute(), wanted),
    }
    return look[kind]()


def _on_s3(prefix: str, wanted: tuple[Bucket, ...]) -> list[Held]:
    from botocore.exceptions import BotoCoreError, ClientError

    from shared import aws

    try:
        return buckets.on_s3(aws.client("s3"), prefix, wanted)
    except (BotoCoreError, ClientError) as error:
        raise StoreUnreachable(
            f"S3 does not answer: {error}.",
            remedy="Look at AWS_REGION and the credentials (AWS_PROFILE), or at MILLRACE_STORAGE.",
        ) from error


# --- migrations -------------------------------------------------------------------------------------------------------


def _of_migrations(
    history: list[migrations.Row],
    difference: Difference,
    re_runnable: set[str],
    restorer: Restorer,
    snapshot: Snapshot,
    *,
    fresh: bool,
) -> list[Drift]:
    made = []
    for row in history:
        name = f"{row.version}_{row.name}".rstrip("_")
        match row.state:
            case State.EDITED:
                remedy = Remedy(
                    commands=(f"git log --follow -- sql/migrations/{name}.sql",),
                    note="Restore the file as it was when it was applied, and put the change in a new migration.",
                )
                made.append(Drift("migration", name, "was edited after it was applied", remedy, row.version))
            case State.LATE:
                remedy = Remedy(note="Give the file a time after the last applied migration.")
                made.append(Drift("migration", name, "was added before one that is applied", remedy, row.version))
            case State.PENDING if (
                row.version not in re_runnable and not fresh and _stuck(row.version, difference, restorer)
            ):
                made.append(_half_applied(name, row.version, difference, restorer, snapshot))
            case State.PENDING:
                made.append(
                    Drift("migration", name, "is pending", Remedy(commands=("millrace migrate up",)), row.version)
                )
    return made


def _stuck(version: str, difference: Difference, restorer: Restorer) -> bool:
    """Whether something is there that the migration would stumble over."""
    return not all(restorer.repeats(version, kind, name) for kind, name in difference.early.get(version, []))


def _half_applied(name: str, version: str, difference: Difference, restorer: Restorer, snapshot: Snapshot) -> Drift:
    """Objects of a migration are there that the ledger does not know of: something else than ``up`` was at work."""
    there = difference.early[version]
    whole = sum(one.since == version for held in snapshot.objects.values() for one in held.values())
    says = f"is half applied: {len(there)} of its {whole} objects are there, but it is not recorded"
    if len(there) < whole:
        return Drift("migration", name, says, restorer.undo(there), version)
    remedy = Remedy(
        commands=(f"supabase migration repair --status applied {version}",),
        note="All its objects are there. Record it, then review again: its objects are then compared one by one.",
    )
    return Drift("migration", name, f"is applied, as far as its {whole} objects go, but not recorded", remedy, version)


# --- row models -------------------------------------------------------------------------------------------------------


def _of_models(mismatches: list[Mismatch], drifts: list[Drift], snapshot: Snapshot, pending: set[str]) -> list[Drift]:
    """Mismatches that no drifted or pending column explains: these are the checkout's own."""
    explained = {drift.object for drift in drifts if drift.kind == "column"}
    for name, one in snapshot.objects["column"].items():
        if one.since in pending or one.changed in pending:
            explained.add(name)
    plain = {name.replace('"', "") for name in explained}
    return [
        Drift("row model", mismatch.model, mismatch.says, Remedy(note=mismatch.remedy), None)
        for mismatch in mismatches
        if mismatch.column.replace('"', "") not in plain
    ]


# --- in numbers -------------------------------------------------------------------------------------------------------


def _tables(snapshot: Snapshot, found: Catalogue, drifts: list[Drift]) -> list[Table]:
    models = rows.row_models()
    made = []
    for name, one in sorted(snapshot.objects["table"].items()):
        model = models.get(name)
        parts = {
            kind: [facts for part, facts in found[kind].items() if split(part)[0] == name]
            for kind in ("column", "constraint", "index", "policy")
        }
        foreign = sum(facts["definition"].startswith("FOREIGN KEY") for facts in parts["constraint"])
        made.append(
            Table(
                name=name,
                domain=rows.domain(model) if model else "engine",
                inherited=one.since < OURS_SINCE,
                there=name in found["table"],
                model=model.__name__ if model else None,
                columns=len(parts["column"]),
                foreign_keys=foreign,
                indexes=len(parts["index"]),
                constraints=len(parts["constraint"]) - foreign,
                policies=len(parts["policy"]),
                row_security=bool(found["table"].get(name, {}).get("row_security")),
                drifts=sum(_about(drift, name) for drift in drifts),
            )
        )
    return made


def _about(drift: Drift, table: str) -> bool:
    if drift.kind == "grant":
        return drift.object.startswith(f"table {table} to ")
    return drift.object == table or drift.object.startswith(f"{table}.")


def _counts(snapshot: Snapshot, pending: set[str], drifts: list[Drift]) -> dict[str, tuple[int, int]]:
    made = {}
    wrong = {(drift.kind, drift.object) for drift in drifts}
    gone = {drift.object for drift in drifts if drift.kind == "table" and drift.says == "is missing"}
    for kind, held in snapshot.objects.items():
        good = 0
        for name, one in held.items():
            lost = any(name.startswith((f"{table}.", f"table {table} to ")) for table in gone)
            good += not (one.since in pending or one.changed in pending or lost or (kind, name) in wrong)
        made[kind] = (good, len(held))
    return made
