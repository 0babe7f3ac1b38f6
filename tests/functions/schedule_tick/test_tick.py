"""The tick: schedules fire once whoever ticks, and what was forgotten is rung for again."""

from __future__ import annotations

import json
import secrets
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.schedule_tick import worker
from functions.schedule_tick.tick import Tick
from shared import statements
from shared.database import Database
from shared.doorbell import RecordingDoorbell
from shared.errors import BadRequest, Unavailable
from shared.payloads import resolve
from shared.storage import DirectoryStorage
from tests.cluster import TestDatabase, User
from tests.intake import Context, event, make_workflow

NOON = datetime(2026, 3, 11, 12, 0, tzinfo=UTC)


@dataclass
class Mill:
    """A tenant with a workflow, and a clock that stands still."""

    db: TestDatabase
    user: User
    workflow: uuid.UUID
    bell: RecordingDoorbell = field(default_factory=RecordingDoorbell)

    def at(self, now: datetime) -> None:
        """Stop the database's clock."""
        admin = self.db.connect("supabase_admin")
        admin.execute(f"alter database \"{self.db.name}\" set millrace.now = '{now.isoformat()}'")
        self.db.engine.close()

    def tick(self, **options: Any) -> Any:
        settings = {"horizon": 60.0, "grace": 5.0, "limit": 100} | options
        return Tick(self.db.engine, self.bell, **settings).run(30)

    def schedule(self, **columns: Any) -> uuid.UUID:
        row = {
            "id": uuid.uuid4(),
            "owner_id": self.user.id,
            "workflow_id": self.workflow,
            "cron_expression": "0 * * * *",
            "is_active": True,
            "next_run_at": NOON.replace(tzinfo=None),
        } | columns
        names = ", ".join(row)
        marks = ", ".join(f"%({name})s" for name in row)
        self.db.owner.execute(f"insert into workflowschedule ({names}) values ({marks})", row)
        return row["id"]

    def row(self, schedule: uuid.UUID) -> dict[str, Any]:
        found = self.db.owner.execute("select * from workflowschedule where id = %s", [schedule]).fetchone()
        assert found is not None
        return found

    def occurrences(self, schedule: uuid.UUID) -> list[tuple[datetime, str, str | None]]:
        rows = self.db.owner.execute(
            "select * from scheduleoccurrence where schedule_id = %s order by fire_at", [schedule]
        ).fetchall()
        return [(row["fire_at"].astimezone(UTC), row["status"], row["reason"]) for row in rows]

    def runs(self) -> list[dict[str, Any]]:
        return self.db.owner.execute("select * from workflowexecution order by id").fetchall()


@pytest.fixture
def mill(db: TestDatabase, user: User) -> Mill:
    made = Mill(db, user, make_workflow(db, user))
    made.at(NOON)
    return made


def test_a_due_schedule_starts_its_workflow_and_moves_on(mill: Mill) -> None:
    schedule = mill.schedule(name="hourly", input={"a": 1})
    done = mill.tick()
    assert (done.started, done.skipped, done.failed) == (1, 0, 0)
    [run] = mill.runs()
    assert (run["workflow_id"], run["owner_id"], run["trigger_type"]) == (mill.workflow, mill.user.id, "schedule")
    assert run["trigger_data"] == {
        "trigger_type": "schedule",
        "schedule_id": str(schedule),
        "name": "hourly",
        "cron_expression": "0 * * * *",
        "timezone": "UTC",
        "timestamp": "2026-03-11T12:00:00+00:00",
        "payload": {"a": 1},
    }
    assert mill.occurrences(schedule) == [(NOON, "started", None)]
    row = mill.row(schedule)
    assert (row["next_run_at"], row["last_run_at"]) == (datetime(2026, 3, 11, 13), datetime(2026, 3, 11, 12))  # noqa: DTZ001
    assert mill.bell.rung == [("workflow-run", str(run["id"]), 0)]
    assert mill.tick().started == 0
    assert len(mill.runs()) == 1


def test_a_schedule_is_never_early(mill: Mill) -> None:
    mill.schedule()
    mill.at(NOON - timedelta(milliseconds=1))
    assert mill.tick().started == 0
    mill.at(NOON)
    assert mill.tick().started == 1


