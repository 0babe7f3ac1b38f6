"""A review as Markdown, for a pull request or a ticket."""

from __future__ import annotations

from collections.abc import Iterator

from infra.migrations import State
from infra.review.review import OURS_SINCE, Review, Table

_TITLES = {"rag": "RAG", "ocr": "OCR", "osint": "OSINT", "engine": "Engine (not exposed to tenants)"}
_PLURAL = {"index": "indexes", "policy": "policies"}


def markdown(review: Review) -> str:
    """The whole report."""
    parts = [
        *_summary(review),
        *_drift(review),
        *_tables(review),
        *_storage(review),
        *_migrations(review),
        *_models(review),
        *_checklist(review),
        *_next_steps(review),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _summary(review: Review) -> Iterator[str]:
    server = review.server
    yield "# Migration review\n"
    yield f"Database `{server.database}`, Postgres {server.version}, read as `{server.role}`."
    yield f"{review.at:%Y-%m-%d %H:%M} UTC.\n"
    if review.clean:
        yield "**Clean**: the database and the buckets are what this version of Millrace expects.\n"
    else:
        yield f"**{_many(len(review.drifts), 'drift')}.** Each is named below with what restores it.\n"
    yield "| what | as expected | expected |\n|---|---:|---:|"
    for kind, (good, all_) in review.counts.items():
        if all_:
            yield f"| {_PLURAL.get(kind, f'{kind}s')} | {good} | {all_} |"
    yield f"| buckets | {sum(not held.drifts for held in review.buckets)} | {len(review.buckets)} |"
    applied = sum(row.state in (State.APPLIED, State.INHERITED) for row in review.migrations)
    yield f"| migrations | {applied} | {sum(row.state is not State.UNKNOWN for row in review.migrations)} |"
    matching, models = review.models
    yield f"| row models | {matching} | {models} |"
    yield ""


def _drift(review: Review) -> Iterator[str]:
    if review.drifts:
        yield "## Drift\n"
    for number, drift in enumerate(review.drifts, 1):
        yield f"### {number}. {drift.kind} `{drift.object}` {drift.says}\n"
        remedy = drift.remedy
        if remedy.sql:
            yield "```sql\n" + "\n".join(remedy.sql) + "\n```\n"
        if remedy.commands:
            yield "```sh\n" + "\n".join(remedy.commands) + "\n```\n"
        said = [remedy.note] if remedy.note else []
        if drift.migration and drift.kind != "migration":
            said.append(f"Defined in `{_file(review, drift.migration)}`.")
        if said:
            yield " ".join(said) + "\n"
    if review.notes:
        yield "## Beside ours\n"
        yield "No drift; for you to know.\n"
        yield "\n".join(f"- {note}" for note in review.notes) + "\n"


def _file(review: Review, version: str) -> str:
    name = next((row.name for row in review.migrations if row.version == version), "")
    return f"sql/migrations/{version}_{name}.sql"


def _tables(review: Review) -> Iterator[str]:
    inherited = [table for table in review.tables if table.inherited]
    yield "## Tables by domain\n"
    yield f"{len(inherited)} inherited tables and {len(review.tables) - len(inherited)} of our own.\n"
    domains: dict[str, list[Table]] = {}
    for table in review.tables:
        domains.setdefault(table.domain, []).append(table)
    for domain in sorted(domains, key=lambda domain: (domain == "engine", domain)):
        yield f"### {_TITLES.get(domain, domain.capitalize())}\n"
        yield "| table | origin | columns | foreign keys | other constraints | indexes | policies | RLS | state |"
        yield "|---|---|---:|---:|---:|---:|---:|---|---|"
        for table in domains[domain]:
            state = "missing" if not table.there else _many(table.drifts, "drift") if table.drifts else "ok"
            yield (
                f"| `{table.name}` | {'inherited' if table.inherited else 'ours'} | {table.columns} "
                f"| {table.foreign_keys} | {table.constraints} | {table.indexes} | {table.policies} "
                f"| {'on' if table.row_security else 'off'} | {state} |"
            )
        yield ""


def _storage(review: Review) -> Iterator[str]:
    yield "## Storage\n"
    yield "| bucket | where | should be | is | state |\n|---|---|---|---|---|"
    for held in review.buckets:
        state = "; ".join(drift.says for drift in held.drifts) or "ok"
        yield f"| `{held.name}` | {held.place} | {held.should} | {held.says} | {state} |"
    yield ""


def _migrations(review: Review) -> Iterator[str]:
    yield "## Migrations\n"
    yield "| version | name | of | state |\n|---|---|---|---|"
    for row in review.migrations:
        of = "another project" if row.state is State.UNKNOWN else "ours" if row.version >= OURS_SINCE else "inherited"
        yield f"| {row.version} | {row.name} | {of} | {row.state} |"
    yield ""


def _models(review: Review) -> Iterator[str]:
    yield "## Row models\n"
    matching, models = review.models
    if matching == models:
        yield "Every row model in `shared/models` matches its table: names, types, what may be null.\n"
    else:
        yield f"{matching} of {models} row models in `shared/models` match their table.\n"
    if review.mismatches:
        yield "\n".join(f"- `{one.table}`: {one.says}" for one in review.mismatches) + "\n"


#: What is ticked off, and the kinds of drift that speak against it.
CHECKS = [
    ("Every migration is applied, none was edited", {"migration"}),
    ("Every table and column is there, with its type and default", {"schema", "table", "column", "extension"}),
    ("Every foreign key, check and unique key is there", {"constraint"}),
    ("Every index is there and valid", {"index"}),
    ("Row-level security is on, with the policies that were written, and no other", {"policy", "row security"}),
    ("Tenants, `anon` and our roles may do what was granted, and no more", {"grant", "default privilege", "role"}),
    ("Every function does what was written", {"function", "trigger"}),
    ("Every bucket is there and as private as declared", {"bucket"}),
    ("Every row model matches its table", {"row model"}),
]


def _checklist(review: Review) -> Iterator[str]:
    kinds = {drift.kind for drift in review.drifts}
    if any("row-level security" in drift.says for drift in review.drifts if drift.kind == "table"):
        kinds.add("row security")
    if review.models[0] < review.models[1]:
        kinds.add("row model")
    yield "## Checklist\n"
    yield "\n".join(f"- [{' ' if kinds & against else 'x'}] {what}" for what, against in CHECKS) + "\n"


def _next_steps(review: Review) -> Iterator[str]:
    steps = []
    states = {row.state for row in review.migrations}
    if any("half applied" in drift.says for drift in review.drifts):
        steps.append("Decide about the half-applied migration first: its objects are in the way of applying it.")
    if states & {State.EDITED, State.LATE}:
        steps.append("Restore the migration files: nothing else is applied before that.")
    if State.PENDING in states:
        steps.append("Apply what is pending: `millrace migrate up`.")
    if any(drift.remedy.sql for drift in review.drifts):
        steps.append("Run the SQL above as the owner, in its order (`concurrently` needs to be outside a transaction).")
    if any(held.drifts for held in review.buckets):
        steps.append("Restore the buckets.")
    if steps:
        steps.append("Review again: `millrace review` exits 0 when nothing is left.")
    else:
        steps.append("Nothing to do. Run `millrace review` after each deployment; it exits 1 on any drift.")
    yield "## Next steps\n"
    yield "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
