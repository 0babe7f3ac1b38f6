"""A database of the old system, a key to seal its secrets with, and the command that adopts it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.adopt import adoption
from infra.adopt.adoption import Done
from infra.local.postgres import allow_logins, create_database
from infra.migrations import Patience
from shared.secrets import LocalKeyring
from tests.cluster import Cluster, TestDatabase
from tests.infra.adopt import old_system

_numbers = itertools.count()

#: Tests that hold locks do not want to wait long.
HASTE = Patience(lock_seconds=0.05, attempts=3, longest_pause=0.01)


class Old(TestDatabase):
    """A database of the old system."""

    keyring: LocalKeyring
    variant: str
    origin: str

    def adopt(self, **options: object) -> Done:
        """Adopt it, as an operator would who may read the accounts."""
        given = {"auth_url": self.url("supabase_admin"), "heir": old_system.SECRET_ADMIN} | options
        return adoption.adopt(self.url(), lambda: self.keyring, **given)  # type: ignore[arg-type]

    def survey(self) -> adoption.Survey:
        return adoption.survey(self.url(), self.url("supabase_admin"))


@pytest.fixture(scope="module", params=old_system.VARIANTS)
def template(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[tuple[str, str]]:
    """The old system in each variant, made once a module: the name of its database, and the variant."""
    name = f"test_old_{request.param}_{os.getpid()}_{next(_numbers)}"
    create_database(cluster.superuser_url, name)
    allow_logins(cluster.superuser_url)
    database = TestDatabase(cluster, name)
    old_system.make(database, request.param)
    database.close()
    yield name, request.param
    cluster.drop(name)


@pytest.fixture
def old(template: tuple[str, str], cluster: Cluster, tmp_path: Path) -> Iterator[Old]:
    """A copy of the old system of the test's own."""
    origin, variant = template
    name = f"test_adopt_{os.getpid()}_{next(_numbers)}"
    cluster._execute("create database {} owner postgres template {}", name, origin)
    cluster._execute('alter database {} set search_path = "$user", public, extensions', name)
    database = Old(cluster, name)
    database.keyring, database.variant, database.origin = LocalKeyring(tmp_path / "keys.json"), variant, origin
    yield database
    database.close()
    cluster.drop(name)
