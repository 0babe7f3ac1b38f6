"""The queue face of the engine: bells in, partial failures out."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from functions.workflow_run import worker
from shared.errors import BadRequest, Unavailable
from tests.cluster import TestDatabase, User
from tests.workflow.engine.harness import Engine, chain


class Context:
    """What the handler asks of Lambda's context."""

    def __init__(self, seconds: float = 300) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@pytest.fixture
def engine(db: TestDatabase, user: User, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", db.url("millrace_engine"))
    engine = Engine(db, user, db.engine)
    yield engine
    engine.executor.shutdown()
    worker.driver().executor.shutdown()
    worker.driver().database.close()
    worker.driver.cache_clear()


def _event(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": str(n), "eventSource": "aws:sqs", "body": body} for n, body in enumerate(bodies)]}


def _bell(id_: object) -> str:
    return f'{{"id": "{id_}"}}'


PURE = chain({"node_id": "set", "node_type": "set_variable", "config": {"variable_name": "x", "variable_value": 1}})


def test_bells_drive_their_runs_doubled_and_unknown_ones_included(engine: Engine) -> None:
    runs = [engine.start(PURE) for _ in range(3)]
    event = _event(*map(_bell, [*runs, runs[0], uuid.uuid4()]))
    assert worker.handler(event, Context()) == {"batchItemFailures": []}
    assert {engine.execution(run)["status"] for run in runs} == {"completed"}


def test_a_poisoned_record_fails_alone(engine: Engine) -> None:
    run = engine.start(PURE)
    poison = ["not json", "[]", "null", '{"id": 7}', '{"id": "' + "x" * 36 + '"}', "[" * 100_000]
    answer = worker.handler(_event(*poison, _bell(run)), Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": str(n)} for n in range(len(poison))]}
    assert engine.execution(run)["status"] == "completed"


@pytest.mark.parametrize("event", [{}, [], "x", {"Records": [{"eventSource": "aws:s3"}]}, {"source": "aws.events"}])
def test_a_foreign_event_is_refused(engine: Engine, event: Any) -> None:
    with pytest.raises(BadRequest):
        worker.handler(event, Context())


def test_with_the_database_down_all_records_come_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    run = engine.start(PURE)
    with pytest.raises(Unavailable):
        worker.handler(_event(_bell(run)), Context())
    assert engine.execution(run)["status"] == "running"
    assert engine.drive(run) == 1
