"""Keys, indexes, words and defaults of the schema, read from the catalogue."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from psycopg.errors import CheckViolation, UniqueViolation

from tests.cluster import TestDatabase, User
from tests.sql.catalogue import Rows, Table, matching, tables

INHERITED = {
    "agentcontextcache", "agentframeworkconfig", "agenttask", "agenttasklog", "alembic_version", "browseraction",
    "browsersession", "changedetection", "codeexecution", "codesandbox", "codetoolregistry", "connector",
    "connectorversion", "contentchecksum", "domainprofile", "eventlog", "executionlog", "item", "modelcostlog",
    "ocrdocument", "ocrjob", "ocrresult", "osintalert", "osintsignal", "osintstream", "proxylog", "ragdocument",
    "ragfinetunedataset", "ragfinetunejob", "ragindex", "ragquery", "ragswitchlog", "scrapejob", "scraperesult",
    "toolusagelog", "user", "user_api_key", "user_connector_connection", "webhooksubscription", "workflow",
    "workflowexecution", "workflownode", "workflowschedule", "workflowsignal", "workflowwebhooksubscription",
}  # fmt: skip

#: Rows that are only ever read with their parent: an index on the owner would cost every insert and serve nothing.
READ_WITH_PARENT = {"executionlog", "executionstep", "webhookdelivery", "scheduleoccurrence"}

#: Tables that hold nothing of a user's: counters and keys that are swept by time, and the migrations' own.
OF_NOBODY = {
    "storage_event", "storage_event_dedupe", "tick", "webhook_tally", "webhook_wait", "alembic_version",
    "migration_checksum",
}  # fmt: skip


def test_the_forty_five_inherited_tables_are_all_there(still: TestDatabase) -> None:
    assert len(INHERITED) == 45
    assert {table.name for table in tables(still.owner, "public")} >= INHERITED


def test_the_old_migration_tools_table_is_empty(still: TestDatabase) -> None:
    assert still.owner.execute("select from alembic_version").fetchall() == []


def test_every_foreign_key_has_an_index(still: TestDatabase) -> None:
    without = still.owner.execute(
        """
        select conrelid::regclass::text as table, pg_get_constraintdef(pg_constraint.oid) as reference
        from pg_constraint
        where contype = 'f'
            and connamespace in ('public'::regnamespace, 'millrace'::regnamespace)
            and not exists (
                select
                from pg_index
                where indrelid = conrelid
                    and indisvalid
                    and (indkey::smallint[])[0:cardinality(conkey) - 1] @> conkey
                    -- `where x is not null` serves every look-up by a reference.
                    and (indpred is null or pg_get_expr(indpred, indrelid) ~ '^\\(\\w+ IS NOT NULL\\)$')
            )
        """
    ).fetchall()
    assert without == []


def test_every_table_with_an_owner_has_an_index_on_it(still: TestDatabase) -> None:
    without = still.owner.execute(
        """
        select relname
        from pg_attribute
        join pg_class on pg_class.oid = attrelid
        where relnamespace = 'public'::regnamespace
            and relkind in ('r', 'p')
            and attname = 'owner_id'
            and not exists (
                select from pg_index where indrelid = attrelid and (indkey::smallint[])[0] = attnum and indpred is null
            )
        """
    ).fetchall()
    assert {row["relname"] for row in without} == READ_WITH_PARENT


def test_every_public_table_but_two_has_an_owner(still: TestDatabase) -> None:
    without = still.owner.execute(
        """
        select relname
        from pg_class
        where relnamespace = 'public'::regnamespace
            and relkind in ('r', 'p')
            and not exists (
                select from pg_attribute where attrelid = pg_class.oid and attname = 'owner_id' and not attisdropped
            )
        """
    ).fetchall()
    assert {row["relname"] for row in without} == {"user", "alembic_version"}


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("", "ix_workflowexecution_owner"),
        ("where workflow_id = '6b3f1d0e-0000-4000-8000-000000000000'", "ix_workflowexecution_workflow"),
    ],
)
def test_a_page_of_runs_is_read_from_an_index_in_order(
    db: TestDatabase, user: User, condition: str, index: str
) -> None:
    workflow = Rows(db.owner, user).make(Table("public", "workflow"))["id"]
    db.owner.execute(
        """
        insert into workflowexecution (workflow_id, owner_id, started_at)
        select %s, %s, timestamp '2026-01-01' + n * interval '1 minute' from generate_series(1, 3000) as n
        """,
        [workflow, user.id],
    )
    db.owner.execute("analyze workflowexecution")
    me = db.connect("millrace_api", claims=user)
    plan = me.execute(
        f"explain select * from workflowexecution {condition} order by started_at desc limit 20"  # type: ignore[arg-type]
    ).fetchall()
    text = "\n".join(row["QUERY PLAN"] for row in plan)
    if index == "ix_workflowexecution_workflow":
        assert index in text
    assert "Sort" not in text, text
    assert "Seq Scan" not in text, text


def test_a_change_of_a_runs_status_touches_no_index(still: TestDatabase) -> None:
    indexed = still.owner.execute(
        """
        select distinct attname
        from pg_index
        join pg_attribute on attrelid = indrelid and attnum = any(indkey)
        where indrelid = 'public.workflowexecution'::regclass
        """
    ).fetchall()
    changing = {"status", "completed_at", "current_node_id", "execution_state", "output", "error", "epoch"}
    assert not changing & {row["attname"] for row in indexed}


UNIQUE_INSIDE_A_TENANT = {
    "connector": "insert into connector (owner_id, slug, name) values (%s, 'same', 'Same')",
    "codetoolregistry": (
        "insert into codetoolregistry (owner_id, tool_id, name, version, code, runtime) "
        "values (%s, 'same', 'Same', '1.0.0', '', 'wasm')"
    ),
    "domainprofile": "insert into domainprofile (owner_id, domain) values (%s, 'same.example')",
    "agentframeworkconfig": "insert into agentframeworkconfig (owner_id, framework) values (%s, 'same')",
    "secret": (
        "insert into secret (owner_id, name, key_id, nonce, ciphertext) values (%s, 'same', 'k', '\\x00', '\\x00')"
    ),
}


@pytest.mark.parametrize("table", UNIQUE_INSIDE_A_TENANT)
def test_keys_are_unique_inside_a_tenant_and_free_across(
    db: TestDatabase, user: User, other_user: User, table: str
) -> None:
    insert = UNIQUE_INSIDE_A_TENANT[table]
    db.owner.execute(insert, [user.id])  # type: ignore[arg-type]
    db.owner.execute(insert, [other_user.id])  # type: ignore[arg-type]
    with pytest.raises(UniqueViolation):
        db.owner.execute(insert, [user.id])  # type: ignore[arg-type]


@pytest.mark.parametrize("table", ["connector", "domainprofile", "agentframeworkconfig"])
def test_the_platforms_rows_are_unique_among_themselves(db: TestDatabase, user: User, table: str) -> None:
    insert = UNIQUE_INSIDE_A_TENANT[table]
    db.owner.execute(insert, [None])  # type: ignore[arg-type]
    db.owner.execute(insert, [user.id])  # type: ignore[arg-type]
    with pytest.raises(UniqueViolation):
        db.owner.execute(insert, [None])  # type: ignore[arg-type]


def test_a_tool_may_have_a_second_version(db: TestDatabase, user: User) -> None:
    for version in ("1.0.0", "1.1.0"):
        db.owner.execute(
            "insert into codetoolregistry (owner_id, tool_id, name, version, code, runtime) "
            "values (%s, 'tool', 'Tool', %s, '', 'wasm')",
            [user.id, version],
        )


def test_a_platform_connector_has_no_owner(db: TestDatabase, user: User) -> None:
    with pytest.raises(CheckViolation, match="connector_platform_unowned"):
        db.owner.execute(
            "insert into connector (slug, name, owner_id, is_platform) values ('s', 'n', %s, true)", [user.id]
        )


def test_an_active_webhook_path_is_one_workflows(db: TestDatabase, user: User, other_user: User) -> None:
    mine, theirs = (Rows(db.owner, who).make(Table("public", "workflow"))["id"] for who in (user, other_user))
    insert = "insert into workflowwebhooksubscription (workflow_id, webhook_path, is_active) values (%s, '/same', %s)"
    db.owner.execute(insert, [mine, False])
    db.owner.execute(insert, [mine, True])
    with pytest.raises(UniqueViolation):
        db.owner.execute(insert, [theirs, True])
    db.owner.execute(insert, [theirs, False])


def test_a_signed_subscription_needs_its_secret(db: TestDatabase, user: User) -> None:
    workflow = Rows(db.owner, user).make(Table("public", "workflow"))["id"]
    with pytest.raises(CheckViolation, match="signed"):
        db.owner.execute(
            "insert into workflowwebhooksubscription (workflow_id, webhook_path, scheme) values (%s, '/p', 'github')",
            [workflow],
        )


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("update workflowexecution set status = %s", "lost"),
        ("update ocrjob set status = %s", "done"),
        ("update connector set status = %s", "gold"),
        ("update executionlog set level = %s", "loud"),
    ],
)
def test_a_status_is_a_known_word(db: TestDatabase, user: User, statement: str, word: str) -> None:
    rows = Rows(db.owner, user)
    for table in tables(db.owner, "public"):
        rows.make(table)
    with pytest.raises(CheckViolation):
        db.owner.execute(statement, [word])  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["running", "completed", "failed", "paused", "waiting_for_signal"])
def test_the_old_words_for_a_runs_status_are_still_words(db: TestDatabase, user: User, status: str) -> None:
    key = Rows(db.owner, user).make(Table("public", "workflowexecution"))
    db.owner.execute("update workflowexecution set status = %s where id = %s", [status, key["id"]])


def test_rows_need_only_what_has_no_sensible_default(db: TestDatabase, user: User) -> None:
    db.owner.execute("set millrace.now = '2026-01-01 10:00+02'")
    workflow = db.owner.execute(
        "insert into workflow (owner_id, name) values (%s, 'w') returning *", [user.id]
    ).fetchone()
    assert workflow is not None
    assert (workflow["is_active"], workflow["version"], workflow["graph_config"]) == (True, 1, {})
    assert workflow["created_at"].replace(tzinfo=UTC) == datetime(2026, 1, 1, 8, tzinfo=UTC)
    runs = [
        db.owner.execute(
            "insert into workflowexecution (workflow_id) values (%s) returning *", [workflow["id"]]
        ).fetchone()
        for _ in range(2)
    ]
    assert all(run is not None and run["id"].version == 7 for run in runs)
    assert len({run["execution_id"] for run in runs if run}) == 2


def test_when_a_user_goes_every_row_of_theirs_goes_and_no_other(db: TestDatabase, user: User, other_user: User) -> None:
    mine, theirs = Rows(db.owner, user), Rows(db.owner, other_user)
    owned = [table for table in tables(db.owner) if table.name not in OF_NOBODY]
    for table in owned:
        mine.make(table)
        theirs.make(table)
    db.owner.execute('delete from "user" where id = %s', [user.id])
    for table in owned:
        for rows, expected in ((mine, 0), (theirs, 1)):
            found = db.owner.execute(
                b"select from " + table.identifier.as_bytes() + b" where " + matching(rows.make(table)).as_bytes(),
                rows.make(table),
            ).fetchall()
            assert len(found) == expected, f"{table}: {len(found)} rows of {rows.user.email}"


def test_every_id_has_a_default(still: TestDatabase) -> None:
    without = still.owner.execute(
        """
        select attrelid::regclass::text as table
        from pg_attribute
        join pg_class on pg_class.oid = attrelid
        where relnamespace = 'public'::regnamespace
            and relkind = 'r'
            and attname = 'id'
            and not atthasdef
        """
    ).fetchall()
    assert without == []


def test_a_secret_in_use_is_not_deleted(db: TestDatabase, user: User) -> None:
    rows = Rows(db.owner, user)
    workflow, secret = (rows.make(Table("public", name))["id"] for name in ("workflow", "secret"))
    db.owner.execute(
        "insert into workflowwebhooksubscription (workflow_id, webhook_path, scheme, secret_id, owner_id) "
        "values (%s, %s, 'github', %s, %s)",
        [workflow, f"/{uuid.uuid4()}", secret, user.id],
    )
    with pytest.raises(Exception, match="workflowwebhooksubscription_secret_id_fkey"):
        db.owner.execute("delete from secret where id = %s", [secret])
    db.owner.execute('delete from "user" where id = %s', [user.id])
    assert db.owner.execute("select from secret").fetchall() == []
