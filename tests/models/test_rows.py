"""Every table in ``public`` has one row model, and the two agree: names, order, types, nullability."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import TypeAdapter

from infra.review.rows import PYTHON, fields, row_models
from shared.models.account import SecretRow, UserRow
from shared.models.base import Row, UtcDatetime
from shared.models.execution import WorkflowExecutionRow
from shared.models.item import ItemRow
from tests.cluster import TestDatabase, User

COLUMNS = """
    select
        class.relname as table,
        attribute.attname as name,
        format_type(attribute.atttypid, null) as type,
        not attribute.attnotnull as nullable
    from pg_attribute as attribute
    join pg_class as class on class.oid = attribute.attrelid
    where class.relnamespace = 'public'::regnamespace
        and class.relkind in ('r', 'p')
        and attribute.attnum > 0
        and not attribute.attisdropped
    order by class.relname, attribute.attnum
"""


def test_every_table_has_a_row_model_and_every_row_model_a_table(db: TestDatabase) -> None:
    tables = {row["table"] for row in db.owner.execute(COLUMNS)}
    found = row_models()
    models = [model.table for model in Row.__subclasses__()]
    assert len(models) == len(set(models)), "a table has two row models"
    assert tables == {model.table for model in found.values()}
    assert len(tables) >= 45 + 7


def test_every_row_model_matches_its_table_both_ways(db: TestDatabase) -> None:
    columns: dict[str, list[tuple[str, Any, bool]]] = {}
    for row in db.owner.execute(COLUMNS):
        columns.setdefault(row["table"], []).append((row["name"], PYTHON[row["type"]], row["nullable"]))
    models = {model.table: list(fields(model)) for model in row_models().values()}
    assert models == columns


def test_rows_read_from_the_database_become_models_with_aware_utc_times(db: TestDatabase, user: User) -> None:
    db.owner.execute("set timezone = 'Asia/Tokyo'")
    workflow = db.owner.execute(
        "insert into workflow (owner_id, name, created_at) values (%s, 'w', '2026-01-01 12:00') returning id", [user.id]
    ).fetchone()
    assert workflow is not None
    run = db.owner.execute(
        """
        insert into workflowexecution (workflow_id, owner_id, started_at, deadline_at)
        values (%s, %s, '2026-01-01 12:00', '2026-01-01 12:00+00')
        returning *
        """,
        [workflow["id"], user.id],
    ).fetchone()
    model = WorkflowExecutionRow.model_validate(run)
    assert model.started_at == model.deadline_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert model.deadline_at is not None
    assert (model.started_at.tzinfo, model.deadline_at.tzinfo) == (UTC, UTC)
    assert model.owner_id == user.id
    assert model.status == "running"


@pytest.mark.parametrize(
    "given",
    [
        datetime(2026, 3, 1, 10, 30),  # noqa: DTZ001 - the columns that we inherit have no zone
        datetime(2026, 3, 1, 10, 30, tzinfo=UTC),
        datetime(2026, 3, 1, 19, 30, tzinfo=timezone(timedelta(hours=9))),
        "2026-03-01T10:30:00",
        "2026-03-01T12:30:00+02:00",
    ],
)
def test_a_time_is_always_aware_utc(given: object) -> None:
    read = TypeAdapter(UtcDatetime).validate_python(given)
    assert read == datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
    assert read.tzinfo is UTC


def test_a_row_from_a_newer_schema_can_be_read(db: TestDatabase, user: User) -> None:
    db.owner.execute("alter table item add column colour text")
    row = db.owner.execute("insert into item (owner_id, title) values (%s, 't') returning *", [user.id]).fetchone()
    assert ItemRow.model_validate(row).title == "t"


def test_what_only_the_engine_may_see_is_neither_shown_nor_serialised(db: TestDatabase, user: User) -> None:
    db.owner.execute("""update "user" set hashed_password = 'canary'""")
    held = UserRow.model_validate(db.owner.execute('select * from "user"').fetchone())
    sealed = db.owner.execute(
        "insert into secret (owner_id, name, key_id, nonce, ciphertext) values (%s, 'n', 'k', 'canary', 'canary') "
        "returning *",
        [user.id],
    ).fetchone()
    for model in (held, SecretRow.model_validate(sealed)):
        assert "canary" not in repr(model) + str(model) + str(model.model_dump()) + model.model_dump_json()
