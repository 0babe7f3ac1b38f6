"""Leases: one worker at a time, a lost one changes nothing, a lost reply is answered again."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

import shared.database
from shared.database import Database
from shared.workflow.run import Bounds
from tests.workflow.engine.harness import ACTS, CALLS, Engine, chain, probe


class Dead(BaseException):
    """A worker that was killed."""


def _claim(engine: Engine, run: str, lease: float = 60) -> list[dict[str, Any]]:
    return engine.database.call(
        "select * from millrace.claim_runs(%(ids)s::uuid[], %(lease)s, '{}')", {"ids": [run], "lease": lease}
    )


def _advance(engine: Engine, run: str, **item: Any) -> dict[str, Any]:
    full = {"run": run, "lease": 60, "news": 0, "frontier": {}, "then": "go_on", **item}
    answers = engine.database.call("select millrace.advance(%(items)s) as a", {"items": [full]})[0]["a"]
    return answers[run]  # type: ignore[no-any-return]


def _step(seq: int, node_id: str = "a") -> dict[str, Any]:
    return {
        "node_id": node_id, "iteration": 0, "attempt": 1, "seq": seq, "node_type": "probe", "status": "completed",
        "output": seq, "started_at": "2026-01-01T00:00:00+00:00", "duration_ms": 1,
    }  # fmt: skip


def test_a_leased_run_is_claimed_by_nobody_else(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    assert len(_claim(engine, run)) == 1
    assert _claim(engine, run) == []


def test_two_claims_at_once_share_nothing(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    first, second = engine.db.connect("postgres"), engine.db.connect("postgres")
    claim = "select execution_id from millrace.claim_runs(%s::uuid[], 60, '{}')"
    with first.transaction():
        assert len(first.execute(claim, [[run]]).fetchall()) == 1
        assert second.execute(claim, [[run]]).fetchall() == []  # passed over, not waited for


def test_a_worker_that_lost_its_lease_changes_nothing(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    _claim(engine, run)
    engine.skip(61)
    assert _claim(engine, run)[0]["epoch"] == 2
    assert _advance(engine, run, epoch=1, seq=1, steps=[_step(1)]) == {"outcome": "lost"}
    assert _advance(engine, run, epoch=1, seq=1, then="finish", end={"status": "completed"}) == {"outcome": "lost"}
    assert engine.steps(run) == []
    assert engine.execution(run)["status"] == "running"


@pytest.mark.parametrize(
    ("item", "outcome"),
    [
        ({}, "advanced"),
        ({"then": "release", "due": None, "status": "waiting"}, "released"),
        ({"then": "finish", "end": {"status": "completed", "epoch": 1}}, "finished"),
    ],
)
def test_a_checkpoint_repeated_after_a_lost_reply_is_answered_the_same(
    engine: Engine, item: dict[str, Any], outcome: str
) -> None:
    run = engine.start(chain(probe("a")))
    _claim(engine, run)
    first = _advance(engine, run, epoch=1, seq=1, steps=[_step(1)], **item)
    assert first == {"outcome": outcome}
    assert _advance(engine, run, epoch=1, seq=1, steps=[_step(1)], **item) == first
    assert len(engine.steps(run)) == 1


def test_a_release_that_has_not_seen_the_news_is_refused_and_told(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    _claim(engine, run)
    engine.call("signal_run", run, "go", {"n": 1})
    answer = _advance(engine, run, epoch=1, seq=1, then="release", due=None, status="waiting")
    assert answer["outcome"] == "advanced"
    assert [signal["data"] for signal in answer["inbox"]["signals"]] == [{"n": 1}]
    assert _advance(engine, run, epoch=1, seq=1, then="release", due=None, status="waiting") == answer


def test_a_signal_waits_for_a_release_under_way_and_then_wakes_the_run(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    _claim(engine, run)
    releasing, signalling = engine.db.connect("postgres"), engine.db.connect("postgres")
    item = {"run": run, "epoch": 1, "seq": 1, "lease": 60, "news": 0, "frontier": {}, "then": "release", "due": None}
    done = threading.Event()

    def signal() -> None:
        signalling.execute("select millrace.signal_run(%s, 'go', '{}')", [run])
        done.set()

    with releasing.transaction():
        from psycopg.types.json import Jsonb

        releasing.execute("select millrace.advance(%s)", [Jsonb([{**item, "status": "waiting"}])])
        thread = threading.Thread(target=signal)
        thread.start()
        engine.db.wait_until_blocked(signalling)
        assert not done.is_set()
    thread.join(10)
    hot = engine.hot(run)
    assert hot is not None
    assert hot["state"] == "ready"
    assert len(_claim(engine, run)) == 1


def test_a_killed_workers_run_goes_on_from_its_last_checkpoint(engine: Engine) -> None:
    deaths = [True]

    def die_once(context: Any) -> Any:
        if deaths and deaths.pop():
            raise Dead
        return "alive"

    ACTS["die"] = die_once
    run = engine.start(chain(probe("a"), probe("b", "die"), probe("c")))
    with pytest.raises(Dead):
        engine.drive(run)
    assert engine.drive(run) == 0  # its lease still stands
    engine.skip(61)
    engine.drive(run)
    assert engine.execution(run)["status"] == "completed"
    assert [key.split("/")[1] for key, _ in CALLS] == ["a", "b", "b", "c"]


def test_a_run_that_loses_five_workers_in_a_row_fails(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    for _ in range(5):
        assert len(_claim(engine, run)) == 1
        engine.skip(61)
    assert _claim(engine, run) == []
    assert engine.execution(run)["status"] == "failed"
    assert engine.execution(run)["error"]["kind"] == "worker_lost"


def test_a_run_that_lost_a_worker_is_driven_alone(engine: Engine) -> None:
    """One run that kills its workers must not make its batch look as if each did."""
    killer = engine.start(chain(probe("a", "die")))
    innocent = [engine.start(chain(probe("a"), probe("b"))) for _ in range(3)]

    def die(_context: Any) -> Any:
        raise Dead

    ACTS["die"] = die
    for _ in range(6):
        with contextlib.suppress(Dead):
            engine.drive(*innocent, killer)
        engine.skip(61)
    assert {engine.execution(run)["status"] for run in innocent} == {"completed"}
    assert engine.execution(killer)["error"]["kind"] == "worker_lost"


def test_a_checkpoint_forgives_lost_workers(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    for epoch in range(1, 8):
        assert len(_claim(engine, run)) == 1
        assert _advance(engine, run, epoch=epoch, seq=1) == {"outcome": "advanced"}
        engine.skip(61)


def test_an_expired_lease_is_found_by_the_tick(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    _claim(engine, run)
    due = "select execution_id::text as id from millrace.due_runs(10, 5, 60)"
    assert engine.db.owner.execute(due).fetchall() == []
    engine.skip(61)
    assert engine.db.owner.execute(due).fetchall() == [{"id": run}]


def test_a_bell_under_way_is_not_doubled_by_the_tick(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    due = "select execution_id::text as id from millrace.due_runs(10, 5, 60)"
    assert engine.db.owner.execute(due).fetchall() == []
    engine.skip(6)
    assert engine.db.owner.execute(due).fetchall() == [{"id": run}]


def test_what_does_not_fit_this_invocation_goes_on_in_a_new_one(engine: Engine) -> None:
    engine.bounds = Bounds(step_seconds=60)
    begun = []

    def slow(context: Any) -> Any:
        begun.append(context.key)
        engine.skip(50)
        return "ok"

    ACTS["slow"] = slow
    run = engine.start(chain(probe("a", "slow"), probe("b", "slow")))
    engine.drive(run, seconds=100)
    assert len(begun) == 1  # 50 s are left, and b may take 60
    assert engine.execution(run)["status"] == "running"
    assert engine.bell.rung == [("workflow-run", run, 0.0)]
    engine.drive(run, seconds=100)
    assert engine.execution(run)["status"] == "completed"


def test_a_long_step_renews_its_lease(engine: Engine) -> None:
    engine.lease_seconds = 1.0
    gate = threading.Event()
    ACTS["slow"] = lambda _context: gate.wait(20)
    run = engine.start(chain(probe("a", "slow")))
    driving = threading.Thread(target=engine.drive, args=[run])
    driving.start()
    watcher = Database(engine.db.url("postgres"))
    seqs: set[int] = set()
    while len(seqs) < 3:  # two renewals beyond the claim
        seqs.update(row["seq"] for row in watcher.call("select seq from millrace.run"))
    watcher.close()
    assert engine.drive(run) == 0
    gate.set()
    driving.join(10)
    assert engine.execution(run)["status"] == "completed"
    assert len(CALLS) == 1


def test_checkpoints_are_heap_only_updates(engine: Engine) -> None:
    run = engine.start(chain(probe("a")))
    _claim(engine, run)
    for seq in range(1, 21):
        _advance(engine, run, epoch=1, seq=seq, steps=[_step(seq, f"n{seq}")])
    engine.database.close()  # its counts are flushed as it leaves
    counts = engine.db.connect("postgres").execute(
        "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'run' and schemaname = 'millrace'"
    )
    row = counts.fetchone()
    assert row is not None
    assert row["n_tup_hot_upd"] >= 20


def test_a_claim_repeated_after_a_lost_reply_gives_the_same_runs_and_no_more(engine: Engine) -> None:
    suspect, *runs = [engine.start(chain(probe("a"))) for _ in range(3)]
    _claim(engine, suspect)
    engine.skip(61)
    statement = "select * from millrace.claim_runs(%(ids)s::uuid[], 60, '{}', %(claim)s)"
    params = {"ids": [suspect, *runs], "claim": uuid.uuid4()}
    first = engine.database.call(statement, params)
    assert [str(row["execution_id"]) for row in first] == runs
    assert engine.database.call(statement, params) == first
    assert engine.database.call(statement, {**params, "claim": uuid.uuid4()})[0]["left_out"] == 0  # the suspect, alone


def test_a_claim_whose_reply_is_lost_costs_no_lease(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = engine.start(chain(probe("a")))
    engine.database.call("select 1")
    exchange, losses = shared.database._Link.exchange, [True]

    def lossy(link: Any, claims: Any, statement: Any, values: Any, until: float) -> Any:
        result = exchange(link, claims, statement, values, until)
        if b"claim_runs" in statement.command and losses and losses.pop():
            raise shared.database._LostError("after the commit")
        return result

    monkeypatch.setattr(shared.database._Link, "exchange", lossy)
    assert engine.drive(run) == 1
    assert losses == []
    assert engine.execution(run)["status"] == "completed"


@pytest.mark.parametrize("minutes", [-5, 5])
def test_a_workers_clock_that_is_off_makes_no_wait_early_or_late(engine: Engine, minutes: int) -> None:
    engine.skip(0)
    wait = {"node_id": "w", "node_type": "wait", "config": {"delay_seconds": 30}}
    run = engine.start(chain(wait, timeout_seconds=120))
    driver = engine.driver()
    driver.clock = lambda: engine.now() + timedelta(minutes=minutes)
    driver.drive([run], driver.clock() + timedelta(seconds=300))
    hot = engine.hot(run)
    assert hot is not None
    assert hot["due_at"] == engine.now() + timedelta(seconds=30)
    assert engine.bell.rung == [("workflow-run", run, 30.0)]
    engine.skip(31)
    driver.drive([run], driver.clock() + timedelta(seconds=300))
    assert engine.execution(run)["status"] == "completed"


def test_a_worker_whose_clock_is_behind_renews_its_lease_in_time(engine: Engine) -> None:
    engine.skip(0)
    driver = engine.driver()
    driver.clock = lambda: engine.now() - timedelta(minutes=5)

    def slow(context: Any) -> str:
        engine.skip(45)
        gate.wait(20)
        return "ok"

    ACTS["slow"] = slow
    gate = threading.Event()
    run = engine.start(chain(probe("a", "slow", timeout_seconds=100)))
    driving = threading.Thread(target=driver.drive, args=[[run], driver.clock() + timedelta(seconds=300)])
    driving.start()
    watcher = Database(engine.db.url("postgres"))
    for _ in range(200):
        if watcher.call("select seq from millrace.run")[0]["seq"]:
            break
        time.sleep(0.05)
    seq = watcher.call("select seq from millrace.run")[0]["seq"]
    watcher.close()
    gate.set()
    driving.join(10)
    assert seq > 0
    assert engine.execution(run)["status"] == "completed"


def test_a_second_claim_of_one_invocation_does_not_begin_what_no_longer_fits(engine: Engine) -> None:
    begun = []

    def slow(context: Any) -> str:
        begun.append(context.key)
        engine.skip(50)
        return "ok"

    ACTS["slow"] = slow
    runs = [engine.start(chain(probe("a", "slow"))) for _ in range(2)]
    for run in runs:
        _claim(engine, run)
    engine.skip(61)
    engine.drive(*runs, seconds=100)  # each has lost a worker, so they are claimed one by one
    assert len(begun) == 1
    engine.drive(*runs, seconds=100)
    assert {engine.execution(run)["status"] for run in runs} == {"completed"}


def test_nothing_under_way_outlives_the_invocation(engine: Engine) -> None:
    gate = threading.Event()
    ACTS["hang"] = lambda _context: gate.wait(30)
    run = engine.start(chain(probe("a", "hang", timeout_seconds=500)))
    driver = engine.driver()
    began = engine.now()
    driver.clock = lambda: began + timedelta(seconds=101 if CALLS else 0)
    driver.drive([run], began + timedelta(seconds=100))
    gate.set()
    hot = engine.hot(run)
    assert hot is not None
    assert hot["state"] == "waiting"
    assert hot["frontier"]["a"]["attempt"] == 2


def test_slow_pure_steps_neither_cost_their_own_lease_nor_that_of_the_others(engine: Engine) -> None:
    left: list[timedelta] = []

    def slow(_context: Any) -> str:
        engine.skip(20)
        rows = engine.db.owner.execute("select lease_until from millrace.run where state = 'leased'").fetchall()
        left.extend(row["lease_until"] - engine.now() for row in rows)
        return "ok"

    ACTS["slow"] = slow
    runs = [engine.start(chain(*[probe(f"n{n}", "slow", "probe_pure") for n in range(5)])) for _ in range(2)]
    engine.drive(*runs, seconds=1000)
    assert {engine.execution(run)["status"] for run in runs} == {"completed"}
    assert min(left) > timedelta()


def test_an_effect_that_had_not_begun_when_its_lease_was_lost_never_does(engine: Engine) -> None:
    engine.executor.shutdown()
    engine.executor = ThreadPoolExecutor(1)

    def usurp(context: Any) -> str:
        engine.db.owner.execute("update millrace.run set epoch = epoch + 1")
        return "late"

    ACTS["usurp"] = usurp
    graph = {
        "nodes": [{"node_id": "start", "node_type": "trigger"}, *(probe(f"n{n}", "usurp") for n in range(5))],
        "edges": [{"from": "start", "to": f"n{n}"} for n in range(5)],
    }
    gate = threading.Event()
    ACTS["usurp2"] = lambda _context: gate.wait(10)
    graph["nodes"][2]["config"] = {"act": "usurp2"}
    run = engine.start(graph)
    engine.drive(run)  # the first loses the lease for the others, while the second is under way
    gate.set()
    engine.executor.shutdown()
    assert len(CALLS) == 2


def test_the_tick_reads_only_what_is_due_however_much_waits(engine: Engine) -> None:
    workflow = engine.save(chain(probe("a")))
    due = engine.start(chain(probe("a")))
    with engine.db.connect("postgres") as connection:
        connection.execute(
            "select count(millrace.start_run(%s, %s, 'manual', '{}')) from generate_series(1, 5000)",
            [workflow, engine.user.id],
        )
        connection.execute(
            "update millrace.run set due_at = due_at + interval '1 day', state = 'waiting' where execution_id <> %s",
            [due],
        )
        connection.execute(
            "insert into millrace.job (owner_id, kind, due_at) "
            "select %s, 'parrot', now() + interval '1 day' from generate_series(1, 5000)",
            [engine.user.id],
        )
        connection.execute("update millrace.run set changed_at = changed_at - interval '1 hour'")
        connection.execute("update millrace.run set due_at = due_at - interval '1 hour' where execution_id = %s", [due])
    connection = engine.db.connect("postgres")
    connection.execute("vacuum analyze millrace.run, millrace.job")
    with connection.transaction():
        assert len(connection.execute("select * from millrace.due_runs(500, 5, 60)").fetchall()) == 1
        assert connection.execute("select * from millrace.due_jobs(500, 5)").fetchall() == []
        [read] = connection.execute(
            "select sum(seq_tup_read + idx_tup_fetch)::integer as rows from pg_stat_xact_user_tables "
            "where schemaname = 'millrace'"
        ).fetchall()
    assert read["rows"] < 100
