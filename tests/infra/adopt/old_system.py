"""A database of the system we replace, in either of its variants, with rows in each of its 45 tables.

``old_system.json`` says what its two schema scripts made: a column that has two forms has the later script's second.
The rows are what such a database may hold: texts as long as their column allows, status words of old and of nobody,
one connector version twice, rows that belong to no one, secrets in clear text, e-mails that differ by capitals.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from infra import migrations
from tests.cluster import Connection, TestDatabase

SCHEMA: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("old_system.json").read_text())

#: The two scripts, by the name each had.
VARIANTS = ("add_all_prd_models", "apply_final")

#: No column is filled with more than this.
LONGEST = 200_000

#: In clear text in the old system; must be nowhere but sealed after an adoption.
CANARY = "canary"


def ddl(variant: str) -> str:
    """The old schema as this script made it."""
    final = variant == "apply_final"
    statements = []
    for name, table in SCHEMA.items():
        lines = [
            f'"{column}" {(forms if isinstance(forms, str) else forms[final])}'
            for column, forms in table["columns"].items()
        ]
        named = "constraint alembic_version_pkc " if name == "alembic_version" else ""
        lines.append(f"{named}primary key ({', '.join(table['primary_key'])})")
        for column, (parent, action) in table.get("foreign_keys", {}).items():
            lines.append(f'foreign key ({column}) references public."{parent}" (id) on delete {action}')
        lines += [f"unique ({', '.join(columns)})" for columns in table.get("unique", [])]
        indexes = []
        for index in table.get("indexes", []):
            form = index.get("final") if final else None
            columns = ", ".join(index["columns"])
            if form == "absent":
                continue
            if form == "constraint":
                lines.append(f"unique ({columns})")
            unique = "unique " if index.get("unique") and form != "constraint" else ""
            where = f" where {index['where']}" if "where" in index else ""
            indexes.append(f'create {unique}index {index["name"]} on public."{name}" ({columns}){where}')
        statements += [f'create table public."{name}" ({", ".join(lines)})', *indexes]
    return ";\n".join(statements)


def number(table: str, nth: int) -> uuid.UUID:
    """The id of the nth row of a table."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{table} {nth}")


def user(name: str) -> uuid.UUID:
    return number("user", [person["email"].partition("@")[0] for person in PEOPLE].index(name))


#: ``account`` says how each stands in auth.users; the first six can be linked.
PEOPLE: list[dict[str, Any]] = [
    {"email": "ada@example.com", "account": "confirmed"},
    {"email": "ben@example.com", "account": "confirmed", "is_superuser": True, "full_name": "Ben " + "é" * 250},
    {"email": "Hal@Example.com", "account": "confirmed"},
    {"email": "ida@example.com", "account": "confirmed", "is_active": False},
    {"email": "jo@example.com", "account": "confirmed"},
    {"email": "kim@example.com", "account": "confirmed"},
    {"email": "cyd@example.com", "account": "unconfirmed"},
    {"email": "dan@example.com", "account": "none"},
    {"email": "eve@example.com", "account": "confirmed"},
    {"email": "EVE@example.com", "account": "none"},
    {"email": "gus@example.com", "account": "sso"},
    {"email": "ivy@example.com", "account": "twice"},
    {"email": "liz@example.com", "account": "deleted"},
]
LINKABLE = 6
SECRET_ADMIN = "ben@example.com"


def _node(id_: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"node_id": id_, "node_type": kind, "position_x": 10.5, "position_y": -3, "config": config}


