"""What is not applied is not drift of its objects; what is half applied, edited or late is said by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra import migrations
from infra.review.review import Review, review
from infra.review.snapshot import expected
from tests.cluster import TestDatabase
from tests.infra.review.conftest import restore

TENANT_TABLES = "20261122100200"
ENGINE = "20261122110000"


@pytest.fixture
def some(tmp_path: Path) -> Path:
    """The migrations before the engine's."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    for migration in migrations.read():
        if migration.version < ENGINE:
            shutil.copy(migration.path, directory)
    return directory


def said(found: Review) -> list[tuple[str, str]]:
    return [(drift.object, drift.says) for drift in found.drifts]


def test_an_empty_database_lacks_migrations_and_nothing_else(blank: TestDatabase, store: str) -> None:
    found = review(blank.url(), storage=store)
    assert {(drift.kind, drift.says) for drift in found.drifts} == {("migration", "is pending")}
    assert len(found.drifts) == len(migrations.read())
    assert found.drifts[0].remedy.commands == ("millrace migrate up",)
    assert found.mismatches == []


def test_what_a_pending_migration_brings_is_not_named_one_by_one(blank: TestDatabase, store: str, some: Path) -> None:
    migrations.up(blank.url(), directory=some)
    found = review(blank.url(), storage=store)
    assert {(drift.kind, drift.says) for drift in found.drifts} == {("migration", "is pending")}
    assert found.drifts[0].object == f"{ENGINE}_engine"
    migrations.up(blank.url())
    assert review(blank.url(), storage=store).clean


def test_drift_is_seen_while_a_migration_is_pending(blank: TestDatabase, store: str, some: Path) -> None:
    migrations.up(blank.url(), directory=some)
    blank.owner.execute("drop policy item_owner on public.item; grant select on public.item to anon")
    found = review(blank.url(), storage=store)
    assert [drift.object for drift in found.drifts if drift.kind != "migration"] == [
        "public.item.item_owner",
        "table public.item to anon",
    ]


def test_a_half_applied_migration_is_named_and_can_be_undone(blank: TestDatabase, store: str, some: Path) -> None:
    """As when somebody ran a file by hand, statement by statement, and stopped at an error."""
    migrations.up(blank.url(), directory=some)
    [engine] = [migration for migration in migrations.read() if migration.version == ENGINE]
    statements = engine.statements
    for statement in statements[: len(statements) // 2]:
        blank.owner.execute(statement.encode())
    found = review(blank.url(), storage=store)
    [half] = [drift for drift in found.drifts if "half applied" in drift.says]
    assert half.object == f"{ENGINE}_engine"
    assert half.remedy.commands == ("millrace migrate up",)
    with pytest.raises(migrations.MigrationFailed):
        migrations.up(blank.url())
    restore(blank.url(), [half])
    migrations.up(blank.url())
    assert review(blank.url(), storage=store).clean


def test_a_migration_that_was_run_by_hand_as_a_whole_is_to_be_recorded(
    blank: TestDatabase, store: str, some: Path
) -> None:
    migrations.up(blank.url(), directory=some)
    [engine] = [migration for migration in migrations.read() if migration.version == ENGINE]
    blank.owner.execute(engine.text.encode())
    [found] = [drift for drift in review(blank.url(), storage=store).drifts if drift.object == f"{ENGINE}_engine"]
    assert "not recorded" in found.says
    assert found.remedy.commands[0].startswith("supabase migration repair --status applied")


def test_what_a_migration_finds_done_is_not_in_its_way(blank: TestDatabase, store: str, tmp_path: Path) -> None:
    """As when an adoption made columns and indexes ahead of the migration, and was interrupted."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    for migration in migrations.read():
        if migration.version < "20261122100100":
            shutil.copy(migration.path, directory)
    migrations.up(blank.url(), directory=directory)
    blank.owner.execute(
        'alter table public.ocrjob add column owner_id uuid references public."user" (id) on delete cascade'
    )
    blank.owner.execute("create index ix_ocrjob_owner_id on public.ocrjob (owner_id)")
    found = review(blank.url(), storage=store)
    assert {drift.says for drift in found.drifts} == {"is pending"}
    migrations.up(blank.url())
    assert said(review(blank.url(), storage=store)) == []


def test_an_adoption_that_has_not_ended_is_to_be_gone_on_with(db: TestDatabase, store: str) -> None:
    db.owner.execute("create table millrace.adopted_secret (secret_id uuid)")
    [drift] = review(db.url(), storage=store).drifts
    assert drift.object == "millrace.adopted_secret"
    assert drift.remedy.commands == ("millrace adopt",)


def test_an_edited_and_a_late_file_are_named(db: TestDatabase, store: str, tmp_path: Path) -> None:
    directory = tmp_path / "migrations"
    shutil.copytree(migrations.DIRECTORY, directory)
    with (directory / f"{TENANT_TABLES}_tenant_tables.sql").open("a") as file:
        file.write("\nselect 1;\n")
    (directory / "20261122100201_afterthought.sql").write_text("select 1;\n")
    assert said(review(db.url(), storage=store, directory=directory)) == [
        (f"{TENANT_TABLES}_tenant_tables", "was edited after it was applied"),
        ("20261122100201_afterthought", "was added before one that is applied"),
    ]


def test_a_migration_of_another_project_is_listed_and_is_no_drift(db: TestDatabase, store: str) -> None:
    db.owner.execute("insert into supabase_migrations.schema_migrations values ('20260101000000', null, 'theirs')")
    found = review(db.url(), storage=store)
    assert found.clean
    assert [row.name for row in found.migrations if row.state is migrations.State.UNKNOWN] == ["theirs"]


def test_a_database_that_the_supabase_cli_migrated_is_clean(db: TestDatabase, store: str) -> None:
    db.owner.execute("drop table millrace.migration_checksum")
    assert review(db.url(), storage=store).clean


def test_the_snapshot_knows_what_each_migration_made() -> None:
    tables = expected().objects["table"]
    assert tables["public.workflow"].since == "20251217000000"
    assert tables["public.workflowversion"].since == TENANT_TABLES
    assert tables["millrace.run"].since == ENGINE
