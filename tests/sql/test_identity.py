"""Who is asking, what time it is, and ids in the order of their making."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cluster import TestDatabase, User


def who(db: TestDatabase, claims: Any, role: str = "millrace_api") -> Any:
    connection = db.connect(role)
    if claims is not None:
        text = claims if isinstance(claims, str) else json.dumps(claims)
        connection.execute("select set_config('request.jwt.claims', %s, false)", [text])
    row = connection.execute("select millrace.user_id() as id").fetchone()
    assert row is not None
    return row["id"]


@pytest.mark.parametrize("role", ["millrace_api", "authenticated"])
def test_the_user_is_the_one_whose_sign_in_the_claims_name(
    db: TestDatabase, user: User, other_user: User, role: str
) -> None:
    assert user.id != user.auth_id
    assert who(db, user.claims, role) == user.id
    assert who(db, other_user.claims, role) == other_user.id


def test_an_old_id_is_not_a_sign_in(db: TestDatabase, user: User) -> None:
    assert who(db, {"sub": str(user.id)}) is None


def test_an_inactive_user_is_nobody(db: TestDatabase) -> None:
    assert who(db, db.make_user(is_active=False).claims) is None


def test_an_unlinked_user_is_nobody_even_with_its_email(db: TestDatabase) -> None:
    user = db.make_user(auth_id=None)
    assert who(db, {"sub": str(uuid.uuid4()), "email": user.email}) is None
    assert who(db, {"sub": None, "email": user.email}) is None


@pytest.mark.parametrize(
    "claims",
    [
        None,
        "",
        "{}",
        "null",
        "[]",
        '"text"',
        "no json",
        '{"sub": ',
        '{"sub": null}',
        '{"sub": ""}',
        '{"sub": 7}',
        '{"sub": {}}',
        '{"sub": "no uuid"}',
        '{"sub": "00000000-0000-0000-0000-000000000000"}',
        '{"sub": "\\u0000"}',
    ],
)
def test_claims_that_name_nobody_are_nobody_and_no_error(still: TestDatabase, claims: str | None) -> None:
    assert who(still, claims) is None


def test_a_sign_in_belongs_to_one_user(db: TestDatabase, user: User) -> None:
    with pytest.raises(Exception, match="ix_user_auth_id"):
        db.make_user(auth_id=user.auth_id)


def test_a_policy_asks_who_it_is_once_a_statement(db: TestDatabase, user: User) -> None:
    db.owner.execute("insert into item (owner_id, title) select %s, 't' from generate_series(1, 500)", [user.id])
    db.owner.execute("analyze item")
    me = db.connect("millrace_api", claims=user)
    (plan,) = me.execute("explain (analyze, costs off, format json) select * from item").fetchone().values()  # type: ignore[union-attr]
    initial = [node for node in plan[0]["Plan"]["Plans"] if node["Parent Relationship"] == "InitPlan"]
    assert [node["Actual Loops"] for node in initial] == [1]
    assert "user_id" not in plan[0]["Plan"].get("Filter", "")


def test_time_is_the_clocks_unless_a_test_stops_it(still: TestDatabase) -> None:
    connection = still.connect("millrace_api")
    (first,) = connection.execute("select millrace.now() as now").fetchone().values()  # type: ignore[union-attr]
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=5)
    connection.execute("set millrace.now = '2030-02-03 04:05:06+00'")
    for _ in range(2):
        row = connection.execute("select millrace.now() as now").fetchone()
        assert row == {"now": datetime(2030, 2, 3, 4, 5, 6, tzinfo=UTC)}
    connection.execute("reset millrace.now")
    (later,) = connection.execute("select millrace.now() as now").fetchone().values()  # type: ignore[union-attr]
    assert later > first


def test_time_moves_within_a_transaction(still: TestDatabase) -> None:
    with still.owner.transaction():
        (first,) = still.owner.execute("select millrace.now() as now").fetchone().values()  # type: ignore[union-attr]
        (second,) = still.owner.execute("select millrace.now() as now").fetchone().values()  # type: ignore[union-attr]
    assert second > first


def test_ids_are_version_7_and_carry_the_time_they_were_made(still: TestDatabase) -> None:
    before = time.time_ns() // 1_000_000
    rows = still.owner.execute("select millrace.uuid7() as id from generate_series(1, 1000)").fetchall()
    after = time.time_ns() // 1_000_000
    for row in rows:
        assert row["id"].version == 7
        assert row["id"].variant == uuid.RFC_4122
        assert before <= row["id"].int >> 80 <= after
    assert len({row["id"] for row in rows}) == 1000


def test_ids_are_in_the_order_of_their_making(still: TestDatabase) -> None:
    """To the microsecond: the 12 bits after the milliseconds are the rest of it."""
    rows = still.owner.execute("select millrace.uuid7() as id from generate_series(1, 5000)").fetchall()
    moments = [row["id"].int >> 64 for row in rows]
    assert moments == sorted(moments)
    ids = []
    for _ in range(50):
        (made,) = still.owner.execute("select millrace.uuid7() as id").fetchone().values()  # type: ignore[union-attr]
        ids.append(made)
    assert ids == sorted(ids)
    (in_order,) = still.owner.execute(
        "select %(ids)s::uuid[] = array(select unnest(%(ids)s::uuid[]) order by 1) as sorted", {"ids": ids}
    ).fetchone()  # type: ignore[misc]
    assert in_order == "sorted"


def test_ids_keep_their_order_under_a_stopped_clock(db: TestDatabase) -> None:
    db.owner.execute("set millrace.now = '2020-01-01'")
    rows = db.owner.execute("select millrace.uuid7() as id from generate_series(1, 100)").fetchall()
    moments = [row["id"].int >> 64 for row in rows]
    assert moments == sorted(moments)
    assert len(set(moments)) > 1
