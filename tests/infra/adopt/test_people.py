"""Users are linked to those who sign in: by confirmed e-mail, once, and only where there is no doubt."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.adopt.people import Identity, Link, Person, match
from shared.errors import Forbidden
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old

A, B, C, D = (uuid.UUID(int=n) for n in range(1, 5))


def test_each_who_can_be_linked_is_linked_and_the_rest_are_listed_with_what_would_help(old: Old) -> None:
    done = old.adopt()
    assert done.linked == old_system.LINKABLE
    rows = old.owner.execute('select email, auth_id from "user" where auth_id is not null').fetchall()
    linkable = [person["email"] for person in old_system.PEOPLE[: old_system.LINKABLE]]
    assert {row["email"]: row["auth_id"] for row in rows} == {email: old_system.account(email) for email in linkable}
    assert {one.email: one.reason for one in done.after.unlinked} == {
        "cyd@example.com": "the e-mail is not confirmed",
        "dan@example.com": "nobody signs in with this e-mail",
        "eve@example.com": "2 users have this e-mail, told apart only by capitals",
        "EVE@example.com": "2 users have this e-mail, told apart only by capitals",
        "gus@example.com": "the account's e-mail is only what a single sign-on provider says",
        "ivy@example.com": "2 accounts have this e-mail",
        "liz@example.com": "nobody signs in with this e-mail",
    }
    assert all(one.remedy for one in done.after.unlinked)


def test_who_confirms_later_is_linked_by_another_adoption_and_nobody_is_linked_twice(old: Old) -> None:
    old.adopt()
    before = old.owner.execute('select id, auth_id from "user" where auth_id is not null').fetchall()
    admin = old.connect("supabase_admin")
    admin.execute("update auth.users set email_confirmed_at = now() where email = 'cyd@example.com'")
    # A linked user's account may change its e-mail: that changes nothing here.
    admin.execute("update auth.users set email = 'dan@example.com' where email = 'ada@example.com'")
    done = old.adopt()
    assert done.linked == 1
    now = old.owner.execute('select id, auth_id from "user" where auth_id is not null').fetchall()
    assert [row for row in now if row in before] == before or {tuple(row.values()) for row in before} < {
        tuple(row.values()) for row in now
    }
    reasons = {one.email: one.reason for one in done.after.unlinked}
    assert reasons["dan@example.com"] == "the account belongs to another user already"


def test_a_role_that_may_read_the_accounts_needs_no_second_address(old: Old) -> None:
    admin = old.connect("supabase_admin")
    admin.execute("grant usage on schema auth to postgres")
    admin.execute("grant select on auth.users to postgres")
    assert old.adopt(auth_url=None).linked == old_system.LINKABLE


def test_without_the_right_to_read_them_nothing_is_begun(old: Old) -> None:
    before = old_system.snapshot(old.owner)
    with pytest.raises(Forbidden, match=r"may not read auth\.users") as refused:
        old.adopt(auth_url=None)
    assert "--auth-url" in (refused.value.remedy or "")
    with pytest.raises(Forbidden, match="role of --auth-url may not read"):
        old.adopt(auth_url=old.url("millrace_api"))
    with pytest.raises(Forbidden, match="does not answer"):
        old.adopt(auth_url="postgresql://nobody@127.0.0.1:1/none")
    assert old_system.snapshot(old.owner) == before
    assert old.owner.execute("select to_regclass('millrace.adopted_secret') as made").fetchone() == {"made": None}


def test_an_account_that_is_taken_goes_to_nobody_else() -> None:
    links, rest = match([Person(A, "a@x")], [Identity(B, "a@x", True, False)], frozenset({B}))
    assert links == []
    assert rest[0].reason == "the account belongs to another user already"


_EMAILS = st.sampled_from(["a@x", "A@x", "b@x", "B@X", "c@x"])


@given(
    st.lists(_EMAILS, max_size=6, unique=True),
    st.lists(st.tuples(_EMAILS, st.booleans(), st.booleans()), max_size=6),
    st.sets(st.integers(0, 5)),
)
def test_no_account_goes_to_two_users_and_everyone_is_linked_or_listed(
    emails: list[str], accounts: list[tuple[str, bool, bool]], taken: set[int]
) -> None:
    people = [Person(uuid.UUID(int=100 + n), email) for n, email in enumerate(emails)]
    identities = [
        Identity(uuid.UUID(int=n), email.lower(), confirmed, foreign)
        for n, (email, confirmed, foreign) in enumerate(accounts)
    ]
    links, rest = match(people, identities, frozenset(uuid.UUID(int=n) for n in taken))
    assert sorted([*(one.user for one in links), *(one.user for one in rest)]) == sorted(one.id for one in people)
    assert len({one.account for one in links}) == len(links)
    known = {one.id: one for one in identities}
    for link in links:
        account = known[link.account]
        assert isinstance(link, Link)
        assert account.confirmed
        assert not account.foreign_sign_in
        assert account.email == link.email.lower()
        assert link.account.int not in taken
