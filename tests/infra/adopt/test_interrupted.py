"""An adoption may be interrupted at any point and run again: it ends as one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from psycopg import sql

from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old


class Dead(BaseException):
    """The process is gone: nothing of it is handled."""


class Mortal:
    """Dies at the first event that no earlier run has lived to see; of long steps, at their first and third only."""

    def __init__(self, seen: set[tuple[str, int]]) -> None:
        self._seen = seen
        self._step = ""

    def step(self, name: str, total: int | None = None) -> None:
        self._step = name
        self._die(0)

    def at(self, done: int, what: str = "") -> None:
        if done in (1, 3) or self._step == "migrate":
            self._die(done)

    def _die(self, event: int) -> None:
        if (self._step, event) not in self._seen:
            self._seen.add((self._step, event))
            raise Dead


def state(old: Old) -> dict[str, Any]:
    """What must be the same in the end, however it was reached."""
    return {
        "inherited": old_system.snapshot(old.owner),
        "secrets": old.owner.execute("select id, owner_id, name from secret order by id").fetchall(),
        "users": old.owner.execute('select id, auth_id from "user" order by id').fetchall(),
        "versions": old.owner.execute(
            "select workflow_id, version, graph from workflowversion order by 1, 2"
        ).fetchall(),
        "subscriptions": old.owner.execute(
            "select id, scheme, secret_id from workflowwebhooksubscription order by id"
        ).fetchall(),
        "owners": old.owner.execute("select id, owner_id from executionlog order by id").fetchall(),
        "indexes": old.owner.execute(
            "select indexdef, indisvalid from pg_indexes join pg_index on indexrelid = indexname::regclass "
            "where schemaname = 'public' order by 1"
        ).fetchall(),
        "left": old.owner.execute("select to_regclass('millrace.adopted_secret') as there").fetchall(),
    }


def test_it_may_die_between_any_two_steps_and_ends_the_same(old: Old) -> None:
    seen: set[tuple[str, int]] = set()
    deaths = 0
    while True:
        try:
            old.adopt(progress=Mortal(seen))
        except Dead:
            deaths += 1
            assert deaths < 100
            # What was a secret is at every point still in clear text or sealed.
            assert len(sealed_or_clear(old)) == 12
        else:
            break
    assert {name for name, _ in seen} == {
        *("look", "seal secrets", "add columns", "give rows their owners", "build indexes", "migrate"),
        *("move secrets", "link users", "workflows", "look again"),
    }
    assert deaths > 20
    interrupted = state(old)
    assert old.survey().nothing_to_do
    fresh = clone(old)
    fresh.adopt()
    assert state(fresh) == interrupted
    fresh.close()
    old.cluster.drop(fresh.name)


def sealed_or_clear(old: Old) -> set[str]:
    from infra.adopt import clear_text
    from infra.adopt.database import connect, exists

    with connect(old.url()) as connection:
        found = {str(one.id) for one in clear_text.find(connection)}
        for table, column in (("millrace.adopted_secret", "secret_id"), ("public.secret", "id")):
            if exists(connection, table):
                query = sql.SQL("select {}::text as id from {}").format(
                    sql.Identifier(column), sql.Identifier(*table.split("."))
                )
                found |= {row["id"] for row in connection.execute(query)}
        return found


def clone(old: Old) -> Old:
    """The same old system once more, untouched."""
    name = f"{old.name}_again"
    old.cluster._execute("create database {} owner postgres template {}", name, old.origin)
    fresh = Old(old.cluster, name)
    fresh.keyring, fresh.variant, fresh.origin = old.keyring, old.variant, old.origin
    return fresh


def test_a_killed_process_leaves_what_another_finishes(old: Old, tmp_path: Any) -> None:
    holder = old.connect("postgres")
    holder.execute("begin")
    holder.execute("select from codesandbox")  # a migration needs this table to itself
    command = subprocess.Popen(
        [sys.executable, "-c", "from infra.cli import main; main()", "adopt", "--secrets-to", old_system.SECRET_ADMIN],
        env=os.environ
        | {
            "MILLRACE_MIGRATION_URL": old.url(),
            "MILLRACE_AUTH_URL": old.url("supabase_admin"),
            "MILLRACE_SECRET_KEY_FILE": str(tmp_path / "keys.json"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until_someone_waits(old)
    finally:
        command.send_signal(signal.SIGKILL)
        command.communicate()
    holder.execute("rollback")
    assert not old.survey().nothing_to_do
    old.adopt()
    assert old.survey().nothing_to_do
    assert len(sealed_or_clear(old)) == 12


def wait_until_someone_waits(old: Old) -> None:
    """Until a statement in this database waits for a table's lock."""
    admin = old.connect("supabase_admin")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        row = admin.execute(
            "select count(*) as number from pg_stat_activity where datname = current_database() "
            "and wait_event_type = 'Lock' and query ilike '%%alter table%%codesandbox%%'"
        ).fetchone()
        if row and row["number"]:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
