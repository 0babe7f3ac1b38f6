"""Signing in makes an account and never takes one over; platform tokens act within their scopes until revoked."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

import shared.tenant
from tests.cluster import TestDatabase, User
from tests.functions.gateway import GRAPH, SECRET, Gateway, sign

ME = "/api/v1/users/me"
TOKENS = f"{ME}/tokens"


def newcomer(email: str | None = "new@example.com") -> User:
    """Somebody whom the identity provider knows, and we do not yet."""
    id_ = uuid.uuid4()
    claims: dict[str, Any] = {"sub": str(id_), "role": "authenticated", "aud": "authenticated"}
    if email is not None:
        claims["email"] = email
    return User(id_, id_, email or "", claims)


def test_a_new_subject_gets_an_account_whose_id_is_the_subject(gateway: Gateway) -> None:
    user = newcomer()
    me = gateway.as_(sign(user, user_metadata={"full_name": "Ada"})).get(ME)
    assert me.status == 200
    assert me.json == {
        "id": str(user.id), "email": "new@example.com", "full_name": "Ada", "is_active": True, "is_superuser": False,
    }  # fmt: skip


def test_a_subject_without_an_address_gets_an_account_too(gateway: Gateway) -> None:
    user = newcomer(email=None)
    assert gateway.as_(sign(user)).get(ME).json["email"].endswith(".invalid")


@pytest.mark.parametrize("email", ["old@example.com", "OLD@Example.com"])
def test_signing_in_never_takes_over_an_unlinked_account_of_the_same_address(
    db: TestDatabase, gateway: Gateway, email: str
) -> None:
    db.owner.execute("insert into \"user\" (id, email) values (gen_random_uuid(), 'old@example.com')")
    refused = gateway.as_(sign(newcomer(email))).get(ME)
    assert refused.problem["status"] == 409
    assert "auth_id" in refused.problem["remedy"]
    assert db.owner.execute('select auth_id from "user"').fetchall() == [{"auth_id": None}]


def test_an_account_linked_by_an_operator_keeps_its_old_id(db: TestDatabase, gateway: Gateway) -> None:
    user, old = newcomer("old@example.com"), uuid.uuid4()
    db.owner.execute(
        "insert into \"user\" (id, email, auth_id) values (%s, 'old@example.com', %s)", [old, user.auth_id]
    )
    assert gateway.as_(sign(user)).get(ME).json["id"] == str(old)


def test_two_first_requests_at_once_make_one_account(db: TestDatabase, gateway: Gateway) -> None:
    user = newcomer()
    call = "select user_id from millrace.sign_in(%s, 'new@example.com', null)"
    first, second = db.connect("millrace_api"), db.connect("millrace_api")
    first.execute("begin")
    first.execute(call, [user.id])
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.extend(second.execute(call, [user.id]).fetchall()))
    thread.start()
    db.wait_until_blocked(second)
    first.execute("commit")
    thread.join()
    assert answers == [{"user_id": user.id}]


def test_a_deactivated_account_is_shut_out_at_once(db: TestDatabase, api: Gateway, user: User) -> None:
    assert api.get(ME).status == 200
    db.owner.execute('update "user" set is_active = false where id = %s', [user.id])
    assert api.get(ME).problem["status"] == 401  # what was remembered of the sign-in does not help
    assert api.patch(ME, {"full_name": "x"}).status == 401
    shared.tenant.gate.cache_clear()
    assert api.get(ME).problem["status"] == 403


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "mr_nonsense",
        "mr_",
        "e30.e30.e30",
        jwt.encode({"sub": str(uuid.uuid4()), "aud": "authenticated", "exp": 1}, SECRET),
        jwt.encode({"sub": str(uuid.uuid4()), "aud": "elsewhere", "exp": 9_999_999_999}, SECRET),
        jwt.encode({"sub": str(uuid.uuid4()), "aud": "authenticated", "exp": 9_999_999_999}, "another " * 5),
        jwt.encode({"sub": str(uuid.uuid4()), "aud": "authenticated", "exp": 9_999_999_999}, None, algorithm="none"),
        jwt.encode({"sub": "no uuid", "aud": "authenticated", "exp": 9_999_999_999}, SECRET),
    ],
    ids=["nonsense", "no-token", "empty", "no-jwt", "expired", "audience", "wrong-key", "alg-none", "subject"],
)
def test_a_token_that_is_not_good_is_no_token(db: TestDatabase, gateway: Gateway, token: str) -> None:
    refused = gateway.as_(token).get(ME)
    assert refused.problem["status"] == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.problem["remedy"]
    assert db.owner.execute('select count(*) as n from "user"').fetchone() == {"n": 0}


def test_the_account_can_be_changed_but_not_its_address_or_rights(api: Gateway) -> None:
    assert api.patch(ME, {"full_name": "Ada Miller"}).json["full_name"] == "Ada Miller"
    assert api.patch(ME, {"full_name": None}).json["full_name"] is None
    for field, value in (("email", "x@example.com"), ("is_superuser", True), ("id", str(uuid.uuid4()))):
        assert api.patch(ME, {field: value}).paths == [field]


def test_a_deleted_account_takes_everything_with_it(db: TestDatabase, api: Gateway, other: Gateway) -> None:
    theirs = other.post("/api/v1/workflows", {"name": "theirs", "graph_config": GRAPH}).json["id"]
    made = api.post("/api/v1/workflows", {"name": "Mill", "graph_config": GRAPH}).json["id"]
    api.post(f"/api/v1/workflows/{made}/run")
    api.post("/api/v1/workflows/webhooks/subscriptions", {"workflow_id": made})
    api.post(TOKENS, {"name": "t", "scopes": ["*"]})
    assert api.delete(ME).status == 204
    for table, left in (("workflow", 1), ("workflowexecution", 0), ("secret", 0), ("apitoken", 0)):
        assert db.owner.execute(f"select count(*) as n from {table}").fetchone() == {"n": left}, table
    assert db.owner.execute("select count(*) as n from millrace.run").fetchone() == {"n": 0}
    assert other.get(f"/api/v1/workflows/{theirs}").status == 200


# Platform tokens ------------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_kept_as_a_hash(db: TestDatabase, api: Gateway) -> None:
    made = api.post(TOKENS, {"name": "deploy", "scopes": ["workflows:read"]})
    assert made.status == 201
    token = made.json["token"]
    assert token.startswith("mr_")
    assert token.startswith(made.json["prefix"])
    assert "token" not in api.get(TOKENS).json["items"][0]
    assert token not in api.get(TOKENS).text
    kept = str(db.owner.execute("select * from apitoken").fetchall())
    assert token not in kept


def test_a_token_does_what_its_scopes_say_and_no_more(gateway: Gateway, api: Gateway) -> None:
    token = api.post(TOKENS, {"name": "reader", "scopes": ["workflows:read", "account:read"]}).json["token"]
    reader = gateway.as_(token)
    assert reader.get(ME).json == api.get(ME).json
    assert reader.get("/api/v1/workflows").status == 200
    for refused in (
        reader.post("/api/v1/workflows", {"name": "x", "graph_config": GRAPH}),
        reader.get("/api/v1/workflows/executions"),
        reader.get(TOKENS),
        reader.get("/api/v1/items"),
    ):
        assert refused.problem["status"] == 403
        assert "scope" in refused.problem["detail"]


def test_a_token_makes_no_token_of_more_than_its_own_scopes(gateway: Gateway, api: Gateway) -> None:
    token = api.post(TOKENS, {"name": "maker", "scopes": ["tokens:write", "runs:read"]}).json["token"]
    maker = gateway.as_(token)
    assert maker.post(TOKENS, {"name": "less", "scopes": ["runs:read"]}).status == 201
    for scopes in (["runs:write"], ["*"], ["runs:read", "account:write"]):
        assert maker.post(TOKENS, {"name": "more", "scopes": scopes}).problem["status"] == 403


def test_a_token_cannot_delete_the_account(gateway: Gateway, api: Gateway) -> None:
    token = api.post(TOKENS, {"name": "all", "scopes": ["*"]}).json["token"]
    assert gateway.as_(token).delete(ME).problem["status"] == 403
    assert api.get(ME).status == 200


def test_a_revoked_token_works_no_more_and_stays_in_the_list(gateway: Gateway, api: Gateway) -> None:
    made = api.post(TOKENS, {"name": "t", "scopes": ["*"]}).json
    bearer = gateway.as_(made["token"])
    assert bearer.get(ME).status == 200
    assert api.delete(f"{TOKENS}/{made['id']}").status == 204
    assert bearer.get(ME).problem["status"] == 401
    [listed] = api.get(TOKENS).json["items"]
    since = listed["revoked_at"]
    assert since
    assert api.delete(f"{TOKENS}/{made['id']}").status == 204  # again: nothing changes
    assert api.get(TOKENS).json["items"][0]["revoked_at"] == since


def test_a_token_works_until_it_expires(db: TestDatabase, gateway: Gateway, api: Gateway) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = api.post(TOKENS, {"name": "t", "scopes": ["*"], "expires_at": soon}).json
    assert gateway.as_(made["token"]).get(ME).status == 200
    db.owner.execute("update apitoken set expires_at = millrace.now() - interval '1 second'")
    assert gateway.as_(made["token"]).get(ME).status == 401
    past = api.post(TOKENS, {"name": "t", "scopes": ["*"], "expires_at": "2020-01-01T00:00:00Z"})
    assert past.paths == ["expires_at"]
    assert api.post(TOKENS, {"name": "t", "scopes": ["*"], "expires_at": "2120-01-01T00:00:00"}).status == 422


def test_last_used_is_written_at_most_once_a_minute(db: TestDatabase, gateway: Gateway, api: Gateway) -> None:
    token = api.post(TOKENS, {"name": "t", "scopes": ["*"]}).json["token"]
    bearer = gateway.as_(token)

    def last_used() -> Any:
        return api.get(TOKENS).json["items"][0]["last_used_at"]

    assert last_used() is None
    bearer.get(ME)
    first = last_used()
    assert first
    bearer.get(ME)
    assert last_used() == first
    db.owner.execute("update apitoken set last_used_at = last_used_at - interval '61 seconds'")
    bearer.get(ME)
    assert last_used() >= first


def test_a_token_in_use_never_waits_for_another_use_of_it(db: TestDatabase, gateway: Gateway, api: Gateway) -> None:
    token = api.post(TOKENS, {"name": "t", "scopes": ["*"]}).json["token"]
    holder = db.connect("postgres")
    holder.execute("begin")
    holder.execute("select from apitoken for update")
    assert gateway.as_(token).get(ME).status == 200
    holder.execute("rollback")


def test_a_token_of_a_deactivated_account_is_no_token(
    db: TestDatabase, gateway: Gateway, api: Gateway, user: User
) -> None:
    token = api.post(TOKENS, {"name": "t", "scopes": ["*"]}).json["token"]
    db.owner.execute('update "user" set is_active = false where id = %s', [user.id])
    assert gateway.as_(token).get(ME).status == 401


def test_a_token_is_asked_for_once_in_a_few_seconds(
    db: TestDatabase, gateway: Gateway, api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remembered token costs no round trip of its own; the price is that revoking takes as long to be heard of."""
    made = api.post(TOKENS, {"name": "t", "scopes": ["*"]}).json
    monkeypatch.setenv("MILLRACE_TOKEN_CACHE_SECONDS", "5")
    shared.settings.forget()
    shared.tenant.gate.cache_clear()
    bearer = gateway.as_(made["token"])
    assert bearer.get(ME).status == 200
    db.owner.execute("update apitoken set revoked_at = now()")
    assert bearer.get(ME).status == 200
    shared.tenant.gate().forget(uuid.UUID(api.get(ME).json["id"]))
    assert bearer.get(ME).status == 401


def test_unknown_scopes_are_refused_by_name(api: Gateway) -> None:
    refused = api.post(TOKENS, {"name": "t", "scopes": ["workflows:rite"]})
    assert refused.paths == ["scopes"]
    assert "workflows:rite" in refused.text
    assert "workflows:write" in refused.text


def test_a_tenant_has_a_bounded_number_of_live_tokens(db: TestDatabase, api: Gateway, user: User) -> None:
    api.get(ME)
    db.owner.execute(
        "insert into apitoken (owner_id, name, token_hash, prefix)"
        " select %s, 't', sha256(n::text::bytea), 'mr_' from generate_series(1, 100) n",
        [user.id],
    )
    assert api.post(TOKENS, {"name": "t", "scopes": ["*"]}).problem["status"] == 409
    first = api.get(TOKENS, limit=60).json
    assert len(first["items"]) + len(api.get(TOKENS, limit=60, cursor=first["next"]).json["items"]) == 100
