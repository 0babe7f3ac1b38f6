"""The difference between what a database should hold and what it holds, told object by object.

What a pending migration would still bring, change or remove is no drift: the migration is what is missing. What is
there beside ours is drift where it can do harm (a grant, a policy, a rule for our rows, a function among ours) and else
a note: a team's own table, an index it added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.review.catalogue import GRANTEES, TENANTS, Catalogue, Facts
from infra.review.expression import settled
from infra.review.remedy import (
    Remedy,
    Restorer,
    called_functions,
    constraint_rank,
    function_place,
    is_foreign_key,
    split,
)
from infra.review.snapshot import Expected, Snapshot

#: Kinds in the order in which missing ones can be restored. Functions come twice: those that defaults, rules and
#: policies call before the tables, the others, which may name tables and columns, after them.
ORDER = [
    "schema",
    "extension",
    "role",
    "called function",
    "table",
    "column",
    "function",
    "constraint",
    "index",
    "policy",
    "trigger",
    "view",
    "grant",
    "default privilege",
]

_PARTS = {"column", "constraint", "index", "policy", "trigger"}

#: Facts that are expressions, which Postgres may write in more than one way.
_EXPRESSIONS = {"default", "definition", "using", "check"}

#: Where secrets wait during an adoption; its end removes it.
ADOPTING = "millrace.adopted_secret"

#: What a role may have beside what ours need: a team may bound it further.
_ADDABLE_ROLE_FACTS = ("settings",)


@dataclass(frozen=True)
class Drift:
    """One object that is not as it should be."""

    kind: str
    object: str
    says: str
    remedy: Remedy
    migration: str | None = None  #: where it is defined


@dataclass
class Difference:
    """All of it. ``early`` are objects of migrations that are not recorded as applied, by version."""

    drifts: list[Drift] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    early: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def parent(kind: str, name: str) -> tuple[str, str] | None:
    """The object whose absence explains this one's."""
    if kind in _PARTS:
        return "table", split(name)[0]
    if kind == "grant":
        what, _, rest = name.partition(" ")
        return what, rest.rpartition(" to ")[0]
    return None


def compare(
    snapshot: Snapshot, found: Catalogue, pending: set[str], restorer: Restorer, *, fresh: bool = False
) -> Difference:
    """``pending`` are the versions not applied; ``fresh`` says that not even the first is."""
    made = Difference()
    same = _renamed(snapshot, found)
    for rank in ORDER:
        kind = rank.removeprefix("called ")
        there = found.get(kind, {})
        for name, one in _in_order(rank, snapshot):
            facts = there.get(same.get((kind, name), name))
            if one.since in pending:
                if facts is not None and kind not in ("role", "schema", "extension"):
                    made.early.setdefault(one.since, []).append((kind, name))
            elif fresh:
                continue  # adoption settles what the old system made otherwise
            elif facts is None:
                above = parent(kind, name)
                # A table comes back with all of its own; what refers to others follows when all are there.
                refers = kind == "trigger" or is_foreign_key(one.facts)
                if above is None or above[1] in found.get(above[0], {}) or refers:
                    made.drifts.append(_missing(kind, name, one, restorer))
            elif one.changed not in pending and (said := list(_differences(kind, one.facts, facts))):
                remedy = restorer.alter(kind, name, facts)
                made.drifts.append(Drift(kind, name, "; ".join(said), remedy, one.changed))
        if not fresh and rank == kind:
            _beside(kind, snapshot, found, pending, restorer, set(same.values()), made)
    return made


def _in_order(rank: str, snapshot: Snapshot) -> list[tuple[str, Expected]]:
    """Keys before the constraints that refer to them; functions as the migrations make them."""
    kind = rank.removeprefix("called ")
    wanted = snapshot.objects.get(kind, {})
    if kind == "constraint":
        return sorted(wanted.items(), key=lambda item: constraint_rank(item[1].facts["definition"]))
    if kind == "function":
        called = called_functions(snapshot)
        ranked = {name: one for name, one in wanted.items() if (name in called) == (rank != kind)}
        return sorted(ranked.items(), key=lambda item: function_place(item[0], snapshot))
    return list(wanted.items())


