"""Migrations are applied once, in order, whole or not at all, in the ledger that the Supabase CLI keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import migrations
from infra.migrations import Applied, MigrationFailed, MigrationRefused, Row, State, split
from shared import errors
from tests.cluster import TestDatabase

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a migration file into a folder of the test's own."""

    def file(name: str, text: str) -> Path:
        path = tmp_path / f"{name}.sql"
        path.write_text(text)
        return path

    return file


@pytest.fixture
def three(write: Write, tmp_path: Path) -> Path:
    write("20270101000000_one", "create table one (id int);")
    write("20270102000000_two", "create table two (id int);\ninsert into two values (1);")
    write("20270103000000_three", "create table three (id int);")
    return tmp_path


def names(applied: list[Applied]) -> list[str]:
    return [row.name for row in applied]


def states(url: str, directory: Path) -> dict[str, State]:
    return {row.name: row.state for row in migrations.status(url, directory=directory)}


# Our own files -------------------------------------------------------------------------------------------------------


def test_our_migrations_apply_to_a_new_database_and_then_there_is_nothing_to_do(blank: TestDatabase) -> None:
    heard: list[Applied] = []
    applied = migrations.up(blank.url(), heard.append)
    assert [row.version for row in applied] == [migration.version for migration in migrations.read()]
    assert heard == applied
    assert migrations.up(blank.url()) == []
    assert {row.state for row in migrations.status(blank.url())} == {State.APPLIED}


def test_our_migrations_run_as_a_role_that_is_no_superuser(blank: TestDatabase) -> None:
    with psycopg.connect(blank.url()) as connection:
        row = connection.execute(
            "select current_user::text, rolsuper from pg_roles where rolname = current_user"
        ).fetchone()
    assert row == ("postgres", False)
    migrations.up(blank.url())


def test_our_files_open_by_saying_what_they_do_and_when_they_run() -> None:
    for migration in migrations.read():
        header = []
        for line in migration.text.splitlines():
            if not line.startswith("-- ") or line == migrations.RE_RUNNABLE:
                break
            header.append(line.removeprefix("-- "))
        text = " ".join(header)
        assert text, f"{migration.path.name} does not say what it does"
        assert "before the code" in text or "after the code" in text, f"{migration.path.name} does not say when it runs"


def test_no_migration_of_ours_needs_an_extension() -> None:
    for migration in migrations.read():
        assert "create extension" not in migration.text.lower(), migration.path.name


def test_the_supabase_clis_link_leads_to_the_same_files() -> None:
    link = migrations.DIRECTORY.parents[1] / "supabase" / "migrations"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == migrations.DIRECTORY.resolve()


def test_what_the_supabase_cli_pushed_needs_nothing_more_and_is_held_to_its_content(
    blank: TestDatabase, three: Path, write: Write
) -> None:
    """As that tool does it: each statement by itself, unprepared, the ledger row last, one transaction a file."""
    directory = three
    for migration in migrations.read():
        write(f"{migration.version}_{migration.name}", migration.text)
    with psycopg.connect(blank.url(), autocommit=True, prepare_threshold=None) as connection:
        connection.execute("create schema supabase_migrations")
        connection.execute("create table supabase_migrations.schema_migrations (version text not null primary key)")
        connection.execute("alter table supabase_migrations.schema_migrations add column statements text[]")
        connection.execute("alter table supabase_migrations.schema_migrations add column name text")
        for migration in migrations.read(directory):
            with connection.pipeline():
                for statement in migration.statements:
                    connection.execute(statement.encode())
                connection.execute(
                    "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
                    [migration.version, migration.name, migration.statements],
                )
    assert set(states(blank.url(), directory).values()) == {State.APPLIED}
    assert migrations.up(blank.url(), directory=directory) == []
    write("20270102000000_two", "create table two (id bigint);")
    with pytest.raises(MigrationRefused, match=r"20270102000000_two\.sql was edited"):
        migrations.up(blank.url(), directory=directory)


# The ledger ----------------------------------------------------------------------------------------------------------


