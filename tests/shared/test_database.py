"""The database's promise: one round trip, one Sync, claims that end with the call, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.postgres import EmbeddedPostgres
from shared import errors
from shared.database import Database, database
from shared.settings import SettingsError
from tests.cluster import TestDatabase, User
from tests.pooler import Pooler

CLAIMS = "select current_setting('request.jwt.claims', true) as claims"


def messages(path: Path) -> list[str]:
    """The frontend's messages in a libpq trace, in order: ``<time> F <length> <type> ...``."""
    found = []
    for line in path.read_text().splitlines():
        fields = line.split("\t")
        if fields[1] == "F":
            found.append(fields[3])
    return found


@pytest.fixture
def frontend(tmp_path: Path) -> Any:
    """What was sent to the server during a call, by message type."""

    def run(database: Database, call: Any) -> list[str]:
        database.call("select 1")  # connected before we look
        path = tmp_path / "trace"
        with path.open("w") as file:
            database.trace(file.fileno())
            call()
            database.trace(None)
        return messages(path)

    return run


# --- one round trip ---------------------------------------------------------------------------------------------------


def test_a_call_with_claims_is_one_pipeline_with_exactly_one_sync(db: TestDatabase, user: User, frontend: Any) -> None:
    sent = frontend(db.api, lambda: db.as_user(user).call("select millrace.user_id() as id, %s as n", [1]))
    assert sent == ["Parse", "Bind", "Describe", "Execute"] * 2 + ["Sync"]


def test_a_call_without_claims_has_exactly_one_sync(db: TestDatabase, frontend: Any) -> None:
    assert frontend(db.api, lambda: db.api.call("select %(a)s as a", {"a": "b"})) == [
        "Parse",
        "Bind",
        "Describe",
        "Execute",
        "Sync",
    ]


def test_a_failing_call_has_exactly_one_sync_too(db: TestDatabase, user: User, frontend: Any) -> None:
    def call() -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            db.as_user(user).call("select 1 / 0")

    sent = frontend(db.api, call)
    assert sent.count("Sync") == 1
    assert "Query" not in sent  # no BEGIN, no ROLLBACK


def test_the_statement_and_its_claims_are_one_transaction(db: TestDatabase, user: User) -> None:
    db.owner.execute("create table public.note (body text, owner_id uuid)")
    db.owner.execute("grant all on public.note to millrace_api")
    insert = "insert into public.note values ('kept', millrace.user_id()) returning owner_id"
    assert db.as_user(user).call(insert) == [{"owner_id": user.id}]
    with pytest.raises(psycopg.errors.DivisionByZero):
        db.as_user(user).call(f"with lost as ({insert}) select 1 / (count(*) - 1) from lost")
    assert db.owner.execute("select body from public.note").fetchall() == [{"body": "kept"}]


# --- claims -----------------------------------------------------------------------------------------------------------


def test_claims_are_gone_after_the_call(db: TestDatabase, user: User) -> None:
    assert db.as_user(user).call("select millrace.user_id() as id") == [{"id": user.id}]
    assert db.api.call(CLAIMS) == [{"claims": ""}]
    assert db.api.call("select millrace.user_id() as id") == [{"id": None}]


@pytest.mark.parametrize(
    "statement",
    ["select 1 / 0", "select * from no_such_table", "this is no sql", "select 'x'::uuid", "select pg_sleep(30)"],
)
def test_claims_are_gone_after_a_call_that_failed(db: TestDatabase, user: User, statement: str) -> None:
    with pytest.raises((psycopg.Error, errors.Unavailable)):
        db.api.call_as(user.claims, statement, deadline=0.2)
    assert db.api.call(CLAIMS)[0]["claims"] in ("", None)


def test_threads_never_see_each_others_claims(db: TestDatabase) -> None:
    api = db.api

    def ask(number: int) -> None:
        claims = {"sub": str(number)}
        if number % 7 == 0:
            with pytest.raises(psycopg.errors.DivisionByZero):
                api.call_as(claims, "select 1 / 0")
        elif number % 5 == 0:
            assert api.call(CLAIMS)[0]["claims"] in ("", None)
        else:
            rows = api.call_as(
                claims, "select current_setting('request.jwt.claims')::json ->> 'sub' as sub, %s as n", [number]
            )
            assert rows == [{"sub": str(number), "n": number}]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(1, 800)))
    pids = {row["pid"] for row in api.call("select pg_backend_pid() as pid")}
    assert len(pids) == 1


