"""The secrets that the old system kept in clear text: found, sealed, and moved to our ``secret`` table.

They are sealed before any migration runs, into ``millrace.adopted_secret``, because the migrations empty the columns;
when ``secret`` exists they are moved there, a subscription is pointed at its own, and what is left in clear text is
emptied. Each keeps one id on the way, made from where it was found, so that every step may be repeated. What the nodes
of a workflow hold, and the headers in the state of old runs, is part of those and stays.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from infra.adopt.database import BATCH, Connection, exists, table, text
from infra.migrations import Patience
from shared.secrets import Keyring, seal

#: Names under which settings hold secrets, as the old system's services wrote them.
SECRET_KEYS = frozenset(
    {
        *("access_token", "refresh_token", "id_token", "bearer_token", "token", "auth_token"),
        *("api_key", "apikey", "api_secret", "secret", "secret_key", "client_secret", "signing_secret"),
        *("private_key", "password", "authorization"),
    }
)


@dataclass(frozen=True)
class Place:
    """A column in which the old system kept secrets: the whole of it, or what stands under ``keys`` in its JSON."""

    table: str
    column: str
    owner: str  #: SQL for whose it is; null when the row belongs to nobody
    join: str = ""  #: what ``owner`` needs beside ``row``
    empty: str = "null"  #: SQL of the emptied column
    keys: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


PLACES = (
    Place("user", "hashed_password", "row.id", empty="''"),
    Place(
        "workflowwebhooksubscription",
        "secret",
        "workflow.owner_id",
        "left join public.workflow on workflow.id = row.workflow_id",
    ),
    Place(
        "webhooksubscription",
        "endpoint_secret",
        "tenant.id",
        'left join public."user" as tenant on tenant.id = row.tenant_id',
        empty="''",
    ),
    Place("user_api_key", "key_hash", "row.user_id", empty="''"),
    Place(
        "connectorversion",
        "manifest",
        # The first shape of that table says neither.
        "coalesce((to_jsonb(connector) ->> 'owner_id')::uuid, (to_jsonb(connector) ->> 'created_by')::uuid)",
        "left join public.connector on connector.id = row.connector_id",
        keys=frozenset({"client_secret"}),  # its `secret_key` only names one that is kept elsewhere
    ),
    Place("user_connector_connection", "config", "row.user_id", keys=SECRET_KEYS),
    Place("agentframeworkconfig", "config", "null::uuid", keys=SECRET_KEYS),
    Place("codesandbox", "config", "row.owner_id", keys=SECRET_KEYS),
    Place("domainprofile", "config", "null::uuid", keys=SECRET_KEYS),
    Place(
        "ragfinetunejob",
        "config",
        "ragindex.owner_id",
        "left join public.ragindex on ragindex.id = row.index_id",
        keys=SECRET_KEYS,
    ),
)

_STAGING = """
    create schema if not exists millrace;
    create table if not exists millrace.adopted_secret (
        secret_id uuid primary key,
        owner_id uuid not null,
        table_name text not null,
        column_name text not null,
        row_id uuid not null,
        path text[] not null,
        key_id text not null,
        nonce bytea not null,
        ciphertext bytea not null
    );
    alter table millrace.adopted_secret enable row level security;
"""

_KEEP = """
    insert into millrace.adopted_secret (
        secret_id, owner_id, table_name, column_name, row_id, path, key_id, nonce, ciphertext
    )
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    on conflict (secret_id) do update
    set owner_id = excluded.owner_id,
        key_id = excluded.key_id,
        nonce = excluded.nonce,
        ciphertext = excluded.ciphertext
"""

_MOVE = """
    insert into public.secret (id, owner_id, name, key_id, nonce, ciphertext)
    select %(secret_id)s, owner.id, %(name)s, %(key_id)s, %(nonce)s, %(ciphertext)s
    from public."user" as owner
    where owner.id = %(owner_id)s
    on conflict (id) do nothing
"""

_POINT = """
    update public.workflowwebhooksubscription
    set secret_id = %(secret_id)s, scheme = 'hmac-sha256'
    where id = %(row_id)s
        and secret_id is null
        and exists (select from public.secret where secret.id = %(secret_id)s)
