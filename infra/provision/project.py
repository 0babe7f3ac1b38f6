"""All that ``millrace provision`` does, step by step, each step reported as it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from infra.buckets import Bucket
from infra.provision import roles, trigger
from infra.provision.buckets import Buckets
from infra.provision.database import explain
from infra.provision.outcome import Outcome, Refusal, Result, to_do

TRIGGER = "storage.objects"
CONNECT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Project:
    """What to provision. ``storage``: Supabase's, if objects are kept there; else neither buckets nor trigger are."""

    database_url: str
    storage: Buckets | None
    buckets: tuple[Bucket, ...]
    passwords: Mapping[str, str]  #: those that were given, by role
    renew: bool = False
    change: bool = True

    def provision(self) -> Iterator[tuple[Result, str | None]]:
        """Each thing's result; with it the role's new password, for a role that got one."""
        for result, password in self._provision():
            yield (result if self.change else to_do(result)), password

    def _provision(self) -> Iterator[tuple[Result, str | None]]:
        if self.storage is not None:
            for result in self.storage.provision(self.buckets, change=self.change):
                yield result, None
        try:
            connection = psycopg.connect(
                self.database_url, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_SECONDS
            )
        except psycopg.Error as error:
            for kind, name in self._in_database():
                yield explain(error).result(kind, name), None
            return
        with connection:
            if self.storage is not None:
                yield self._trigger(connection), None
            yield from roles.provision(connection, self.passwords, renew=self.renew, change=self.change)

    def _in_database(self) -> Iterator[tuple[str, str]]:
        if self.storage is not None:
            yield "trigger", TRIGGER
        for role in roles.ROLES:
            yield "role", role

    def _trigger(self, connection: psycopg.Connection[Any]) -> Result:
        try:
            if not trigger.has_storage(connection):
                return Refusal(
                    "This database has no storage.objects: it is not that of the project which keeps the objects.",
                    "Set MILLRACE_MIGRATION_URL to the database of the project that MILLRACE_STORAGE names.",
                ).result("trigger", TRIGGER)
            done = trigger.install(connection, self.buckets, change=self.change)
        except psycopg.Error as error:
            return explain(error).result("trigger", TRIGGER)
        if not done:
            return Result("trigger", TRIGGER, Outcome.UNCHANGED)
        if set(done.values()) == {"created"} and set(done) == set(trigger.TRIGGERS):
            return Result("trigger", TRIGGER, Outcome.CREATED)
        return Result("trigger", TRIGGER, Outcome.REPAIRED, tuple(f"{name}: {what}" for name, what in done.items()))