def test_an_interrupted_call_leaves_nothing_for_the_next_one(db: TestDatabase, user: User) -> None:
    """A signal's exception lands between send and Sync: the connection is dropped, not read from out of step."""
    api = db.api
    api.call("select 1")

    class StopError(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise StopError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(StopError):
            api.call_as(user.claims, "select 'stale' as answer, pg_sleep(0.5)")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert api.call("select 'fresh' as answer") == [{"answer": "fresh"}]
    assert api.call(CLAIMS)[0]["claims"] in ("", None)


def test_claims_hold_and_end_behind_a_pooler_that_hands_connections_on_at_once(tmp_path: Path) -> None:
    """Twelve clients on two server connections: each sees its own claims, and a call without claims sees none."""
    with (
        EmbeddedPostgres(tmp_path / "pg", durable=False) as server,
        tempfile.TemporaryDirectory(prefix="mr-") as directory,
        Pooler(Path(directory), server.runtime_dir, "supabase_admin", "millrace", size=2) as pooler,
    ):

        def work(number: int) -> None:
            database = Database(pooler.url)
            for turn in range(40):
                claims = {"sub": f"{number}-{turn}"}
                asked = "select current_setting('request.jwt.claims')::json ->> 'sub' as sub, %(turn)s as turn"
                assert database.call_as(claims, asked, {"turn": turn}) == [{"sub": f"{number}-{turn}", "turn": turn}]
                assert database.call(CLAIMS)[0]["claims"] in ("", None)
                if turn % 10 == 0:
                    with pytest.raises(psycopg.errors.DivisionByZero):
                        database.call_as(claims, "select 1 / 0")
            database.close()

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(work, range(12)))
        assert pooler.handed_on > 100


# --- broken and slow --------------------------------------------------------------------------------------------------


def backend(database: Database) -> int:
    pid = database.call("select pg_backend_pid() as pid")[0]["pid"]
    assert isinstance(pid, int)
    return pid


def terminate(db: TestDatabase, pid: int) -> None:
    with psycopg.connect(db.url("supabase_admin"), autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s, 5000)", [pid])


def test_a_reply_that_misses_its_deadline_closes_the_connection(db: TestDatabase) -> None:
    first = backend(db.api)
    started = time.monotonic()
    with pytest.raises(errors.Unavailable) as refused:
        db.api.call("select pg_sleep(20)", deadline=0.2)
    assert time.monotonic() - started < 2
    assert refused.value.retry_after
    assert backend(db.api) != first


def test_a_statement_given_up_stops_queueing_for_its_lock(db: TestDatabase) -> None:
    db.owner.execute("create table public.counter as select 0 as n")
    db.owner.execute("grant all on public.counter to millrace_api")
    holder = db.connect("postgres")
    with holder.transaction():
        holder.execute("update public.counter set n = 1")
        with pytest.raises(errors.Unavailable):
            db.api.call("update public.counter set n = n + 10 returning n", deadline=0.2)
        waiting = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and datname = %s"
        watcher = db.connect("supabase_admin")
        until = time.monotonic() + 5
        while watcher.execute(waiting, [db.name]).fetchone() != {"n": 0}:
            assert time.monotonic() < until
    assert db.owner.execute("select n from public.counter").fetchone() == {"n": 1}


def test_a_connection_that_was_closed_while_idle_is_opened_anew(db: TestDatabase) -> None:
    first = backend(db.api)
    terminate(db, first)
    assert backend(db.api) != first


def test_a_call_whose_reply_was_lost_is_repeated_once(db: TestDatabase) -> None:
    """The first attempt is seen blocked on a lock, its backend is killed; the second goes through."""
    db.owner.execute("create table public.counter as select 0 as n")
    db.owner.execute("grant all on public.counter to millrace_api")
    api, first = db.api, backend(db.api)
    holder = db.connect("postgres")
    with ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            holder.execute("lock table public.counter")
            answer = pool.submit(api.call, "update public.counter set n = n + 1 returning n, pg_backend_pid() as pid")
            until = time.monotonic() + 5
            while not db.owner.execute("select 1 from pg_locks where pid = %s and not granted", [first]).fetchone():
                assert time.monotonic() < until
            terminate(db, first)
        (row,) = answer.result(10)
    assert row["n"] == 1
    assert row["pid"] != first