def test_the_ledger_is_the_supabase_clis(blank: TestDatabase, three: Path) -> None:
    migrations.up(blank.url(), directory=three)
    columns = blank.owner.execute(
        """
        select attname as name, format_type(atttypid, null) as type, attnotnull as required, atthasdef as has_default
        from pg_attribute
        where attrelid = 'supabase_migrations.schema_migrations'::regclass and attnum > 0
        order by attnum
        """
    ).fetchall()
    assert columns == [
        {"name": "version", "type": "text", "required": True, "has_default": False},
        {"name": "statements", "type": "text[]", "required": False, "has_default": False},
        {"name": "name", "type": "text", "required": False, "has_default": False},
    ]
    (key,) = blank.owner.execute(
        "select conname, pg_get_constraintdef(oid) as definition from pg_constraint "
        "where conrelid = 'supabase_migrations.schema_migrations'::regclass and contype = 'p'"
    ).fetchall()
    assert key == {"conname": "schema_migrations_pkey", "definition": "PRIMARY KEY (version)"}
    rows = blank.owner.execute(
        "select version, name, statements from supabase_migrations.schema_migrations order by 1"
    ).fetchall()
    assert rows[1] == {
        "version": "20270102000000",
        "name": "two",
        "statements": ["create table two (id int)", "insert into two values (1)"],
    }


def test_a_ledger_that_the_cli_made_is_used_as_it_is(blank: TestDatabase, three: Path) -> None:
    blank.owner.execute("create schema supabase_migrations")
    blank.owner.execute("create table supabase_migrations.schema_migrations (version text not null primary key)")
    blank.owner.execute("insert into supabase_migrations.schema_migrations values ('20200101000000')")
    assert states(blank.url(), three)[""] is State.UNKNOWN
    migrations.up(blank.url(), directory=three)
    assert states(blank.url(), three) == {
        "": State.UNKNOWN,
        "one": State.APPLIED,
        "two": State.APPLIED,
        "three": State.APPLIED,
    }


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        ("  \n ", []),
        ("select 1", ["select 1"]),
        ("select 1;", ["select 1"]),
        ("select 1;;\n;select 2 ; ", ["select 1", "select 2"]),
        ("-- a; b\nselect 1; -- c;\nselect 2;", ["-- a; b\nselect 1", "-- c;\nselect 2"]),
        ("select 1;\n-- the end;", ["select 1", "-- the end;".rstrip(";")]),
        ("/* a; /* b; */ c; */ select 1; select 2", ["/* a; /* b; */ c; */ select 1", "select 2"]),
        ("select ';', 'it''s;', \"a;\"\"b\"; select 2", ["select ';', 'it''s;', \"a;\"\"b\"", "select 2"]),
        ("do $$ begin; end $$; select $a$ $$; $a$;", ["do $$ begin; end $$", "select $a$ $$; $a$"]),
        ("select 'it is -- no comment;'; select 1", ["select 'it is -- no comment;'", "select 1"]),
        ("-- it's\nselect 1; select 2", ["-- it's\nselect 1", "select 2"]),
        ("create rule r as on insert to t do (select 1; select 2); select 3",
         ["create rule r as on insert to t do (select 1; select 2)", "select 3"]),
        ("select 1 - 2; select 4 / 2;", ["select 1 - 2", "select 4 / 2"]),
    ],
)  # fmt: skip
def test_files_are_cut_into_statements_where_the_cli_cuts_them(text: str, statements: list[str]) -> None:
    assert split(text) == statements


