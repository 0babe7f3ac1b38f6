"""An adoption of a database in use: nobody waits long, and an index that was left half-built is built anew."""

from __future__ import annotations

import threading
import time
import uuid

import psycopg
import pytest

from infra.adopt.database import connect
from infra.migrations import MigrationFailed
from shared.errors import Conflict
from tests.cluster import Connection
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import HASTE, Old
from tests.infra.adopt.test_interrupted import Dead


class Until:
    """Stops an adoption where a step begins."""

    def __init__(self, step: str) -> None:
        self._until = step

    def step(self, name: str, total: int | None = None) -> None:
        if name == self._until:
            raise Dead

    def at(self, done: int, what: str = "") -> None:
        """Goes on."""


def begin_run(connection: Connection) -> None:
    """What the old application does all day."""
    connection.execute(
        "insert into workflowexecution "
        "(id, workflow_id, workflow_version, execution_id, status, started_at, retry_count) "
        "values (%s, %s, 1, %s, 'running', now(), 0)",
        [uuid.uuid4(), old_system.number("workflow", 0), uuid.uuid4().hex],
    )


def indexes(connection: Connection, *names: str) -> dict[str, bool]:
    rows = connection.execute(
        "select indexrelid::regclass::text as name, indisvalid as valid from pg_index where indexrelid::regclass::text "
        "= any(%s)",
        [list(names)],
    )
    return {row["name"]: row["valid"] for row in rows}


def test_rows_are_written_while_indexes_are_built(old: Old) -> None:
    with pytest.raises(Dead):
        old.adopt(progress=Until("build indexes"))
    writer, other = old.connect("postgres"), old.connect("postgres")
    writer.execute("begin")
    begin_run(writer)  # not committed: an index cannot be finished over it
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(old.adopt()))
    thread.start()
    try:
        _wait(old, "create%%index concurrently%%on public.workflowexecution %%")
        other.execute("set lock_timeout = '1s'")
        begin_run(other)  # an ordinary `create index` would refuse this until it is done
        assert other.execute("select count(*) as number from workflowexecution").fetchone() == {"number": 8}
    finally:
        writer.execute("commit")
        thread.join(60)
    assert done
    assert all(indexes(old.owner, "ix_workflowexecution_owner", "ix_executionlog_execution").values())
    rows = old.owner.execute("select count(*) as number from workflowexecution where owner_id is null").fetchone()
    assert rows == {"number": 0}  # also of those that came meanwhile


def _wait(old: Old, like: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        row = old.owner.execute(
            "select count(*) as number from pg_stat_activity where datname = current_database() "  # type: ignore[arg-type]
            f"and wait_event_type = 'Lock' and query ilike '{like}'",
            [],
        ).fetchone()
        if row and row["number"]:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_a_table_that_is_held_is_waited_for_briefly_and_named(old: Old) -> None:
    holder = old.connect("postgres")
    holder.execute("begin")
    holder.execute("select from workflowexecution")
    with pytest.raises((psycopg.errors.LockNotAvailable, MigrationFailed)):
        old.adopt(patience=HASTE)
    holder.execute("rollback")
    old.adopt(patience=HASTE)
    assert old.survey().nothing_to_do


def test_an_index_whose_building_was_interrupted_is_built_anew(old: Old) -> None:
    with pytest.raises(Dead):
        old.adopt(progress=Until("build indexes"))
    holder = old.connect("postgres")
    holder.execute("begin")
    begin_run(holder)
    with connect(old.url()) as builder:
        builder.execute("set statement_timeout = '200ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            builder.execute(
                "create index concurrently ix_workflowexecution_owner on workflowexecution (owner_id, started_at desc)"
            )
    holder.execute("rollback")
    assert indexes(old.owner, "ix_workflowexecution_owner") == {"ix_workflowexecution_owner": False}
    old.adopt()
    assert indexes(old.owner, "ix_workflowexecution_owner") == {"ix_workflowexecution_owner": True}


def test_two_adoptions_at_once_are_one(old: Old) -> None:
    with connect(old.url()) as first:
        first.execute("select pg_advisory_lock(%s)", [int.from_bytes(b"adoption", "big")])
        with pytest.raises(Conflict, match="under way"):
            old.adopt()