def test_what_may_not_be_repeated_is_not(db: TestDatabase) -> None:
    first = backend(db.api)
    terminate(db, first)
    with pytest.raises(errors.Unavailable):
        db.api.call("select 1", repeat=False)
    assert db.api.call("select 1 as n", repeat=False) == [{"n": 1}]


def test_a_database_that_is_down_is_unavailable_and_found_again(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", durable=False)
    with server:
        database = Database(server.url("supabase_admin", "postgres"))
        assert database.call("select 1 as n") == [{"n": 1}]
        server.stop()
        with pytest.raises(errors.Unavailable) as refused:
            database.call("select 1")
        assert refused.value.retry_after == 1
        server.start()
        assert database.call("select 2 as n") == [{"n": 2}]
        database.close()


def test_a_server_that_accepts_and_says_nothing_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        database = Database(f"postgresql://someone@127.0.0.1:{mute.getsockname()[1]}/db", connect_timeout=1, deadline=1)
        with pytest.raises(errors.Unavailable):
            database.call("select 1")


def test_waiting_for_another_threads_call_counts_against_the_deadline(db: TestDatabase) -> None:
    api = db.api
    api.call("select 1")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(api.call, "select pg_sleep(1)")
        until = time.monotonic() + 5
        while (
            not db.connect("supabase_admin")
            .execute("select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = %s", [db.name])
            .fetchone()
        ):
            assert time.monotonic() < until
        with pytest.raises(errors.Unavailable, match="busy"):
            api.call("select 1", deadline=0.05)
        slow.result(10)


# --- what SQL says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(errors.BY_SQLSTATE))
def test_our_sqlstates_are_our_errors(db: TestDatabase, state: str) -> None:
    db.owner.execute(
        f"create function public.refuse() returns void language plpgsql as $$ begin "
        f"raise exception 'The detail.' using errcode = '{state}', hint = 'The remedy.', "
        """detail = '{"errors": [{"path": "a.b", "message": "bad"}], "retry_after": 7}'; end $$"""
    )
    db.owner.execute("grant execute on function public.refuse() to millrace_api")
    with pytest.raises(errors.MillraceError) as refused:
        db.api.call("select public.refuse()")
    assert type(refused.value) is errors.BY_SQLSTATE[state]
    assert refused.value.detail == "The detail."
    assert refused.value.remedy == "The remedy."
    assert refused.value.errors == [{"path": "a.b", "message": "bad"}]
    assert refused.value.retry_after == 7
    assert db.api.call("select 1 as n") == [{"n": 1}]


@pytest.mark.parametrize(
    ("detail", "found"), [('[{"path": "", "message": "x"}]', [{"path": "", "message": "x"}]), ("plain words", [])]
)
def test_the_detail_may_be_a_list_of_mistakes_or_plain_words(db: TestDatabase, detail: str, found: list[Any]) -> None:
    db.owner.execute(
        "create function public.refuse(word text) returns void language plpgsql as $$ begin "
        "raise exception 'No.' using errcode = 'MR422', detail = word; end $$"
    )
    db.owner.execute("grant execute on function public.refuse(text) to millrace_api")
    with pytest.raises(errors.Invalid) as refused:
        db.api.call("select public.refuse(%s)", [detail])
    assert refused.value.errors == found
    assert refused.value.remedy is None


def test_a_unique_violation_is_raised_as_it_is(db: TestDatabase, user: User) -> None:
    row = {"id": user.id, "email": user.email}
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.database("postgres").call(
            """insert into public."user" (id, email, is_active, is_superuser, hashed_password)
            values (%(id)s, %(email)s, true, false, '')""",
            row,
        )


@pytest.mark.parametrize(
    "value", ["a\0b", {"a": "b\0"}, ["\0"], {"\0": 1}, "\ud800", {"a": "\ud800"}, {"a": object()}, [float("nan")]]
)
def test_text_that_postgres_cannot_hold_is_invalid(db: TestDatabase, value: Any) -> None:
    cast = "text" if isinstance(value, str) else "jsonb"
    with pytest.raises(errors.Invalid):
        db.api.call(f"select %s::{cast} as value", [value])
    assert db.api.call("select 1 as n") == [{"n": 1}]


def test_a_passing_state_of_the_server_is_unavailable(db: TestDatabase) -> None:
    with pytest.raises(errors.Unavailable, match="too long"):
        db.api.call("select pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")


# --- values -----------------------------------------------------------------------------------------------------------

plain_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | plain_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain_text, inner, max_size=4),
    max_leaves=12,
)