_FRAGMENTS = st.one_of(
    st.sampled_from(["select", " ", "\n", "1", "-", "/", "*", "a_b", "=", ","]),
    st.text("ab;-'\n", max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.text("ab;-'\n", max_size=8).map(lambda text: '"' + text + '"'),
    st.text("ab;'\"$", max_size=8).map(lambda text: "$x_1$" + text + "$x_1$"),
    st.text("ab;'\"$(", max_size=8).map(lambda text: "--" + text + "\n"),
    st.text("ab;'\"$(", max_size=8).map(lambda text: "/*" + text + "*/"),
    st.text("ab; \n", max_size=8).map(lambda text: "(" + text + ")"),
)


@settings(deadline=None)
@given(st.lists(st.lists(_FRAGMENTS, min_size=1, max_size=6).map(" ".join), max_size=5))
def test_statements_joined_by_semicolons_are_cut_apart_again(statements: list[str]) -> None:
    # Blanks between fragments keep two of them from forming a third ("-" and "-", a quote beside a quote).
    assert split(";".join(statements)) == [text.strip() for text in statements if text.strip()]


# Refusals ------------------------------------------------------------------------------------------------------------


def test_a_file_edited_after_it_was_applied_is_refused_by_name(blank: TestDatabase, three: Path, write: Write) -> None:
    migrations.up(blank.url(), directory=three)
    write("20270101000000_one", "create table one (id bigint);")
    write("20270104000000_four", "create table four (id int);")
    with pytest.raises(MigrationRefused, match=r"20270101000000_one\.sql was edited") as refusal:
        migrations.up(blank.url(), directory=three)
    assert refusal.value.remedy
    assert isinstance(refusal.value, errors.Conflict)
    assert states(blank.url(), three) == {
        "one": State.EDITED,
        "two": State.APPLIED,
        "three": State.APPLIED,
        "four": State.PENDING,
    }


def test_even_a_comment_is_an_edit(blank: TestDatabase, three: Path, write: Write) -> None:
    migrations.up(blank.url(), directory=three)
    write("20270103000000_three", "create table three (id int); -- now with a comment")
    with pytest.raises(MigrationRefused, match="three"):
        migrations.up(blank.url(), directory=three)


def test_a_file_added_before_the_last_applied_is_refused_by_name(
    blank: TestDatabase, three: Path, write: Write
) -> None:
    migrations.up(blank.url(), directory=three)
    write("20270102120000_between", "create table between_them (id int);")
    write("20270104000000_four", "create table four (id int);")
    with pytest.raises(MigrationRefused, match=r"20270102120000_between\.sql was added before"):
        migrations.up(blank.url(), directory=three)
    assert states(blank.url(), three)["between"] is State.LATE
    assert blank.owner.execute("select to_regclass('four') as four").fetchone() == {"four": None}


def test_a_re_runnable_file_may_come_late(blank: TestDatabase, three: Path, write: Write) -> None:
    migrations.up(blank.url(), directory=three)
    write("20270102120000_between", f"-- Late.\n{migrations.RE_RUNNABLE}\ncreate table if not exists one (id int);")
    assert names(migrations.up(blank.url(), directory=three)) == ["between"]


@pytest.mark.parametrize("name", ["one", "20270101_short", "20270101000000_Upper", "20270101000000-dash"])
def test_a_file_with_another_name_is_refused_by_name(write: Write, tmp_path: Path, name: str) -> None:
    write(name, "select 1;")
    with pytest.raises(MigrationRefused, match=name):
        migrations.read(tmp_path)


def test_two_files_of_one_version_are_refused_by_name(write: Write, tmp_path: Path) -> None:
    write("20270101000000_one", "select 1;")
    write("20270101000000_other", "select 1;")
    with pytest.raises(MigrationRefused, match=r"one\.sql and 20270101000000_other\.sql"):
        migrations.read(tmp_path)


# Whole or not at all -------------------------------------------------------------------------------------------------


def test_a_file_that_fails_halfway_leaves_nothing_and_names_the_line(
    blank: TestDatabase, three: Path, write: Write
) -> None:
    write("20270102000000_two", "create table two (id int);\n\ninsert into two\nvalues ('no number');\n")
    with pytest.raises(MigrationFailed, match=r"20270102000000_two\.sql:4: invalid input syntax"):
        migrations.up(blank.url(), directory=three)
    write("20270102000000_two", "create table two (id int check (id > 0));\n\n-- A row.\ninsert into two values (0);\n")
    with pytest.raises(MigrationFailed, match=r"20270102000000_two\.sql:3: new row .* violates check") as failure:
        migrations.up(blank.url(), directory=three)
    assert "Failing row contains (0)" in failure.value.detail
    assert states(blank.url(), three) == {"one": State.APPLIED, "two": State.PENDING, "three": State.PENDING}
    assert blank.owner.execute("select to_regclass('two') as two").fetchone() == {"two": None}
    write("20270102000000_two", "create table two (id int);")
    assert names(migrations.up(blank.url(), directory=three)) == ["two", "three"]


def test_a_migrator_that_dies_halfway_leaves_nothing(blank: TestDatabase, three: Path, write: Write) -> None:
    write(
        "20270102000000_two",
        "create table two (id int);\nselect pg_terminate_backend(pg_backend_pid());",
    )
    with pytest.raises(MigrationFailed, match="two"):
        migrations.up(blank.url(), directory=three)
    assert states(blank.url(), three)["two"] is State.PENDING
    assert blank.owner.execute("select to_regclass('two') as two").fetchone() == {"two": None}


def test_a_file_that_cannot_have_a_lock_lets_go_of_everything_and_comes_again(
    blank: TestDatabase, three: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("20270104000000_four", "create table fourth (id int);\nalter table busy add column more int;")
    blank.owner.execute("create table busy (id int)")
    holder = blank.connect("postgres")
    holder.execute("begin")
    holder.execute("select from busy")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        # Between two tries it holds nothing: others may do what they like.
        assert blank.owner.execute("select to_regclass('fourth') as made").fetchone() == {"made": None}
        holder.execute("commit")

    monkeypatch.setattr(migrations.time, "sleep", pause)
    patience = migrations.Patience(lock_seconds=0.01, attempts=3)
    assert names(migrations.up(blank.url(), directory=three, patience=patience)) == ["one", "two", "three", "four"]
    assert len(pauses) == 1


def test_a_lock_that_is_never_let_go_is_named_and_nothing_of_the_file_is_kept(
    blank: TestDatabase, three: Path, write: Write
) -> None:
    write("20270104000000_four", "create table fourth (id int);\nalter table busy add column more int;")
    blank.owner.execute("create table busy (id int)")
    holder = blank.connect("postgres")
    patience = migrations.Patience(lock_seconds=0.01, attempts=2, longest_pause=0.01)
    with holder.transaction():
        holder.execute("select from busy")
        with pytest.raises(MigrationFailed, match=r"four\.sql:2: canceling statement due to lock timeout"):
            migrations.up(blank.url(), directory=three, patience=patience)
    assert blank.owner.execute("select to_regclass('fourth') as made").fetchone() == {"made": None}


def test_two_migrators_at_once_take_turns_and_apply_each_file_once(blank: TestDatabase, three: Path) -> None:
    gate = blank.connect("postgres")
    done: dict[int, list[str]] = {}

    def migrate(number: int) -> None:
        done[number] = names(migrations.up(blank.url(), directory=three))

    threads = [threading.Thread(target=migrate, args=[number]) for number in range(2)]
    with gate.transaction():
        gate.execute("select pg_advisory_xact_lock(%s)", [int.from_bytes(b"millrace", "big")])
        for thread in threads:
            thread.start()
        wait_for_waiters(blank, 2)
        assert done == {}
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(done[0] + done[1]) == ["one", "three", "two"]
    assert blank.owner.execute("select count(*) from two").fetchone() == {"count": 1}


def wait_for_waiters(database: TestDatabase, expected: int) -> None:
    """Return once that many migrators are seen waiting for the lock."""
    for _ in range(2000):
        row = database.owner.execute(
            "select count(*) from pg_locks where locktype = 'advisory' and not granted "
            "and database = (select oid from pg_database where datname = current_database())"
        ).fetchone()
        if row == {"count": expected}:
            return
        threading.Event().wait(0.005)
    raise AssertionError("the migrators do not wait for each other")


def test_status_of_a_database_that_was_never_migrated_writes_nothing(blank: TestDatabase, three: Path) -> None:
    assert migrations.status(blank.url(), directory=three)[0] == Row("20270101000000", "one", State.PENDING)
    assert set(states(blank.url(), three).values()) == {State.PENDING}
    row = blank.owner.execute("select to_regnamespace('supabase_migrations') as ledger").fetchone()
    assert row == {"ledger": None}


def test_a_history_row_whose_file_is_gone_is_kept_and_listed(blank: TestDatabase, three: Path) -> None:
    migrations.up(blank.url(), directory=three)
    (three / "20270102000000_two.sql").unlink()
    assert migrations.up(blank.url(), directory=three) == []
    assert states(blank.url(), three) == {"one": State.APPLIED, "two": State.UNKNOWN, "three": State.APPLIED}