def _missing(kind: str, name: str, one: Expected, restorer: Restorer) -> Drift:
    granted = kind in ("grant", "default privilege")
    return Drift(
        kind,
        name,
        "; ".join(_privileges(one.facts, {})) if granted else "is missing",
        restorer.create(kind, name),
        one.changed,
    )


def _renamed(snapshot: Snapshot, found: Catalogue) -> dict[tuple[str, str], str]:
    """Constraints and indexes that are there under another name, as in a database that another tool made."""
    made = {}
    for kind in ("constraint", "index"):
        wanted, there = snapshot.objects.get(kind, {}), found.get(kind, {})
        free: dict[tuple[str, str], list[str]] = {}
        for name, facts in there.items():
            if name not in wanted:
                free.setdefault((split(name)[0], _nameless(facts)), []).append(name)
        for name, one in wanted.items():
            if name not in there and (others := free.get((split(name)[0], _nameless(one.facts)))):
                made[kind, name] = others.pop()
    return made


def _nameless(facts: Facts) -> str:
    """A definition without the name, in the one form."""
    text = re.sub(r'\A(CREATE (?:UNIQUE )?INDEX) ("(?:[^"]|"")*"|\S+) ON', r"\1 ON", str(facts["definition"]))
    return settled(text)


# --- what differs -----------------------------------------------------------------------------------------------------

_SAYS: dict[tuple[str, str], tuple[str, str]] = {  # (kind, fact) to what is said when it is lacking, or too much
    ("table", "row_security"): ("has row-level security off", "has row-level security on"),
    ("table", "forced"): ("does not force row-level security on its owner", "forces row-level security on its owner"),
    ("table", "unlogged"): ("is logged", "is unlogged: a crash would empty it"),
    ("table", "unenforced"): ("", "does not enforce its foreign keys: their triggers are disabled"),
    ("column", "nullable"): ("is not null, should be nullable", "may be null, should be not null"),
    ("index", "invalid"): ("", "is invalid: building it was interrupted"),
    ("constraint", "unvalidated"): ("", "was never validated"),
    ("trigger", "disabled"): ("is enabled", "is disabled"),
    ("function", "security_definer"): ("runs as its caller, should be security definer", "is security definer"),
    ("function", "strict"): ("is called on null, should be strict", "is strict"),
    ("policy", "restrictive"): ("is permissive", "is restrictive"),
}


def _differences(kind: str, wanted: Facts, found: Facts) -> Iterator[str]:
    """What is different, in words; nothing when the two do the same."""
    if kind in ("grant", "default privilege"):
        yield from _privileges(wanted, found)
        return
    for fact in sorted({*wanted, *found}):
        should, has = wanted.get(fact), found.get(fact)
        if should == has or (fact in _EXPRESSIONS and _told(kind, wanted, fact) == _told(kind, found, fact)):
            continue
        if said := _SAYS.get((kind, fact)):
            if sentence := said[0] if should else said[1]:
                yield sentence
        elif kind == "function" and fact == "source":
            yield "has an edited body"
        elif fact == "owner":
            yield f"belongs to {has}"
        elif kind == "role" and fact in _ADDABLE_ROLE_FACTS:
            if lacking := [setting for setting in should or [] if setting not in (has or [])]:
                yield f"lacks {', '.join(lacking)}"
        elif kind == "role" and fact == "member_of":
            if extra := sorted(set(has or []) - set(should or [])):
                yield f"is a member of {', '.join(extra)}"
        elif kind == "role":
            yield f"lacks {fact}" if should else f"has {fact}"
        else:
            yield f"has {fact.replace('_', ' ')} {_shown(has)}, should be {_shown(should)}"