@given(value=st.lists(documents, max_size=3) | st.dictionaries(plain_text, documents, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_json_value_comes_back_as_it_went(db: TestDatabase, value: Any) -> None:
    assert db.api.call("select %(value)s as value", {"value": value}) == [{"value": value}]


def test_json_may_be_deep_but_not_bottomless(db: TestDatabase) -> None:
    def nest(levels: int) -> list[Any]:
        value: list[Any] = []
        for _ in range(levels):
            value = [value]
        return value

    assert db.api.call("select %s as value", [nest(500)])[0]["value"] == nest(500)
    with pytest.raises(errors.Invalid):
        db.api.call("select %s as value", [nest(100_000)])


def test_a_list_is_json_unless_its_placeholder_is_cast_to_an_array(db: TestDatabase, user: User) -> None:
    (row,) = db.api.call(
        "select %(ids)s::uuid[] as ids, %(ids)s as json, %(none)s::text[] as none, %(words)s::text[] as words, "
        "%(numbers)s::int[] as numbers, %(empty)s::uuid[] as empty",
        {
            "ids": [str(user.id)],
            "none": None,
            "words": ["a", None, 'b",\\ {}'],
            "numbers": [1, 70_000],
            "empty": [],
        },
    )
    assert row == {
        "ids": [user.id],
        "json": [str(user.id)],
        "none": None,
        "words": ["a", None, 'b",\\ {}'],
        "numbers": [1, 70_000],
        "empty": [],
    }


def test_whole_json_numbers_are_ints_and_others_floats(db: TestDatabase) -> None:
    (row,) = db.api.call("""select '{"a": 1, "b": 1.0, "c": 12345678901234567890123}'::jsonb as v, '[2]'::json as w""")
    assert [(type(number), number) for number in row["v"].values()] == [
        (int, 1),
        (float, 1.0),
        (int, 12345678901234567890123),
    ]
    assert row["w"] == [2]


def test_placeholders_are_psycopgs(db: TestDatabase) -> None:
    call = db.api.call
    assert call("select 'a%%' || %s as a, %s as b", ["x", 2]) == [{"a": "a%x", "b": 2}]
    assert call("select %(x)s::int + %(x)s::int as sum, 7 %% 4 as rest", {"x": 3}) == [{"sum": 6, "rest": 3}]
    assert call("select '%%' as sign") == [{"sign": "%"}]
    for statement, params in [
        ("select 'a%'", None),
        ("select %", None),
        ("select %s, %(x)s", ["a"]),
        ("select %(x)s", {"y": 1}),
        ("select %(x)s", None),
        ("select %s", []),
        ("select %d", [1]),
    ]:
        with pytest.raises(psycopg.ProgrammingError):
            call(statement, params)
    assert call("select 1 as n") == [{"n": 1}]


def test_two_statements_in_one_call_are_refused(db: TestDatabase) -> None:
    with pytest.raises(psycopg.errors.SyntaxError):
        db.api.call("select 1; select 2")


def test_a_statement_without_rows_gives_none(db: TestDatabase) -> None:
    assert db.api.call("select 1 where false") == []
    assert db.database("postgres").call("create table public.t (a int)") == []


# --- the process's own ------------------------------------------------------------------------------------------------


def test_the_process_has_one_database_from_its_settings(db: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", db.url("millrace_api"))
    assert database() is database()
    assert database().call("select current_user::text as who") == [{"who": "millrace_api"}]


def test_without_an_address_the_variable_is_named() -> None:
    assert "MILLRACE_DATABASE_URL" not in os.environ
    with pytest.raises(SettingsError, match="MILLRACE_DATABASE_URL: is not set"):
        database()


def test_many_threads_share_the_one_connection(db: TestDatabase) -> None:
    api, done = db.api, threading.Barrier(4)

    def work() -> set[int]:
        done.wait(10)
        return {backend(api) for _ in range(50)}

    with ThreadPoolExecutor(4) as pool:
        pids = set().union(*(future.result() for future in [pool.submit(work) for _ in range(4)]))
    assert len(pids) == 1