def test_two_tickers_fire_an_instant_once(mill: Mill) -> None:
    """Both saw it due. The second passes over what the first holds, and finds nothing due when the first is done."""
    schedule = mill.schedule()
    one, two = mill.db.connect("millrace_engine"), mill.db.connect("millrace_engine")
    plans = [
        {
            "schedule": str(schedule),
            "seen": NOON.isoformat(),
            "next_run_at": (NOON + timedelta(hours=1)).isoformat(),
            "occurrences": [{"fire_at": NOON.isoformat(), "status": "started", "reason": None}],
        }
    ]
    fire = "select * from millrace.fire_schedules(%s::jsonb)"
    with one.transaction():
        assert len(one.execute(fire, [json.dumps(plans)]).fetchall()) == 1
        assert two.execute(fire, [json.dumps(plans)]).fetchall() == []  # at once: it does not even wait
        assert two.execute("select * from millrace.due_schedules(10)").fetchall() == []
    assert two.execute(fire, [json.dumps(plans)]).fetchall() == []
    assert len(mill.runs()) == 1


def test_any_number_of_tickers_at_once_fire_each_instant_once(mill: Mill) -> None:
    schedules = [mill.schedule() for _ in range(40)]
    databases = [Database(mill.db.url("millrace_engine")) for _ in range(4)]
    ready = threading.Barrier(len(databases))

    def tick(database: Database) -> int:
        database.call("select 1")
        ready.wait()
        return Tick(database, mill.bell, horizon=60, grace=5, limit=7).run(30).started

    with ThreadPoolExecutor(len(databases)) as threads:
        started = sum(threads.map(tick, databases))
    for database in databases:
        database.close()
    mill.tick()
    assert started <= len(schedules) == len(mill.runs())
    assert all(mill.occurrences(schedule) == [(NOON, "started", None)] for schedule in schedules)


def test_an_instant_that_was_written_down_never_fires_again(mill: Mill) -> None:
    """Though someone turned the schedule back by hand."""
    schedule = mill.schedule()
    mill.tick()
    mill.db.owner.execute("update workflowschedule set next_run_at = %s", [NOON.replace(tzinfo=None)])
    assert mill.tick().started == 0
    assert len(mill.runs()) == 1
    assert mill.row(schedule)["next_run_at"] == datetime(2026, 3, 11, 13)  # noqa: DTZ001


@pytest.mark.parametrize(("policy", "hours"), [("skip", []), ("latest", [12]), ("all", [11, 12])])
def test_missed_instants_are_what_the_policy_says(mill: Mill, policy: str, hours: list[int]) -> None:
    early = NOON - timedelta(hours=3)
    schedule = mill.schedule(next_run_at=early.replace(tzinfo=None), missed_policy=policy, missed_cap=2)
    mill.at(NOON + timedelta(minutes=30))
    assert mill.tick().started == len(hours)
    found = mill.occurrences(schedule)
    assert [fire_at.hour for fire_at, status, _ in found if status == "started"] == hours
    assert [fire_at.hour for fire_at, _, _ in found] == [9, 10, 11, 12]


def test_a_disabled_workflow_skips_its_instants_and_moves_on(mill: Mill) -> None:
    schedule = mill.schedule()
    mill.db.owner.execute("update workflow set is_active = false")
    assert mill.tick().skipped == 1
    assert mill.occurrences(schedule) == [(NOON, "skipped", "the workflow is disabled")]
    assert mill.row(schedule)["next_run_at"] == datetime(2026, 3, 11, 13)  # noqa: DTZ001
    assert mill.runs() == []


def test_an_inactive_schedule_rests(mill: Mill) -> None:
    mill.schedule(is_active=False)
    assert (mill.tick().started, mill.runs()) == (0, [])


def test_overlap_skip_waits_for_the_run_before(mill: Mill) -> None:
    schedule = mill.schedule(overlap_policy="skip")
    allowed = mill.schedule()
    mill.tick()
    mill.at(NOON + timedelta(hours=1))
    assert (mill.tick().started, mill.occurrences(schedule)[-1][1:]) == (
        1,
        ("skipped", "the run before it has not ended"),
    )
    assert [status for _, status, _ in mill.occurrences(allowed)] == ["started", "started"]
    mill.db.owner.execute("delete from millrace.run")  # they ended
    mill.at(NOON + timedelta(hours=2))
    assert mill.tick().started == 2


