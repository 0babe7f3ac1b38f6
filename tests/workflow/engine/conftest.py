"""The probes' node types and an engine of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.workflow.node import REGISTRY, Effect, Job, StepContext, node
from tests.cluster import TestDatabase, User
from tests.workflow.engine.harness import ACTS, CALLS, Engine, Probe, act


@pytest.fixture(scope="module", autouse=True)
def _probe_types() -> Iterator[None]:
    """Node types that only these tests have: one for each effect, and one that hands its work to a job."""
    kinds = {"probe": Effect.IDEMPOTENT, "probe_pure": Effect.PURE, "probe_once": Effect.AT_MOST_ONCE}
    for name, effect in kinds.items():
        node(name, config=Probe, effect=effect)(act)

    @node("probe_job", config=Probe, effect=Effect.PURE)
    def _job(config: Probe, context: StepContext) -> Job:
        """Hand the work to the tests' capability."""
        return Job("parrot", {"say": config.act, "attempt": context.attempt})

    yield
    for name in (*kinds, "probe_job"):
        del REGISTRY[name]


@pytest.fixture(autouse=True)
def _forget_acts() -> Iterator[None]:
    yield
    ACTS.clear()
    CALLS.clear()


@pytest.fixture
def engine(db: TestDatabase, user: User) -> Iterator[Engine]:
    engine = Engine(db, user, db.database("millrace_engine"))
    yield engine
    engine.executor.shutdown()