#: Each old shape: what was saved, and what a run of it must come to. All begin with {"amount": 12, "list": [1, 2, 3]}.
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "list, the builder's keys": (
        {
            "nodes": [
                _node("t", "trigger", trigger_type="manual", cron_expression="", webhook_method="POST"),
                _node("check", "if", condition_expression="trigger.amount > 10"),
                _node("big", "set_variable", variable_name="size", variable_value="big", variable_scope="workflow"),
                _node("small", "set_variable", variable_name="size", variable_value="small"),
            ],
            "edges": [
                {"from": "t", "to": "check"},
                {"from": "check", "to": "big", "condition": "true"},
                {"from": "check", "to": "small", "condition": "false"},
            ],
            "entry_node_id": None,
            "dependencies": [str(uuid.UUID(int=7))],
            "use_langgraph": False,
        },
        {"check": {"branch": "true"}, "big": {}},
    ),
    "list, the handler's keys": (
        {
            "nodes": [
                _node("double", "map", input_array="{{ trigger.list }}", map_expression="item * 2"),
                _node("large", "filter", filter_condition="item > 2"),
                _node("wait", "wait", delay_type="seconds", delay_seconds=0),
                _node("t", "trigger"),
                _node("note", "set_variable", variable_name="n", variable_value="{{ nodes.large.output }}"),
            ],
            "edges": [
                {"from": "t", "to": "double"},
                {"from": "double", "to": "large"},
                {"from": "large", "to": "wait"},
                {"from": "wait", "to": "note", "branch": None},
            ],
        },
        {"double": {"output": [2, 4, 6]}, "large": {"output": [4, 6]}, "note": {}},
    ),
    "dict, one next": (
        {
            "nodes": {
                "t": {"node_type": "trigger", "config": {}, "next": "route"},
                "route": {"node_type": "switch", "config": {"condition": "trigger.amount > 100"}, "next": None},
            }
        },
        {"route": {"branch": "false"}},
    ),
    "dict, several next": (
        {
            "nodes": {
                "t": {"node_type": "trigger", "next": ["a", "b"]},
                "a": {
                    "node_type": "set_variable",
                    "config": {"variable_name": "x", "variable_value": 1},
                    "next": ["j"],
                },
                "b": {"node_type": "set_variable", "config": {"variable_name": "y", "variable_value": 2}, "next": "j"},
                "j": {"node_type": "merge", "config": {"merge_strategy": "array"}},
            },
            "entry_node_id": "t",
        },
        {"a": {}, "b": {}, "j": {}},
    ),
    "nodes in their own table": (
        {"nodes": [], "edges": [{"from": "t", "to": "get"}]},
        {"t": {}, "get": {"output": 5}},
    ),
}

LEGACY_NODES = [("t", "trigger", None), ("get", "get_variable", {"variable_name": "absent", "default_value": 5})]

#: What cannot run, with what is said of it.
BROKEN: dict[str, tuple[Any, list[str]]] = {
    "Nothing at all": (None, ["nodes"]),
    "A node nobody knows, and a way to nowhere": (
        {"nodes": [_node("t", "trigger"), _node("x", "teleport")], "edges": [{"from": "t", "to": "gone"}]},
        ["nodes[1].node_type", "edges[0].to"],
    ),
    "In a circle": (
        {
            "nodes": [_node("t", "trigger"), _node("a", "merge"), _node("b", "merge")],
            "edges": [{"from": "t", "to": "a"}, {"from": "a", "to": "b"}, {"from": "b", "to": "a"}],
        },
        [],
    ),
}


