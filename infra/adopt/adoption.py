"""An adoption from beginning to end: what would be done, and doing it.

Every step looks at what is there and does what is lacking, so that an adoption that was interrupted, by whatever, is
simply run again; one that is complete finds nothing to do. The order keeps what matters safe at each point:

1. secrets are sealed where they can wait, before anything empties a column;
2. columns, owners and indexes are made without long locks;
3. the migrations run, each one transaction;
4. secrets move to their table, and what was in clear text is emptied;
5. users are linked to those who sign in;
6. workflows get their versions right, and those that cannot run are switched off.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from infra import migrations
from infra.adopt import ahead, checks, clear_text, definitions, history, people
from infra.adopt.database import Connection, connect, exists, has_column
from infra.adopt.definitions import Definition
from infra.adopt.history import Repair
from infra.adopt.people import Link, Unlinked
from infra.migrations import Patience, State
from shared.errors import Conflict, Invalid
from shared.secrets import LONGEST, Keyring

# Numbers of our own for pg_try_advisory_lock: "adoption" in ASCII.
_LOCK = int.from_bytes(b"adoption", "big")

#: States in which the old system's runs were under way. Nothing of ours goes on with them.
_UNDER_WAY = ["running", "paused", "waiting_for_signal", "waiting"]


class Progress(Protocol):
    """Hears how far an adoption is."""

    def step(self, name: str, total: int | None = None) -> None:
        """A step begins; ``total`` is how much it has to do, where that is known."""

    def at(self, done: int, what: str = "") -> None:
        """So much of the step is done."""


class Silence:
    """Nobody listens."""

    def step(self, name: str, total: int | None = None) -> None:
        """Not heard."""

    def at(self, done: int, what: str = "") -> None:
        """Not heard."""


@dataclass(frozen=True)
class Survey:
    """How a database stands: what an adoption would do, and what it leaves to people."""

    rows: dict[str, int]  #: of each table
    pending: tuple[str, ...]  #: migrations
    work: ahead.Work
    secrets: dict[str, int]  #: in clear text, by where
    unowned: dict[str, int]  #: those of them whose row belongs to nobody
    sealed: int  #: waiting for the table `secret`
    links: list[Link]
    unlinked: list[Unlinked]
    broken: list[Definition]
    fill: list[Definition]
    unscheduled: list[Definition]
    closed: list[str]  #: paths of subscriptions whose secret was empty
    under_way: int  #: runs of the old system that it never ended
    without_owner: dict[str, int]
    repairs: list[Repair] = field(default_factory=list)

    @property
    def nothing_to_do(self) -> bool:
        """Whether an adoption would change nothing."""
        stopping = any(one.active for one in self.broken)
        return not any((self.pending, self.work, self.secrets, self.sealed, self.links, self.fill, stopping))

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "nothing_to_do": self.nothing_to_do,
            "rows": self.rows,
            "pending_migrations": list(self.pending),
            "columns": [f"{column.table}.{column.name}" for column in self.work.columns],
            "indexes": [index.name for index in self.work.indexes],
            "secrets": self.secrets,
            "secrets_without_owner": self.unowned,
            "secrets_sealed": self.sealed,
            "users_to_link": [asdict(one) for one in self.links],
            "users_not_linked": [asdict(one) for one in self.unlinked],
            "workflows_with_mistakes": [
                {"id": one.id, "name": one.name, "active": one.active, "mistakes": one.mistakes} for one in self.broken
            ],
            "workflows_with_nodes_elsewhere": [one.id for one in self.fill],
            "schedules_not_started": [{"id": one.id, "name": one.name, "cron": one.cron} for one in self.unscheduled],
            "subscriptions_without_secret": self.closed,
            "runs_never_ended": self.under_way,
            "rows_without_owner": self.without_owner,
            "repairs": [{"command": one.command, "reason": one.reason} for one in self.repairs],
        }


@dataclass(frozen=True)
class Done:
    """What an adoption did."""

    before: Survey
    after: Survey
    applied: tuple[str, ...]
    columns: int
    owners: int
    indexes: int
    secrets: int
    linked: int
    filled: int
    stopped: int

    def document(self) -> dict[str, Any]:
        """For machines."""
        names = ("columns", "owners", "indexes", "secrets", "linked", "filled", "stopped")
        return {
            "nothing_to_do": self.before.nothing_to_do,
            "applied": list(self.applied),
            **{name: getattr(self, name) for name in names},
            "before": self.before.document(),
            "after": self.after.document(),
        }


def survey(url: str, auth_url: str | None = None) -> Survey:
    """How the database stands. Changes nothing; raises what :func:`adopt` would refuse with."""
    checks.address(url)
    with connect(url) as connection:
        return _survey(connection, url, auth_url)


def adopt(
    url: str,
    keyring: Callable[[], Keyring],
    *,
    auth_url: str | None = None,
    heir: str | None = None,
    progress: Progress | None = None,
    patience: Patience = Patience(),
) -> Done:
    """Adopt the database at ``url``, an address that keeps its session.

    ``keyring`` opens the keys that seal secrets; it is called only when there are some in clear text.
    ``heir`` is the e-mail of the user who gets the secrets whose rows belong to nobody. Raises
    :class:`~shared.errors.MillraceError` before anything is changed, or from a migration that failed: what was done
    before it stays and is not done again.
    """
    listener = progress or Silence()
    checks.address(url)
    with connect(url) as connection, _alone(connection):
        listener.step("look")
        before = _survey(connection, url, auth_url)
        inheritor = _inheritor(connection, heir) if before.unowned else None
        states = {row.version: row.state for row in migrations.status(url)}
        if before.secrets:
            keyring().current()  # refuse now rather than in the middle

        kept = 0
        if before.secrets:
            listener.step("seal secrets", sum(before.secrets.values()))
            kept = clear_text.keep(connection, keyring(), inheritor, listener.at)

        listener.step("add columns", len(before.work.columns))
        for number, column in enumerate(before.work.columns, 1):
            ahead.add(connection, column, patience)
            listener.at(number, f"{column.table}.{column.name}")

        owners = 0
        listener.step("give rows their owners", len(before.work.backfills))
        for number, backfill in enumerate(before.work.backfills, 1):
            owners += ahead.fill(connection, backfill, lambda _: None)
            listener.at(number, backfill.table)

        # The columns are there now, so that more can be said of the indexes.
        indexes = ahead.survey(connection, states).indexes
        listener.step("build indexes", len(indexes))
        for number, index in enumerate(indexes, 1):
            ahead.build(connection, index, patience)
            listener.at(number, index.name)

        applied: list[str] = []
        listener.step("migrate", len(before.pending))

        def heard(migration: migrations.Applied) -> None:
            applied.append(f"{migration.version}_{migration.name}")
            listener.at(len(applied), applied[-1])

        migrations.up(url, heard, patience=patience)

        listener.step("move secrets", max(kept, before.sealed))
        moved = clear_text.move(connection, patience, listener.at)

        # Looked at again: minutes may have passed.
        links, _ = people.look(connection, auth_url)
        listener.step("link users", len(links))
        linked = people.link(connection, links)

        found = [one for one in definitions.read(connection) if one.fill or one.mistakes]
        listener.step("workflows", len(found))
        filled, stopped = definitions.settle(connection, found, listener.at)

        listener.step("look again")
        after = _survey(connection, url, auth_url)
        return Done(
            before,
            after,
            tuple(applied),
            len(before.work.columns),
            owners,
            len(indexes),
            moved,
            linked,
            filled,
            stopped,
        )


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """One adoption at a time: a lock of the session, which goes with the connection."""
    row = connection.execute("select pg_try_advisory_lock(%s) as alone", [_LOCK]).fetchone()
    if not row or not row["alone"]:
        raise Conflict("Another adoption of this database is under way.", remedy="Wait for it to end.")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def _survey(connection: Connection, url: str, auth_url: str | None) -> Survey:
    checks.server(connection.info.server_version)
    checks.old_system(connection)
    checks.permission(connection)
    rows = migrations.status(url)
    states = checks.history(rows)
    checks.half_applied(connection, states)
    checks.shape(connection)
    links, unlinked = people.look(connection, auth_url)
    secrets, unowned, long = Counter[str](), Counter[str](), 0
    for found in clear_text.find(connection):
        secrets[str(found.place)] += 1
        unowned[str(found.place)] += found.owner is None
        long += len(found.plaintext.encode()) > LONGEST
    if long:
        raise Invalid(
            f"{long} secrets have more than {LONGEST} bytes.", remedy="Shorten them, or take them out of the database."
        )
    workflows = list(definitions.read(connection))
    return Survey(
        rows=checks.rows(connection),
        pending=tuple(f"{row.version}_{row.name}" for row in rows if row.state is State.PENDING),
        work=ahead.survey(connection, states),
        secrets=dict(secrets),
        unowned={place: number for place, number in unowned.items() if number},
        sealed=clear_text.waiting(connection),
        links=links,
        unlinked=unlinked,
        broken=[one for one in workflows if one.mistakes],
        fill=[one for one in workflows if one.fill and not one.mistakes],
        unscheduled=[one for one in workflows if one.cron],
        closed=_closed(connection),
        under_way=_under_way(connection),
        without_owner=_without_owner(connection),
        repairs=history.repairs(rows),
    )


def _inheritor(connection: Connection, email: str | None) -> uuid.UUID:
    if email is None:
        raise Conflict(
            "Some secrets are in rows that belong to nobody, and a secret needs an owner.",
            remedy="Give --secrets-to the e-mail of the user who gets them.",
        )
    found = connection.execute(
        'select id from public."user" where lower(email) = lower(%s) and is_active', [email]
    ).fetchall()
    if len(found) != 1:
        raise Invalid(f"{len(found) or 'No'} active users have the e-mail {email}.", remedy="Give that of one user.")
    inheritor: uuid.UUID = found[0]["id"]
    return inheritor


def _closed(connection: Connection) -> list[str]:
    """Subscriptions that nobody can deliver to until they get a secret."""
    if has_column(connection, "public.workflowwebhooksubscription", "secret_id"):
        condition = "scheme <> 'none' and secret_id is null"
        if exists(connection, "millrace.adopted_secret"):
            condition += (
                " and not exists (select from millrace.adopted_secret as kept "
                "where kept.row_id = workflowwebhooksubscription.id)"
            )
    elif exists(connection, "public.workflowwebhooksubscription"):
        condition = "secret = ''"
    else:
        return []
    rows = connection.execute(
        f"select webhook_path from public.workflowwebhooksubscription where {condition} order by 1"  # noqa: S608
    )
    return [row["webhook_path"] for row in rows]


def _under_way(connection: Connection) -> int:
    if not exists(connection, "public.workflowexecution"):
        return 0
    ours = (
        "and not exists (select from millrace.run where run.execution_id = execution.id) and version_id is null"
        if exists(connection, "millrace.run")
        else ""
    )
    row = connection.execute(
        f"select count(*) as number from public.workflowexecution as execution where status = any(%s) {ours}",  # noqa: S608
        [_UNDER_WAY],
    ).fetchone()
    return int(row["number"]) if row else 0


def _without_owner(connection: Connection) -> dict[str, int]:
    """Rows that no tenant sees, by table; known once the column is there."""
    names: Sequence[dict[str, Any]] = connection.execute(
        """
        select relname
        from pg_class
        join pg_attribute on attrelid = pg_class.oid and attname = 'owner_id' and not attisdropped and not attnotnull
        where relnamespace = 'public'::regnamespace
            and relkind = 'r'
            and relname not in ('connector', 'connectorversion')
        order by relname
        """
    ).fetchall()
    counts = {}
    for row in names:
        counted = connection.execute(
            f'select count(*) as number from public."{row["relname"]}" where owner_id is null'  # noqa: S608
        ).fetchone()
        if counted and counted["number"]:
            counts[row["relname"]] = counted["number"]
    return counts