def test_bad_rows_do_not_stop_the_others(mill: Mill) -> None:
    bad = [
        mill.schedule(cron_expression="61 * * * *"),
        mill.schedule(timezone="Mars/Olympus"),
        mill.schedule(workflow_id=make_workflow(mill.db, mill.user)),
    ]
    mill.db.owner.execute("update workflow set version_id = null where id <> %s", [mill.workflow])
    good = [mill.schedule() for _ in range(2)]
    done = mill.tick(limit=3)
    assert (done.started, done.failed) == (2, 3)
    for schedule in good:
        assert mill.occurrences(schedule) == [(NOON, "started", None)]
    reasons = []
    for schedule in bad:
        [(_, status, reason)] = mill.occurrences(schedule)
        assert status == "failed"
        reasons.append(reason or "")
        assert mill.row(schedule)["next_run_at"] == datetime(2026, 3, 11, 13)  # noqa: DTZ001
    assert "61" in reasons[0]
    assert "Mars/Olympus" in reasons[1]
    assert reasons[2] == "The workflow has no version to run."


def test_jitter_is_stable_and_spread(mill: Mill) -> None:
    schedules = [mill.schedule(jitter_seconds=600) for _ in range(20)]
    offsets = {
        row["id"]: row["o"]
        for row in mill.db.owner.execute(
            "select id, millrace.schedule_offset(id, jitter_seconds) as o from workflowschedule"
        )
    }
    assert all(0 <= offset <= 600 for offset in offsets.values())
    assert len(set(offsets.values())) > 10
    chosen = max(schedules, key=lambda schedule: offsets[schedule])
    mill.at(NOON + timedelta(seconds=offsets[chosen] - 1))
    mill.tick()
    assert mill.occurrences(chosen) == []
    mill.at(NOON + timedelta(seconds=offsets[chosen]))
    mill.tick()
    assert mill.occurrences(chosen) == [(NOON, "started", None)]
    assert all(len(mill.occurrences(schedule)) == 1 for schedule in schedules)


def test_a_schedule_without_a_next_instant_gets_one(mill: Mill) -> None:
    schedule = mill.schedule(next_run_at=None)
    assert mill.tick().started == 0
    assert mill.row(schedule)["next_run_at"] == datetime(2026, 3, 11, 13)  # noqa: DTZ001


def test_unattended_runs_and_jobs_are_rung_for(mill: Mill) -> None:
    start = "select millrace.start_run(%s, %s, 'manual', '{}') as id"
    [lost, fresh] = [row["id"] for _ in range(2) for row in mill.db.owner.execute(start, [mill.workflow, mill.user.id])]
    long_ago = NOON - timedelta(seconds=30)
    mill.db.owner.execute("update millrace.run set due_at = %s, changed_at = %s", [NOON, NOON])
    mill.db.owner.execute(
        "update millrace.run set due_at = %s, changed_at = %s where execution_id = %s", [long_ago, long_ago, lost]
    )
    job = uuid.uuid4()
    mill.db.owner.execute(
        "insert into millrace.job (id, owner_id, kind, due_at) values (%s, %s, 'echo', %s)",
        [job, mill.user.id, long_ago],
    )
    done = mill.tick()
    assert (done.runs, done.jobs) == (1, 1)
    assert sorted(mill.bell.rung) == [("echo", str(job), 0), ("workflow-run", str(lost), 0)]
    assert str(fresh) not in {id_ for _, id_, _ in mill.bell.rung}


