"""Links the old system's users to those who sign in now: by confirmed e-mail, once, and only where there is no doubt.

Sign-in itself never links: whoever could confirm an address later would get another's workflows. Here one look at all
addresses decides, so that an address with two claimants goes to neither. Who is left is listed with what would help.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from infra.adopt.database import BATCH, Connection, connect, has_column
from shared.errors import Forbidden

_IDENTITIES = """
    select
        account.id,
        lower(account.email) as email,
        account.email_confirmed_at is not null as confirmed,
        coalesce((to_jsonb(account) ->> 'is_sso_user')::boolean, false) as foreign_sign_in
    from auth.users as account
    where lower(account.email) = any(%s)
        and to_jsonb(account) ->> 'deleted_at' is null
        and not coalesce((to_jsonb(account) ->> 'is_anonymous')::boolean, false)
"""


@dataclass(frozen=True)
class Identity:
    """An account of Supabase Auth."""

    id: uuid.UUID
    email: str
    confirmed: bool
    foreign_sign_in: bool  #: its e-mail is what another provider says (SAML)


@dataclass(frozen=True)
class Person:
    """A row of "user" that is linked to no account."""

    id: uuid.UUID
    email: str


@dataclass(frozen=True)
class Link:
    """A user and the account that is theirs."""

    user: uuid.UUID
    email: str
    account: uuid.UUID


@dataclass(frozen=True)
class Unlinked:
    """A user who cannot be linked, why, and what would help."""

    user: uuid.UUID
    email: str
    reason: str
    remedy: str


def match(
    people: Iterable[Person], identities: Iterable[Identity], taken: frozenset[uuid.UUID] = frozenset()
) -> tuple[list[Link], list[Unlinked]]:
    """Who is whom. ``taken`` are the accounts that a user has already."""
    people = list(people)
    found: dict[str, list[Identity]] = {}
    for identity in identities:
        found.setdefault(identity.email.lower(), []).append(identity)
    claims = Counter(person.email.lower() for person in people)
    links: list[Link] = []
    rest: list[Unlinked] = []
    for person in people:
        accounts = found.get(person.email.lower(), [])
        doubt = _doubt(person, accounts, claims[person.email.lower()], taken)
        if doubt is None:
            links.append(Link(person.id, person.email, accounts[0].id))
        else:
            rest.append(Unlinked(person.id, person.email, *doubt))
    return links, rest


def _doubt(
    person: Person, accounts: list[Identity], claimants: int, taken: frozenset[uuid.UUID]
) -> tuple[str, str] | None:
    again = "then run `millrace adopt` again."
    if claimants > 1:
        return (
            f"{claimants} users have this e-mail, told apart only by capitals",
            f"Keep it on one of them (change the others' `email`), {again}",
        )
    if not accounts:
        return "nobody signs in with this e-mail", f"Invite them in Supabase Auth and let them confirm it, {again}"
    if len(accounts) > 1:
        return (
            f"{len(accounts)} accounts have this e-mail",
            'Decide whose the row is and set "user".auth_id to that account\'s id.',
        )
    (account,) = accounts
    if account.foreign_sign_in:
        return (
            "the account's e-mail is only what a single sign-on provider says",
            f'If that provider is to be believed, set "user".auth_id to {account.id}.',
        )
    if not account.confirmed:
        return "the e-mail is not confirmed", f"Let them confirm it (Supabase Auth sends the message anew), {again}"
    if account.id in taken:
        return "the account belongs to another user already", "Merge or delete one of the two users."
    return None


def may_read_accounts(connection: Connection) -> bool:
    """Whether this role may read ``auth.users``: on Supabase ``postgres`` may."""
    row = connection.execute(
        """
        select coalesce(has_schema_privilege(namespace.oid, 'usage'), false)
            and coalesce(has_table_privilege(class.oid, 'select'), false)
            and (
                not class.relrowsecurity
                or exists (
                    select
                    from pg_roles
                    where rolname = current_user
                        and (rolbypassrls or rolsuper)
                )
                or pg_has_role(class.relowner, 'usage')
            ) as may
        from pg_namespace as namespace
        join pg_class as class on class.relnamespace = namespace.oid
        where namespace.nspname = 'auth'
            and class.relname = 'users'
        """
    ).fetchone()
    return bool(row and row["may"])


def unlinked(connection: Connection) -> list[Person]:
    """Everyone without an account; all, while the column is not there yet."""
    where = "where auth_id is null" if has_column(connection, 'public."user"', "auth_id") else ""
    rows = connection.execute(f'select id, email from public."user" {where} order by email, id')  # noqa: S608
    return [Person(row["id"], row["email"]) for row in rows]


def look(connection: Connection, auth_url: str | None) -> tuple[list[Link], list[Unlinked]]:
    """Who could be linked now, and who could not. Raises :class:`Forbidden` when the accounts cannot be read."""
    people = unlinked(connection)
    if not people:
        return [], []
    identities: list[Identity] = []
    if auth_url is None:
        if not may_read_accounts(connection):
            raise Forbidden(
                "This role may not read auth.users, by whose confirmed e-mails users are linked.",
                remedy="On Supabase use the role `postgres`; elsewhere give --auth-url (MILLRACE_AUTH_URL), an address "
                "with a role that may.",
            )
        identities = _identities(connection, people)
    else:
        try:
            with connect(auth_url) as other:
                if not may_read_accounts(other):
                    raise Forbidden(
                        "The role of --auth-url may not read auth.users.",
                        remedy="Give one that has usage of the schema `auth`, may select from auth.users and passes "
                        "by its row-level security.",
                    )
                identities = _identities(other, people)
        except psycopg.OperationalError as error:
            raise Forbidden(
                f"The database of --auth-url does not answer: {str(error).strip()}", remedy="Look at MILLRACE_AUTH_URL."
            ) from error
    return match(people, identities, _taken(connection, identities))


def _identities(connection: Connection, people: list[Person]) -> list[Identity]:
    emails = sorted({person.email.lower() for person in people})
    return [
        Identity(row["id"], row["email"], row["confirmed"], row["foreign_sign_in"])
        for start in range(0, len(emails), BATCH)
        for row in connection.execute(_IDENTITIES, [emails[start : start + BATCH]])
    ]


def _taken(connection: Connection, identities: list[Identity]) -> frozenset[uuid.UUID]:
    if not has_column(connection, 'public."user"', "auth_id"):
        return frozenset()
    rows = connection.execute(
        'select auth_id from public."user" where auth_id = any(%s)', [[identity.id for identity in identities]]
    )
    return frozenset(row["auth_id"] for row in rows)


def link(connection: Connection, links: list[Link]) -> int:
    """Link them; how many were not linked meanwhile."""
    done = 0
    for start in range(0, len(links), BATCH):
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                'update public."user" set auth_id = %s where id = %s and auth_id is null',
                [(one.account, one.user) for one in links[start : start + BATCH]],
            )
            done += cursor.rowcount
    return done
