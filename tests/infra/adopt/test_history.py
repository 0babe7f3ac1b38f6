"""The Supabase CLI's ledger: kept, listed, and the commands that bring it level with our folder."""

from __future__ import annotations

from infra import migrations
from infra.adopt.history import repairs
from infra.migrations import Row, State
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old


def test_the_history_is_kept_and_what_the_cli_must_be_told_is_said(old: Old) -> None:
    before = old.owner.execute("select * from supabase_migrations.schema_migrations").fetchall()
    done = old.adopt()
    after = old.owner.execute("select * from supabase_migrations.schema_migrations").fetchall()
    assert [row for row in after if row in before] == before
    rows = {row.version: row.state for row in migrations.status(old.url())}
    assert sum(state is State.INHERITED for state in rows.values()) == 16
    assert rows[old_system.MOVED_HERE] is State.APPLIED
    assert [(one.command, one.reason) for one in done.after.repairs] == [
        (
            "supabase migration repair --status reverted 20251219181612",
            "add_user_connector_connection is 20251219181149 here",
        ),
        (
            "supabase migration repair --status reverted 20251214221103 20260101000000",
            "no file here: add_missing_indexes_and_optimizations, move_to_another_sign_in",
        ),
    ]
    assert done.before.repairs == done.after.repairs


def test_when_the_commands_have_run_versions_and_files_are_the_same(old: Old) -> None:
    done = old.adopt()
    for repair in done.after.repairs:  # what the command does
        old.owner.execute(
            "delete from supabase_migrations.schema_migrations where version = any(%s)", [list(repair.versions)]
        )
    versions = old.owner.execute("select version from supabase_migrations.schema_migrations order by 1").fetchall()
    assert [row["version"] for row in versions] == [migration.version for migration in migrations.read()]
    assert old.survey().repairs == []
    assert migrations.up(old.url()) == []


def test_a_history_that_is_level_needs_no_command() -> None:
    assert repairs([Row("1", "a", State.APPLIED), Row("2", "b", State.INHERITED), Row("3", "c", State.PENDING)]) == []


def test_a_row_without_a_name_is_listed_by_its_version() -> None:
    assert [one.reason for one in repairs([Row("1", "", State.UNKNOWN)])] == ["no file here: 1"]
