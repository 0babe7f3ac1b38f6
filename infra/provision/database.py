"""What Postgres's refusals mean to whoever provisions."""

from __future__ import annotations

import psycopg

from infra.provision.outcome import Reason, Refusal

MIGRATE = "Apply the migrations first: `millrace migrate up`."


def explain(error: psycopg.Error) -> Refusal:
    """What was refused, in one line, and what helps."""
    said = (error.diag.message_primary or str(error).strip().splitlines()[-1] or type(error).__name__).rstrip(".") + "."
    match error.sqlstate:
        case "42501":
            return Refusal(
                said, "Connect as the owner: MILLRACE_MIGRATION_URL with the role `postgres`.", Reason.REFUSED
            )
        case "42883" | "3F000" | "42P01":  # no such function, schema, table
            return Refusal(said, MIGRATE)
        case "55P03":
            return Refusal(said, "Something else holds the table; run this again.")
        case "28P01" | "28000":
            return Refusal(said, "Look at the user and password in MILLRACE_MIGRATION_URL.", Reason.REFUSED)
    if isinstance(error, psycopg.OperationalError):
        return Refusal(
            f"The database does not answer: {said}",
            "Look at MILLRACE_MIGRATION_URL: a direct or session address, not the transaction pooler.",
            Reason.UNREACHABLE,
        )
    return Refusal(said, error.diag.message_hint or "Put it right in the database, and run this again.")