def _special() -> dict[str, list[dict[str, Any]]]:
    """The rows that are there for a reason; what they leave out is made up."""
    shapes = list(SHAPES) + list(BROKEN)
    owners = ["ada", "ben"]
    return {
        "user": [
            {"is_active": True}
            | {key: value for key, value in person.items() if key != "account"}
            | {"hashed_password": f"{CANARY}-password-{nth}" if nth < 2 else ""}
            for nth, person in enumerate(PEOPLE)
        ],
        "alembic_version": [{"version_num": "c4cd6f5a4f64"}],
        "workflow": [
            {
                "name": name,
                "graph_config": SHAPES[name][0] if name in SHAPES else BROKEN[name][0],
                "trigger_config": {"type": "schedule", "cron": "0 9 * * 1"} if nth == 0 else {"type": "manual"},
                "owner_id": user(owners[nth % 2]),
                "is_active": name != "In a circle",
                "version": nth + 1,
            }
            for nth, name in enumerate(shapes)
        ],
        "workflownode": [
            {
                "workflow_id": number("workflow", shapes.index("nodes in their own table")),
                "node_id": id_,
                "node_type": kind,
                "config": config,
                "position_x": float(nth),
            }
            for nth, (id_, kind, config) in enumerate(LEGACY_NODES)
        ],
        "workflowexecution": [
            {
                "workflow_id": number("workflow", 0),
                "status": status,
                "execution_id": f"exec-{nth:012x}",
                "execution_state": {"status": status, "node_results": {}, "execution_data": {"trigger": {"n": nth}}},
                "completed_at": None if status in ("running", "paused") else "2025-12-20T10:00:00",
            }
            for nth, status in enumerate(
                ["running", "paused", "waiting_for_signal", "completed", "failed", "completed", "stuck for ever"]
            )
        ],
        "workflowwebhooksubscription": [
            {"webhook_path": "/signed", "secret": f"{CANARY}-webhook", "is_active": True},
            {"webhook_path": "/signed", "secret": f"{CANARY}-webhook-before", "is_active": False},
            {"webhook_path": "/open", "secret": None},
            {"webhook_path": "/empty", "secret": ""},
        ],
        "connector": [
            # The one-shot script's ids, which are not ours; ownership unsaid, or somebody's.
            {"slug": "github", "name": "GitHub", "status": "beta", "is_platform": None, "owner_id": None},
            {
                "slug": "activecampaign",
                "name": "ActiveCampaign",
                "status": "beta",
                "is_platform": True,
                "owner_id": None,
            },
            {"slug": "adas-own", "name": "Own", "status": "draft", "is_platform": False, "owner_id": user("ada")},
            {"slug": "zoom", "status": "retired", "is_platform": True, "owner_id": None, "created_by": None},
        ],
        "connectorversion": [
            {"connector_id": number("connector", 0), "version": "1.0.0", "manifest": {"slug": "github", "oauth": {}}},
            {"connector_id": number("connector", 1), "version": "1.0.0", "manifest": {"slug": "activecampaign"}},
            {"connector_id": number("connector", 1), "version": "1.0.0", "manifest": {"slug": "activecampaign"}},
            {
                "connector_id": number("connector", 2),
                "version": "1.0.0",
                "manifest": {"oauth": {"client_id": "public", "client_secret": f"{CANARY}-client"}},
            },
            {
                "connector_id": number("connector", 3),
                "version": "1.0.0",
                "manifest": {
                    "oauth": {"client_secret": f"{CANARY}-platform", "default_scopes": ["a"]},
                    "credential_fields": {"key": {"source": "infisical", "secret_key": "A_NAME"}},
                },
            },
        ],
        "webhooksubscription": [
            {"tenant_id": user("ada"), "endpoint_secret": f"{CANARY}-endpoint"},
            {"tenant_id": uuid.UUID(int=99), "endpoint_secret": f"{CANARY}-nobodys"},
        ],
        "user_connector_connection": [
            {
                "user_id": user("ada"),
                "config": {
                    "account": "7",
                    "credentials": [{"access_token": f"{CANARY}-access", "expires_in": 60}, {"note": "kept"}],
                    "Refresh_Token": f"{CANARY}-refresh",
                },
                "status": "connected",
            },
            {"user_id": user("ben"), "config": None, "status": "weird", "last_error": None},
        ],
        "user_api_key": [
            {"user_id": user("ada"), "key_hash": f"{CANARY}-hash"},
            {"user_id": user("ben"), "key_hash": ""},
        ],
        "agentframeworkconfig": [
            {"framework": "crewai", "config": {"model": "m", "api_key": f"{CANARY}-model"}},
            {"framework": "autogpt", "config": {}},
        ],
        "agentcontextcache": [{"agent_id": str(user("ada"))}, {"agent_id": "nobody"}],
        "codetoolregistry": [
            {"owner_id": user("ada"), "tool_id": "a-tool"},
            {"owner_id": user("ben"), "tool_id": "b-tool"},
        ],
        "ocrjob": [{"status": "processing"}, {"status": "completed", "result": {"text": None}}, {"status": "lost"}],
        "osintalert": [{}, {"stream_id": None}],
        "ragswitchlog": [{}, {"query_id": None}],
        "browsersession": [{"status": "active"}, {"status": "closed"}, {"status": "zombie"}],
        "executionlog": [{"level": "INFO"}, {"level": "warning"}, {"level": "SHOUTING"}],
    }