def _told(kind: str, facts: Facts, fact: str) -> str | None:
    """An expression in the one form. An index's definition holds its name, which does not count."""
    if fact == "definition" and kind == "index":
        return _nameless(facts)
    return settled(str(facts[fact])) if fact in facts else None


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case list():
            return ", ".join(map(str, value))
        case _:
            return f"`{value}`"


def _privileges(wanted: Facts, found: Facts) -> Iterator[str]:
    should, has = set(wanted.get("privileges", [])), set(found.get("privileges", []))
    if missing := sorted(should - has):
        yield f"lacks {', '.join(missing)}"
    if extra := sorted(has - should):
        yield f"also has {', '.join(extra)}"
    for privilege in sorted({*wanted.get("columns", {}), *found.get("columns", {})}):
        listed, there = (set(facts.get("columns", {}).get(privilege, [])) for facts in (wanted, found))
        if missing := sorted(listed - there):
            yield f"lacks {privilege} on {', '.join(missing)}"
        if extra := sorted(there - listed):
            yield f"also has {privilege} on {', '.join(extra)}"


# --- what is there beside ours ----------------------------------------------------------------------------------------


def _beside(
    kind: str,
    snapshot: Snapshot,
    found: Catalogue,
    pending: set[str],
    restorer: Restorer,
    renamed: set[str],
    made: Difference,
) -> None:
    wanted, removed = snapshot.objects.get(kind, {}), snapshot.removed.get(kind, {})
    tables = snapshot.objects["table"]
    foreign: dict[str, int] = {}
    for name, facts in found.get(kind, {}).items():
        if name in wanted or name in renamed or removed.get(name) in pending:
            continue
        above = parent(kind, name)
        if above is not None and above[0] == "table" and above[1] not in tables:
            continue  # part of a table that is not ours: that was noted, or belongs to Supabase
        if above is not None and above[0] == "function" and above[1] not in snapshot.objects["function"]:
            continue  # goes with the function
        if kind in ("grant", "default privilege") and (whom := name.rpartition(" to ")[2]) not in GRANTEES:
            if kind == "grant":
                foreign[whom] = foreign.get(whom, 0) + 1
            continue
        match kind:
            case "table" if name == ADOPTING:
                remedy = Remedy(commands=("millrace adopt",), note="It goes on where it was interrupted.")
                _add(made, kind, name, "holds secrets of an adoption that has not ended", remedy)
            case "table":
                made.notes.append(f"table {name} is not ours{_exposed(name, facts, found)}")
            case "view":
                readers = ", ".join(facts["readers"])
                _add(
                    made,
                    kind,
                    name,
                    f"shows {readers} our rows past row-level security",
                    restorer.drop(kind, name, facts),
                )
            case "column" if "nullable" in facts or "default" in facts or "identity" in facts:
                made.notes.append(f"column {name} is not ours")
            case "column":
                _add(made, kind, name, "is not ours, and refuses our inserts", restorer.drop(kind, name, facts))
            case "index" if "unique" not in facts:
                made.notes.append(f"index {name} is not ours")
            case "grant" | "default privilege":
                said = "; ".join(_privileges({}, facts)).replace("also has", "has")
                _add(made, kind, name, f"{said}, should have nothing", restorer.alter(kind, name, facts))
            case _:
                _add(made, kind, name, "is not ours", restorer.drop(kind, name, facts))
    made.notes += [f"role {role} has grants on {count} of our objects" for role, count in sorted(foreign.items())]


def _exposed(table: str, facts: Facts, found: Catalogue) -> str:
    """What Supabase's own linter would say of a table without policies that its API shows to everyone."""
    open_to = [role for role in TENANTS if f"table {table} to {role}" in found["grant"]]
    return (
        f", and open to {', '.join(open_to)} without row-level security"
        if open_to and not facts.get("row_security")
        else ""
    )


def _add(made: Difference, kind: str, name: str, says: str, remedy: Remedy) -> None:
    made.drifts.append(Drift(kind, name, says, remedy))
