"""What every test may ask for: a database of its own, users in it, and an environment without anyone's settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import shared.aws
import shared.database
import shared.doorbell
import shared.settings
import shared.storage
from tests.cluster import Cluster, TestDatabase, User, external_url


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_ours(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests must never reach the database, bell or key files of whoever runs them."""
    for name in [name for name in os.environ if name.startswith("MILLRACE_") and name != "MILLRACE_TEST_DATABASE_URL"]:
        del os.environ[name]
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    """A test that sets variables is not told yesterday's."""
    yield
    if shared.database.database.cache_info().currsize:
        shared.database.database().close()
    shared.database.database.cache_clear()
    shared.storage.storage.cache_clear()
    shared.aws.forget()
    shared.settings.forget()
    shared.doorbell.doorbell.cache_clear()


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """The shared Postgres server."""
    cluster = Cluster(Path(pytestconfig.rootpath) / ".millrace" / "test", external_url())
    cluster.join()
    yield cluster
    cluster.leave()


@pytest.fixture
def db(cluster: Cluster) -> Iterator[TestDatabase]:
    """A migrated database of the test's own."""
    database = TestDatabase(cluster, cluster.create())
    yield database
    database.close()
    cluster.drop(database.name)


@pytest.fixture
def make_user(db: TestDatabase) -> Callable[..., User]:
    """Makes tenants: ``make_user(email=None) -> User``."""
    return db.make_user


@pytest.fixture
def user(db: TestDatabase) -> User:
    """A tenant."""
    return db.make_user()


@pytest.fixture
def other_user(db: TestDatabase) -> User:
    """Another tenant, who may see nothing of the first."""
    return db.make_user()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a test wants to be read though it passed: ``record_property("summary", ...)``."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "summary":
                terminalreporter.write_line(str(value))
