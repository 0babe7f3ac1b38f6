"""The health routes: what anyone may know, and which part is failing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from functions.health import probes
from functions.health.health import HealthSettings, examine
from functions.health.probes import Failing
from shared.doorbell import RecordingDoorbell
from shared.errors import Unavailable
from shared.storage.s3 import S3Storage
from tests.aws import ACCOUNT, REGION, pretended
from tests.cluster import TestDatabase, User
from tests.functions.gateway import Gateway, sign
from tests.intake import make_workflow


@pytest.fixture
def sockets(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("q")
    listening = []
    for queue in probes.QUEUES:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(str(directory / f"{queue}.sock"))
        listening.append(listener)
    monkeypatch.setenv("MILLRACE_DOORBELL", f"socket:{directory}")
    yield directory
    for listener in listening:
        listener.close()


@pytest.fixture
def monitor(gateway: Gateway, sockets: Path, user: User, db: TestDatabase) -> Gateway:
    """A monitor of an installation that ticked a moment ago."""
    db.engine.call("select millrace.record_tick()")
    return gateway.as_(sign(user))


def by_name(body: dict[str, Any]) -> dict[str, str]:
    return {part["name"]: part["status"] for part in body["parts"]}


def test_anyone_may_ask_whether_it_answers_and_that_costs_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    answer = gateway.get("/health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_the_parts_are_for_those_who_signed_in(gateway: Gateway, api: Gateway) -> None:
    assert gateway.get("/health/parts").problem["status"] == 401
    token = api.post("/api/v1/users/me/tokens", {"name": "m", "scopes": ["runs:read"]}).json["token"]
    assert "health:read" in gateway.as_(token).get("/health/parts").problem["detail"]
    token = api.post("/api/v1/users/me/tokens", {"name": "m", "scopes": ["health:read"]}).json["token"]
    assert "parts" in gateway.as_(token).get("/health/parts").json


def test_a_healthy_installation_says_so_part_by_part(monitor: Gateway) -> None:
    answer = monitor.get("/health/parts")
    assert answer.status == 200, answer.text
    assert answer.json["status"] == "ok"
    assert by_name(answer.json) == dict.fromkeys(("database", "bells", "storage", "tick", "work"), "ok")
    assert 0 <= answer.json["tick_lag_seconds"] < 60


def test_a_tick_that_stopped_is_told_with_its_lag(monitor: Gateway, db: TestDatabase) -> None:
    db.owner.execute("update millrace.tick set ticked_at = now() - interval '10 minutes'")
    answer = monitor.get("/health/parts")
    assert answer.status == 503
    assert by_name(answer.json)["tick"] == "failing"
    assert 600 <= answer.json["tick_lag_seconds"] < 660
    db.owner.execute("delete from millrace.tick")
    answer = monitor.get("/health/parts")
    assert answer.json["tick_lag_seconds"] is None
    assert "never ran" in answer.text


def test_runs_that_nobody_takes_are_told_and_waits_are_not(monitor: Gateway, db: TestDatabase, user: User) -> None:
    run = db.owner.execute(
        "select millrace.start_run(%s, %s, 'manual', '{}') as id", [make_workflow(db, user), user.id]
    ).fetchone()
    assert run is not None
    db.owner.execute("update millrace.run set due_at = now() + interval '1 hour', state = 'waiting'")
    assert monitor.get("/health/parts").status == 200
    db.owner.execute("update millrace.run set due_at = now() - interval '1 hour'")
    answer = monitor.get("/health/parts")
    assert by_name(answer.json)["work"] == "failing"
    assert str(run["id"]) not in answer.text
    db.owner.execute("update millrace.run set state = 'leased'")
    assert monitor.get("/health/parts").status == 200


def test_a_queue_without_a_listener_is_named(monitor: Gateway, sockets: Path) -> None:
    (sockets / "storage-events.sock").unlink()
    answer = monitor.get("/health/parts")
    assert answer.status == 503
    [bells] = [part for part in answer.json["parts"] if part["name"] == "bells"]
    assert bells["detail"].startswith("storage-events: there is no socket")


def test_a_database_that_is_away_is_a_failing_part_and_the_others_are_looked_at(
    sockets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE", f"directory:{tmp_path}")

    class Away:
        def call(self, query: str, params: Any = None, /) -> list[dict[str, Any]]:
            raise Unavailable("The database cannot be reached.")

    found = examine(Away(), HealthSettings())
    assert {part.name: str(part.status) for part in found.parts} == {
        "database": "failing",
        "bells": "ok",
        "storage": "ok",
    }


def test_a_part_that_hangs_holds_up_nobody(sockets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setenv("MILLRACE_STORAGE", f"directory:{tmp_path}")
    done = threading.Event()

    class Hanging:
        def call(self, query: str, params: Any = None, /) -> list[dict[str, Any]]:
            done.wait(30)
            raise Unavailable("late")

    found = examine(Hanging(), HealthSettings(), seconds=0.2)
    done.set()
    [database] = [part for part in found.parts if part.name == "database"]
    assert database.detail == "No answer within 0.2 s."


def test_what_a_library_says_is_not_passed_on(sockets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORAGE", f"directory:{tmp_path}")

    class Broken:
        def call(self, query: str, params: Any = None, /) -> list[dict[str, Any]]:
            raise RuntimeError("postgresql://me:secret@somewhere")

    found = examine(Broken(), HealthSettings())
    assert "secret" not in found.model_dump_json()
    assert "RuntimeError" in found.parts[0].detail


@pytest.fixture
def deploy() -> Iterator[Callable[[], None]]:
    """An empty AWS account; the call makes the queues and the bucket."""

    def made() -> None:
        sqs = boto3.client("sqs")
        for queue in probes.QUEUES:
            sqs.create_queue(QueueName=f"millrace-dev-{queue}")
        boto3.client("s3").create_bucket(
            Bucket="millrace-dev-1-workflow-attachments", CreateBucketConfiguration={"LocationConstraint": REGION}
        )

    with pretended():
        yield made


def test_on_aws_the_queues_and_the_bucket_are_asked(deploy: Callable[[], None]) -> None:
    prefix = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/millrace-dev"
    with pytest.raises(Failing, match=r"workflow-run: SQS answers .*NonExistentQueue"):
        probes.bells(f"sqs:{prefix}")
    with pytest.raises(Failing, match="bucket"):
        probes.storage(S3Storage("millrace-dev-1"))
    deploy()
    assert probes.bells(f"sqs:{prefix}") == "Every queue takes bells."
    assert probes.storage(S3Storage("millrace-dev-1")) == "The storage answers."


def test_without_bells_nothing_is_amiss() -> None:
    assert "left to the tick" in probes.bells("none")


@pytest.mark.parametrize(
    ("lag", "interval", "late"), [(31, 1, True), (29, 1, False), (179, 60, False), (181, 60, True)]
)
def test_a_tick_is_late_after_three_of_its_intervals(lag: float, interval: float, late: bool) -> None:
    if late:
        with pytest.raises(Failing):
            probes.tick(lag, interval)
    else:
        assert probes.tick(lag, interval)


def test_two_ticks_tell_the_seconds_between_them(db: TestDatabase) -> None:
    assert db.engine.call("select millrace.record_tick() as s") == [{"s": None}]
    db.owner.execute("update millrace.tick set ticked_at = now() - interval '90 seconds'")
    [row] = db.engine.call("select millrace.record_tick() as s")
    assert 90 <= row["s"] < 100


def test_a_tick_that_fails_on_its_way_is_not_written_down(db: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.schedule_tick.tick import Tick

    tick = Tick(db.engine, RecordingDoorbell(), horizon=60, grace=5, limit=10)
    monkeypatch.setattr(tick, "_statements", {**tick._statements, "sweep": "select 1 / 0"})
    with pytest.raises(Exception, match="division by zero"):
        tick.run(30)
    assert db.owner.execute("select from millrace.tick").fetchall() == []
