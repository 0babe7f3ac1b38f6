"""What restores an object: the SQL that does it, written from the facts that were expected and those that were found.

A function's text is not among the facts; it is looked up in the migrations. Where rows may be in the way, or are lost,
``note`` says so.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from infra import migrations
from infra.review.catalogue import Facts
from infra.review.expression import settled
from infra.review.snapshot import Expected, Snapshot


@dataclass(frozen=True)
class Remedy:
    """SQL for the owner to run, in this order; or commands; or neither, when only ``note`` can say what to do."""

    sql: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    note: str | None = None

    @property
    def text(self) -> str:
        return "\n".join([*self.sql, *self.commands]) or self.note or ""


def split(name: str) -> tuple[str, str]:
    """``public.item.title`` as (``public.item``, ``title``)."""
    match = re.fullmatch(r'(.*)\.("(?:[^"]|"")*"|[^."]+)', name, re.DOTALL)
    assert match is not None, name
    return match[1], match[2]


class Restorer:
    """Writes remedies towards one snapshot, for a database whose objects belong to ``owner``."""

    def __init__(self, snapshot: Snapshot, owner: str, *, vector_available: bool = True) -> None:
        self._snapshot = snapshot
        self._owner = owner
        self._vector_available = vector_available

    # --- what is missing ----------------------------------------------------------------------------------------------

    def create(self, kind: str, name: str) -> Remedy:
        """Brings back an object that is not there."""
        facts = self._snapshot.objects[kind][name].facts
        match kind:
            case "table":
                return Remedy(tuple(self._table(name)), note="Its rows are to be brought back from a backup.")
            case "column":
                table, column = split(name)
                note = "Its values are to be brought back from a backup."
                if not {"nullable", "default", "identity"} & set(facts):
                    note = f"On a table with rows add it without `not null`, and set that when it is filled. {note}"
                return Remedy((f"alter table {table} add column {_column(column, facts)};",), note=note)
            case "constraint":
                return Remedy(tuple(_add_constraint(name, facts)))
            case "index":
                return Remedy((_create_index(facts),))
            case "policy":
                return Remedy((_create_policy(name, facts),))
            case "function":
                return Remedy((function_text(name, self._snapshot), *self._grants(f"function {name} to ")))
            case "trigger":
                return Remedy((f"{facts['definition']};",))
            case "grant":
                return self.alter(kind, name, {})
            case "default privilege":
                return self.alter(kind, name, {})
            case "role":
                return Remedy((f"create role {name} nologin noinherit;", *self.alter(kind, name, {}).sql))
            case "extension" if not self._vector_available:
                return Remedy(
                    note="Install pgvector on the server, or choose one that has it, then: create extension vector;"
                )
            case "extension":
                return Remedy(
                    (
                        "create schema if not exists extensions;",
                        f"create extension if not exists {name} with schema extensions;",
                    )
                )
            case _:
                return Remedy((f"create schema {name};", *self._grants(f"schema {name} to ")))

    def _table(self, name: str) -> Iterable[str]:
        objects = self._snapshot.objects
        columns = [
            f"    {_column(split(column)[1], one.facts)}"
            for column, one in objects["column"].items()
            if split(column)[0] == name
        ]
        facts = objects["table"][name].facts
        options = f" with ({', '.join(facts['options'])})" if "options" in facts else ""
        yield f"create table {name} (\n" + ",\n".join(columns) + f"\n){options};"
        constraints = sorted(self._of("constraint", name), key=lambda one: constraint_rank(one[1].facts["definition"]))
        for constraint, one in constraints:
            if is_foreign_key(one.facts):
                continue  # restored by itself, when the other table is there
            yield f"alter table {name} add constraint {split(constraint)[1]} {one.facts['definition']};"
        for _, one in self._of("index", name):
            yield f"{one.facts['definition']};"
        if facts.get("row_security"):
            yield f"alter table {name} enable row level security;"
        for policy, one in self._of("policy", name):
            yield _create_policy(policy, one.facts)
        yield from self._grants(f"table {name} to ")

    def _of(self, kind: str, table: str) -> list[tuple[str, Expected]]:
        return [(name, one) for name, one in self._snapshot.objects[kind].items() if split(name)[0] == table]

    def _grants(self, prefix: str) -> list[str]:
        return [
            statement
            for name in self._snapshot.objects["grant"]
            if name.startswith(prefix)
            for statement in self.alter("grant", name, {}).sql
        ]

    # --- what differs -------------------------------------------------------------------------------------------------

    def alter(self, kind: str, name: str, found: Facts) -> Remedy:
        """Makes of the object that was found the one expected."""
        held = self._snapshot.objects[kind].get(name)
        wanted = held.facts if held else {}
        match kind:
            case "table":
                return Remedy(tuple(self._alter_table(name, wanted, found)))
            case "column":
                return self._alter_column(name, wanted, found)
            case "constraint":
                table, constraint = split(name)
                if settled(wanted["definition"]) == settled(found["definition"]):
                    return Remedy(
                        (f"alter table {table} validate constraint {constraint};",),
                        note="It fails on a row that breaks the rule, and names it.",
                    )
                return Remedy((f"alter table {table} drop constraint {constraint};", *_add_constraint(name, wanted)))
            case "index":
                schema, index = _schema(name), split(name)[1]
                if "invalid" in found:
                    return Remedy((f"reindex index concurrently {schema}.{index};",))
                return Remedy((f"drop index concurrently {schema}.{index};", _create_index(wanted)))
            case "policy":
                return Remedy((_drop_policy(name), _create_policy(name, wanted)))
            case "function":
                return Remedy(tuple(self._alter_function(name, wanted, found)))
            case "trigger":
                table, trigger = split(name)
                if wanted["definition"] == found["definition"]:
                    return Remedy((f"alter table {table} enable trigger {trigger};",))
                return Remedy((f"drop trigger {trigger} on {table};", f"{wanted['definition']};"))
            case "grant":
                return Remedy(tuple(_grant(name, wanted, found)))
            case "default privilege":
                return Remedy(tuple(_default_privilege(name, wanted, found)))
            case "role":
                return Remedy(tuple(_alter_role(name, wanted, found)))
            case _:
                return Remedy(note="Compare it with a fresh database.")

    def _alter_table(self, name: str, wanted: Facts, found: Facts) -> Iterable[str]:
        if wanted.get("row_security") != found.get("row_security"):
            yield f"alter table {name} {'enable' if wanted.get('row_security') else 'disable'} row level security;"
        if wanted.get("forced") != found.get("forced"):
            yield f"alter table {name} {'force' if wanted.get('forced') else 'no force'} row level security;"
        if wanted.get("unlogged") != found.get("unlogged"):
            yield f"alter table {name} set {'unlogged' if wanted.get('unlogged') else 'logged'};"
        if wanted.get("options") != found.get("options"):
            if options := wanted.get("options"):
                yield f"alter table {name} set ({', '.join(options)});"
            kept = {option.partition("=")[0] for option in wanted.get("options", [])}
            if extra := sorted({option.partition("=")[0] for option in found.get("options", [])} - kept):
                yield f"alter table {name} reset ({', '.join(extra)});"
        if "unenforced" in found:
            yield f"alter table {name} enable trigger all;"  # by a superuser
        if "owner" in found:
            yield f"alter table {name} owner to {self._owner};"

    def _alter_column(self, name: str, wanted: Facts, found: Facts) -> Remedy:
        table, column = split(name)
        alter = f"alter table {table} alter column {column}"
        if wanted.get("generated") != found.get("generated") or wanted.get("identity") != found.get("identity"):
            return Remedy(
                (
                    f"alter table {table} drop column {column} cascade;",
                    f"alter table {table} add column {_column(column, wanted)};",
                ),
                note="`cascade` takes indexes and keys on it along: review again, and restore those.",
            )
        statements: list[str] = []
        note = None
        retyped = wanted["type"] != found["type"]
        if retyped:
            if "default" in found:
                statements.append(f"{alter} drop default;")
            statements.append(f"{alter} type {wanted['type']} using {column}::{wanted['type']};")
            # Postgres refuses to retype a column that a policy names.
            policies = [
                (policy, one)
                for policy, one in self._of("policy", table)
                if re.search(
                    rf"\b{re.escape(column.strip(chr(34)))}\b", f"{one.facts.get('using')} {one.facts.get('check')}"
                )
            ]
            statements = [
                *(_drop_policy(policy) for policy, _ in policies),
                *statements,
                *(_create_policy(policy, one.facts) for policy, one in policies),
            ]
            note = "It rewrites the table under an exclusive lock, and fails on a value that does not fit."
        if wanted.get("default") != found.get("default") or (retyped and "default" in found):
            default = wanted.get("default")
            statements.append(f"{alter} set default {default};" if default else f"{alter} drop default;")
        if wanted.get("nullable") != found.get("nullable"):
            statements.append(f"{alter} {'drop' if wanted.get('nullable') else 'set'} not null;")
            if not wanted.get("nullable"):
                note = note or "It fails while a row has null there: fill those first."
        # The default comes back last, or the type could not be changed under it; policies after all of it.
        return Remedy(tuple(sorted(statements, key=lambda text: text.startswith("create policy"))), note=note)

    def _alter_function(self, name: str, wanted: Facts, found: Facts) -> Iterable[str]:
        if {fact: value for fact, value in found.items() if fact != "owner"} != wanted:
            text = function_text(name, self._snapshot)
            if wanted["result"] != found["result"] or wanted["arguments"] != found["arguments"]:
                yield f"drop function {name} cascade;"
                yield text
                yield from self._grants(f"function {name} to ")
            else:
                yield re.sub(r"(?i)\Acreate function", "create or replace function", text)
        if "owner" in found:
            yield f"alter function {name} owner to {self._owner};"

    # --- what is too much ---------------------------------------------------------------------------------------------

    def drop(self, kind: str, name: str, found: Facts) -> Remedy:
        """Takes away what should not be there."""
        match kind:
            case "column":
                table, column = split(name)
                return Remedy((f"alter table {table} alter column {column} drop not null;",))
            case "constraint":
                table, constraint = split(name)
                return Remedy((f"alter table {table} drop constraint {constraint};",))
            case "index":
                return Remedy((f"drop index concurrently {_schema(name)}.{split(name)[1]};",))
            case "policy":
                return Remedy((_drop_policy(name),))
            case "function":
                return Remedy((f"drop function {name};",))
            case "trigger":
                table, trigger = split(name)
                return Remedy((f"drop trigger {trigger} on {table};",))
            case "view":
                return Remedy(
                    (f"alter view {name} set (security_invoker = on);",),
                    note="A materialized view cannot do that: revoke what was granted on it.",
                )
            case _:
                return self.alter(kind, name, found)

    def repeats(self, version: str, kind: str, name: str) -> bool:
        """Whether the migration that makes this object finds its work done where it is there already."""
        text = "\n".join(_statements(version)).replace('"', "")
        plain = split(name)[1].strip('"') if kind != "function" else ""
        match kind:
            case "grant" | "default privilege":
                return True
            case "function":
                return f"create or replace function {name.partition('(')[0]}(" in text
            case "table":
                return f"create table if not exists {name}" in text
            case "column":
                return f"add column if not exists {plain} " in text
            case "index":
                return re.search(rf"index (concurrently )?if not exists {plain}\s", text) is not None
            case "constraint":
                definition = self._snapshot.objects[kind][name].facts["definition"]
                column = re.match(r"FOREIGN KEY \(([^,)]+)\)", definition)  # made with its column
                with_column = column is not None and f"add column if not exists {column[1]} " in text
                return with_column or f"drop constraint if exists {plain}" in text
            case _:
                return False

    def undo(self, leftovers: list[tuple[str, str]]) -> Remedy:
        """Takes away what a migration left that is not recorded as applied, so that it can be applied as a whole."""
        tables = {name for kind, name in leftovers if kind == "table"}
        statements: list[str] = []
        for kind, name in leftovers:
            match kind:
                case "table":
                    statements.append(f"drop table {name} cascade;")
                case "function":
                    statements.append(f"drop function {name} cascade;")
                case "column" | "constraint" | "index" | "policy" | "trigger" if split(name)[0] in tables:
                    continue
                case "column":
                    table, column = split(name)
                    statements.append(f"alter table {table} drop column {column} cascade;")
                case "constraint" | "policy" | "trigger" | "index":
                    statements += [text.replace(" concurrently", "") for text in self.drop(kind, name, {}).sql]
                case _:
                    continue
        # A column takes its indexes and constraints along: whoever comes after it must not mind.
        statements.sort(key=lambda text: (" drop column " in text, text.startswith(("drop table", "drop function"))))
        return Remedy(
            tuple(statements),
            ("millrace migrate up",),
            note="Look first whether a table or column among these holds anything that is needed.",
        )


# --- statements -------------------------------------------------------------------------------------------------------


def _schema(name: str) -> str:
    return split(split(name)[0])[0]


def constraint_rank(definition: str) -> int:
    """Keys before what refers to them."""
    return 0 if definition.startswith(("PRIMARY KEY", "UNIQUE")) else 1


def _column(column: str, facts: Facts) -> str:
    text = f"{column} {facts['type']}"
    if "generated" in facts:
        text += f" generated always as ({facts['default']}) {facts['generated']}"
    elif "identity" in facts:
        text += f" generated {facts['identity']} as identity"
    elif "default" in facts:
        text += f" default {facts['default']}"
    return text if "nullable" in facts else f"{text} not null"


def _add_constraint(name: str, facts: Facts) -> Iterable[str]:
    """Foreign keys and checks in two steps, so that the table is not locked while its rows are read."""
    table, constraint = split(name)
    add = f"alter table {table} add constraint {constraint} {facts['definition']}"
    if not facts["definition"].startswith(("FOREIGN KEY", "CHECK")):
        yield f"{add};"
        return
    yield f"{add} not valid;"
    if "unvalidated" not in facts:
        yield f"alter table {table} validate constraint {constraint};"


def _create_index(facts: Facts) -> str:
    return re.sub(r"\ACREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", facts["definition"]) + ";"


def _drop_policy(name: str) -> str:
    table, policy = split(name)
    return f"drop policy {policy} on {table};"


def _create_policy(name: str, facts: Facts) -> str:
    table, policy = split(name)
    lines = [f"create policy {policy} on {table}"]
    if "restrictive" in facts:
        lines.append("    as restrictive")
    lines += [f"    for {facts['command']}", f"    to {', '.join(facts['roles'])}"]
    if "using" in facts:
        lines.append(f"    using ({facts['using']})")
    if "check" in facts:
        lines.append(f"    with check ({facts['check']})")
    return "\n".join(lines) + ";"


def _split_grant(name: str) -> tuple[str, str]:
    """``table public.item to anon`` as (what, whom)."""
    what, _, whom = name.rpartition(" to ")
    return what, whom


def _grant(name: str, wanted: Facts, found: Facts) -> Iterable[str]:
    what, whom = _split_grant(name)
    should, has = set(wanted.get("privileges", [])), set(found.get("privileges", []))
    if extra := sorted(has - should):
        yield from _revoke(extra, what, whom)
    if missing := sorted(should - has):
        yield f"grant {', '.join(missing)} on {what} to {whom};"
    for privilege in sorted({*wanted.get("columns", {}), *found.get("columns", {})}):
        listed, there = (set(facts.get("columns", {}).get(privilege, [])) for facts in (wanted, found))
        if extra := sorted(there - listed):
            yield f"revoke {privilege} ({', '.join(extra)}) on {what} from {whom};"
        if missing := sorted(listed - there):
            yield f"grant {privilege} ({', '.join(missing)}) on {what} to {whom};"


def _revoke(privileges: list[str], what: str, whom: str) -> Iterable[str]:
    option = " with grant option"
    passed_on = [privilege.removesuffix(option) for privilege in privileges if privilege.endswith(option)]
    if passed_on:
        yield f"revoke all on {what} from {whom} cascade;"
    if plain := [privilege for privilege in privileges if not privilege.endswith(option)]:
        yield f"revoke {', '.join(plain)} on {what} from {whom};"


def _default_privilege(name: str, wanted: Facts, found: Facts) -> Iterable[str]:
    what, whom = _split_grant(name)
    kind, _, schema = what.partition(" in ")
    alter = f"alter default privileges in schema {schema}" if schema else "alter default privileges"
    should, has = set(wanted.get("privileges", [])), set(found.get("privileges", []))
    if extra := sorted(has - should):
        yield f"{alter} revoke {', '.join(extra)} on {kind} from {whom};"
    if missing := sorted(should - has):
        yield f"{alter} grant {', '.join(missing)} on {kind} to {whom};"


ATTRIBUTES = ("superuser", "createrole", "createdb", "replication", "bypassrls")


def _alter_role(name: str, wanted: Facts, found: Facts) -> Iterable[str]:
    for attribute in ATTRIBUTES:
        if wanted.get(attribute) != found.get(attribute):
            yield f"alter role {name} {'' if wanted.get(attribute) else 'no'}{attribute};"
    for role in sorted(set(found.get("member_of", [])) - set(wanted.get("member_of", []))):
        yield f"revoke {role} from {name};"
    for setting in wanted.get("settings", []):
        if setting not in found.get("settings", []):
            parameter, _, value = setting.partition("=")
            yield f"alter role {name} set {parameter.lower()} = '{value}';"


def is_foreign_key(facts: Facts) -> bool:
    return str(facts.get("definition", "")).startswith("FOREIGN KEY")


def called_functions(snapshot: Snapshot) -> set[str]:
    """The functions that defaults, constraints, indexes and policies call."""
    texts = [
        str(one.facts.get(fact, ""))
        for kind in ("column", "constraint", "index", "policy")
        for one in snapshot.objects.get(kind, {}).values()
        for fact in ("default", "definition", "using", "check")
    ]
    called = {name for text in texts for name in re.findall(r"millrace\.\w+(?=\()", text)}
    return {name for name in snapshot.objects.get("function", {}) if name.partition("(")[0] in called}


def function_text(name: str, snapshot: Snapshot) -> str:
    """The statement that last defined the function, from the migration it was last changed in."""
    version, index = function_place(name, snapshot)
    return f"{_statements(version)[index]};"


def function_place(name: str, snapshot: Snapshot) -> tuple[str, int]:
    """Where the function was last defined: the migration's version, and the statement's number in it."""
    held = snapshot.objects["function"][name]
    plain = name.partition("(")[0]
    for version in (held.changed, held.since):
        for index, statement in reversed(list(enumerate(_statements(version)))):
            if re.match(rf"(?i)create\s+(or\s+replace\s+)?function\s+{re.escape(plain)}\s*\(", statement):
                return version, index
    raise LookupError(f"no migration defines {name}")


@functools.cache
def _statements(version: str) -> list[str]:
    """The statements of a migration, each without the comments before it."""
    for migration in migrations.read():
        if migration.version == version:
            return [re.sub(r"\A(\s*--[^\n]*\n|\s+)*", "", statement) for statement in migration.statements]
    return []