def rows() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Every table with its rows, parents first."""
    special = _special()
    for name, table in SCHEMA.items():
        given = special.get(name, [{}, {}, {}])
        yield name, [_row(name, table, nth, values) for nth, values in enumerate(given)]


def _row(name: str, table: dict[str, Any], nth: int, given: dict[str, Any]) -> dict[str, Any]:
    row = {
        column: given[column] if column in given else _value(name, table, column, forms, nth)
        for column, forms in table["columns"].items()
    }
    return {column: Jsonb(value) if isinstance(value, dict | list) else value for column, value in row.items()}


def _value(name: str, table: dict[str, Any], column: str, forms: Any, nth: int) -> Any:
    form = forms if isinstance(forms, str) else forms[0]
    kind = form.partition(" not null")[0].partition(" default")[0]
    if column in table.get("foreign_keys", {}):
        return number(table["foreign_keys"][column][0], 0)
    match kind:
        case "uuid":
            return number(name, nth) if column == "id" else uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {column} {nth}")
        case "boolean":
            return nth % 2 == 0 if column != "is_superuser" else False
        case "integer":
            return nth - 1
        case "double precision":
            return nth / 3
        case "jsonb":
            return [None, {}, {"text": "ü \U0001f30a", "deep": [[{"n": 12345678901234567890}], 0.1, None]}][nth % 3]
        case "timestamp":
            return f"2025-12-0{nth % 9 + 1}T23:59:59.123456"
        case "timestamptz":
            return f"2025-12-0{nth % 9 + 1}T23:59:59.123456+09:00"
    bound = re.search(r"\d+", kind)
    if (bound and int(bound[0]) <= 255) or column.endswith("status"):
        return f"{column[:20]}-{nth}"
    limit = min(int(bound[0]) if bound else LONGEST, LONGEST)
    # As long as it may be, of more than one byte a character, in the first row.
    return ("é\n" * limit)[:limit] if nth == 0 and column not in UNIQUE else f"{name}.{column} {nth}"


#: A btree cannot hold their longest text.
UNIQUE = {"nango_connection_id", "webhook_path", "url", "link", "infisical_path"}


def make(database: TestDatabase, variant: str) -> None:
    """The old schema with its rows, and Supabase's accounts and history beside it."""
    owner = database.owner
    owner.execute(ddl(variant).encode())
    for name, listed in rows():
        for row in listed:
            statement = sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier("public", name),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join(map(sql.Placeholder, row)),
            )
            owner.execute(statement, row)
    make_accounts(database)
    make_history(owner)


def account(email: str, nth: int = 0) -> uuid.UUID:
    """The id of the account of this e-mail."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{email.lower()} {nth}")


def make_accounts(database: TestDatabase) -> None:
    admin = database.connect("supabase_admin")
    admin.execute("alter table auth.users add column if not exists is_sso_user boolean not null default false")
    for person in PEOPLE:
        email, kind = person["email"], person["account"]
        for nth in range({"none": 0, "twice": 2}.get(kind, 1)):
            admin.execute(
                "insert into auth.users (id, email, email_confirmed_at, deleted_at, is_sso_user) "
                "values (%s, %s, %s, %s, %s)",
                [
                    account(email, nth),
                    email.lower(),
                    None if kind == "unconfirmed" else "2025-12-01",
                    "2025-12-02" if kind == "deleted" else None,
                    kind == "sso",
                ],
            )
    admin.execute(
        "insert into auth.users (id, email, email_confirmed_at) values (%s, 'new@example.com', now())", [uuid.uuid4()]
    )


#: The old project's own: no file here knows them.
FOREIGN = [("20251214221103", "add_missing_indexes_and_optimizations"), ("20260101000000", "move_to_another_sign_in")]

#: One of the seed's names, applied under another time stamp.
MOVED = ("20251219181612", "add_user_connector_connection")
MOVED_HERE = "20251219181149"


def make_history(owner: Connection) -> None:
    """The ledger as the Supabase CLI left it: the seed's names, with other text, one of them under another time."""
    owner.execute("create schema supabase_migrations")
    owner.execute(
        "create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text)"
    )
    seed = [(m.version, m.name) for m in migrations.read() if "20251219" <= m.version <= "20251224"]
    assert len(seed) == 17
    for version, name in [*(MOVED if one == (MOVED_HERE, MOVED[1]) else one for one in seed), *FOREIGN]:
        owner.execute(
            "insert into supabase_migrations.schema_migrations values (%s, %s, %s)",
            [version, ["select 'the old text'"], name],
        )


def snapshot(owner: Connection) -> dict[str, dict[str, dict[str, str]]]:
    """Every inherited table's rows by key, each value as Postgres writes it in JSON."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for name, table in SCHEMA.items():
        columns = sql.SQL(", ").join(
            sql.SQL("{}, to_jsonb({})::text").format(sql.Literal(column), sql.SQL("row.") + sql.Identifier(column))
            for column in table["columns"]
        )
        (key,) = table["primary_key"]
        query = sql.SQL("select row.{}::text as key, jsonb_build_object({}) as held from {} as row").format(
            sql.Identifier(key), columns, sql.Identifier("public", name)
        )
        found[name] = {row["key"]: row["held"] for row in owner.execute(query)}
    return found