"""

_IDS = uuid.UUID("6d696c6c-7261-5365-8000-61646f707465")


@dataclass(frozen=True)
class Found:
    """One secret in clear text."""

    place: Place
    row: uuid.UUID
    owner: uuid.UUID | None
    path: tuple[str, ...]
    plaintext: str

    @property
    def id(self) -> uuid.UUID:
        """The id of its row in ``secret``, the same whenever it is found."""
        return uuid.uuid5(_IDS, json.dumps([str(self.place), str(self.row), *self.path]))


def find(connection: Connection) -> Iterator[Found]:
    """Every secret that is still in clear text."""
    for place in PLACES:
        if exists(connection, f'public."{place.table}"'):
            yield from _find(connection, place)


def _find(connection: Connection, place: Place) -> Iterator[Found]:
    column = sql.SQL("row.") + sql.Identifier(place.column)
    wanted = (
        sql.SQL("{}::text ~* {}").format(column, sql.Literal(f'"({"|".join(sorted(place.keys))})"'))
        if place.keys
        else sql.SQL("{} <> ''").format(column)
    )
    query = sql.SQL("select row.id, {} as owner, {} as held from {} as row {} where {}").format(
        text(place.owner), column, table(place.table), text(place.join), wanted
    )
    with connection.transaction(), connection.cursor(f"adopt_{place.table}") as cursor:
        for row in cursor.execute(query):
            secrets = _inside(row["held"], place.keys) if place.keys else [((), row["held"])]
            for path, plaintext in secrets:
                yield Found(place, row["id"], row["owner"], path, plaintext)


def _inside(value: Any, keys: frozenset[str], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The secrets in a JSON value, each with its path as Postgres writes one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name.lower() in keys and isinstance(inner, str | int | float) and not isinstance(inner, bool):
                if inner != "":
                    yield (*path, name), str(inner)
            elif isinstance(inner, dict | list):
                yield from _inside(inner, keys, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _inside(inner, keys, (*path, str(number)))


def keep(connection: Connection, keyring: Keyring, heir: uuid.UUID | None, progress: Callable[[int], None]) -> int:
    """Seal what is in clear text, each under its owner's name, or ``heir``'s where it has none; how many.

    What was sealed before is sealed again: clear text that is still there is the latest. Whatever is written after this
    look is seen by the guard among the migrations, which stops until it is sealed too.
    """
    connection.execute(_STAGING)
    count = 0
    for batch in _batches(find(connection)):
        rows = []
        for found in batch:
            owner = found.owner or heir
            if owner is None:
                continue
            sealed = seal(keyring, owner, found.id, found.plaintext)
            place = found.place
            rows.append((found.id, owner, place.table, place.column, found.row, list(found.path), *sealed))
        with connection.cursor() as cursor:
            cursor.executemany(_KEEP, rows)
        count += len(rows)
        progress(count)
    return count


def _batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    batch: list[Found] = []
    for one in found:
        batch.append(one)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def waiting(connection: Connection) -> int:
    """How many are sealed and not moved yet."""
    if not exists(connection, "millrace.adopted_secret"):
        return 0
    row = connection.execute("select count(*) as number from millrace.adopted_secret").fetchone()
    return int(row["number"]) if row else 0


def move(connection: Connection, patience: Patience, progress: Callable[[int], None]) -> int:
    """Move what is sealed to ``secret``, empty where it was in clear text, and drop the way station; how many."""
    if not exists(connection, "millrace.adopted_secret"):
        return 0
    places = {(place.table, place.column): place for place in PLACES}
    moved = 0

    def step() -> int:
        with connection.transaction():
            connection.execute("select set_config('lock_timeout', %s, true)", [f"{patience.lock_seconds * 1000:.0f}ms"])
            rows = connection.execute(
                "select * from millrace.adopted_secret order by secret_id limit %s for update", [BATCH]
            ).fetchall()
            for row in rows:
                place = places[row["table_name"], row["column_name"]]
                row["name"] = _name(place, row)
                connection.execute(_MOVE, row)
                if place.table == "workflowwebhooksubscription":
                    connection.execute(_POINT, row)
                connection.execute(_emptied(place), row)
            connection.execute(
                "delete from millrace.adopted_secret where secret_id = any(%s)", [[row["secret_id"] for row in rows]]
            )
            if not rows:
                connection.execute("drop table millrace.adopted_secret")
            return len(rows)

    while number := patience.act(step):
        moved += number
        progress(moved)
    return moved


def _name(place: Place, row: dict[str, Any]) -> str:
    """What its owner knows it by: where it was. At most 255 characters."""
    where = ".".join(("adopted " + str(place), *row["path"]))
    name = f"{where} {row['row_id']}"
    return name if len(name) <= 255 else f"{where[:218]} {row['secret_id']}"


def _emptied(place: Place) -> sql.Composed:
    column = sql.Identifier(place.column)
    if place.keys:
        return sql.SQL(
            "update {table} set {column} = {column} #- %(path)s::text[] "
            "where id = %(row_id)s and {column} #> %(path)s::text[] is not null"
        ).format(table=table(place.table), column=column)
    return sql.SQL("update {table} set {column} = {empty} where id = %(row_id)s and {column} <> ''").format(
        table=table(place.table), column=column, empty=text(place.empty)
    )