def test_a_quiet_tick_looks_once_and_says_that_it_ended(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    call = Database.call

    def counting(self: Database, query: str, *rest: Any, **more: Any) -> Any:
        called.append(query)
        return call(self, query, *rest, **more)

    monkeypatch.setattr(Database, "call", counting)
    tick = Tick(mill.db.engine, mill.bell, horizon=60, grace=5, limit=100)
    tick.run(30)  # the first one also sweeps
    called.clear()
    tick.run(30)
    assert called == [statements.load("schedule_tick")[name] for name in ("due", "ticked")]
    called.clear()
    mill.schedule()
    tick.run(30)
    assert len(called) == 3  # and fires, however many are due


def test_an_input_that_looks_like_a_reference_is_told_from_one(mill: Mill, tmp_path: Path) -> None:
    forged = {"$payload": {"sha256": "0" * 64}}
    mill.schedule(input=forged)
    mill.tick()
    [run] = mill.runs()
    assert resolve(DirectoryStorage(tmp_path), mill.user.id, run["trigger_data"]["payload"]) == forged


def test_the_sweep_forgets_only_what_is_old(mill: Mill) -> None:
    owner = mill.db.owner
    owner.execute(
        "insert into millrace.storage_event_dedupe values ('bucket', 'a', '1', %s)", [NOON - timedelta(days=31)]
    )
    owner.execute(
        "insert into millrace.storage_event_dedupe values ('bucket', 'b', '1', %s)", [NOON - timedelta(days=29)]
    )
    owner.execute(
        "insert into millrace.webhook_tally values (gen_random_uuid(), %s, 0, 0), (gen_random_uuid(), %s, 0, 0)",
        [NOON - timedelta(days=2), NOON],
    )
    mill.tick()
    assert [row["key"] for row in owner.execute("select key from millrace.storage_event_dedupe")] == ["b"]
    assert len(owner.execute("select from millrace.webhook_tally").fetchall()) == 1


def made_at(at: datetime) -> uuid.UUID:
    """An id of that time, as version 7 has it."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | secrets.randbits(62))


def test_the_ledger_of_deliveries_goes_back_as_far_as_is_set(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.schedule_tick.tick.SWEEP_ROWS", 3)
    hook = uuid.uuid4()
    mill.db.owner.execute(
        "insert into workflowwebhooksubscription (id, owner_id, workflow_id, webhook_path) values (%s, %s, %s, '/x')",
        [hook, mill.user.id, mill.workflow],
    )
    for age in (31, 31, 31, 31, 8, 6):
        at = NOON - timedelta(days=age)
        mill.db.owner.execute(
            "insert into webhookdelivery (id, subscription_id, received_at, verdict) values (%s, %s, %s, 'refused')",
            [made_at(at), hook, at],
        )

    def left() -> int:
        return len(mill.db.owner.execute("select from webhookdelivery").fetchall())

    ticker = Tick(mill.db.engine, mill.bell, horizon=60, grace=5, limit=10)
    ticker.run(30)
    assert left() == 3  # a bounded batch
    ticker.run(30)
    assert left() == 2  # the next tick went on
    mill.tick(delivery_days=7)
    assert left() == 1


def test_ended_runs_are_kept_unless_it_is_said_for_how_long(mill: Mill) -> None:
    ids = _, going, lately, recent = [made_at(NOON - timedelta(days=age)) for age in (10, 9, 8, 3)]
    for id_, ended in zip(ids, (8, None, 1, 3), strict=True):
        at = None if ended is None else (NOON - timedelta(days=ended)).replace(tzinfo=None)
        mill.db.owner.execute(
            "insert into workflowexecution (id, workflow_id, owner_id, execution_id, status, completed_at)"
            " values (%s, %s, %s, %s, %s, %s)",
            [id_, mill.workflow, mill.user.id, str(id_), "completed" if ended else "running", at],
        )
        mill.db.owner.execute(
            "insert into executionstep (execution_id, node_id, node_type, seq, status)"
            " values (%s, 'a', 'x', 1, 'completed')",
            [id_],
        )
    mill.tick()
    assert [run["id"] for run in mill.runs()] == ids
    mill.tick(run_days=7)
    assert [run["id"] for run in mill.runs()] == [going, lately, recent]
    assert len(mill.db.owner.execute("select from executionstep").fetchall()) == 3


def test_the_face_takes_eventbridge_s_event_and_no_other(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    mill.schedule()
    monkeypatch.setenv("MILLRACE_DATABASE_URL", mill.db.url("millrace_engine"))
    worker.tick.cache_clear()
    assert worker.handler(event("eventbridge_schedule"), Context())["started"] == 1
    worker.tick.cache_clear()
    for foreign in (event("sqs_bells"), {}, None):
        with pytest.raises(BadRequest, match="Scheduled Event"):
            worker.handler(foreign, Context())


def test_a_database_that_is_down_leaves_everything_for_the_next_tick(mill: Mill, tmp_path: Any) -> None:
    down = Database(f"postgresql://millrace_engine@/x?host={tmp_path}", connect_timeout=1, deadline=1)
    with pytest.raises(Unavailable):
        Tick(down, mill.bell, horizon=60, grace=5, limit=10).run(10)
    assert mill.bell.rung == []
