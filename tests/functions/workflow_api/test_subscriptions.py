"""A webhook subscription: an address nobody can guess, a secret shown once and sealed, a ledger to read."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from shared.secrets import opener
from shared.settings import SecretSettings
from tests.cluster import TestDatabase, User
from tests.functions.gateway import Gateway

HERE = "/api/v1/workflows/webhooks/subscriptions"


def stored_secret(db: TestDatabase, user: User, keys: Path) -> str:
    """The one secret in the database, opened as the intake opens it."""
    row = db.owner.execute("select * from secret").fetchone()
    assert row is not None
    assert row["owner_id"] == user.id
    opens = opener(SecretSettings(secret_key_file=keys))
    return opens(user.id, row["id"], row["key_id"], row["nonce"], row["ciphertext"])


def test_a_subscription_gets_an_address_that_cannot_be_guessed(api: Gateway, workflow: dict[str, Any]) -> None:
    made = api.post(HERE, {"workflow_id": workflow["id"], "webhook_path": "/git/push", "scheme": "github"})
    assert made.status == 201
    assert re.fullmatch(r"/[a-z0-9]{12}/git/push", made.json["webhook_path"])
    assert made.json["url"] == f"https://api.example.com/hooks{made.json['webhook_path']}"
    assert made.headers["location"] == f"{HERE}/{made.json['id']}"
    again = api.post(HERE, {"workflow_id": workflow["id"], "webhook_path": "git/push", "scheme": "github"})
    assert again.json["webhook_path"] != made.json["webhook_path"]


def test_a_secret_made_here_is_shown_once_and_kept_sealed(
    db: TestDatabase, user: User, api: Gateway, workflow: dict[str, Any], tmp_path: Path
) -> None:
    made = api.post(HERE, {"workflow_id": workflow["id"], "scheme": "standard-webhooks"}).json
    assert made["secret"].startswith("whsec_")
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
    assert stored_secret(db, user, tmp_path / "keys.json") == made["secret"]
    for answer in (api.get(f"{HERE}/{made['id']}"), api.get(HERE), api.patch(f"{HERE}/{made['id']}", {"name": "x"})):
        assert answer.status == 200
        assert made["secret"] not in answer.text
        assert '"secret"' not in answer.text


def test_a_secret_that_was_given_is_never_shown(
    db: TestDatabase, user: User, api: Gateway, workflow: dict[str, Any], tmp_path: Path
) -> None:
    given = "c4n4ry-of-the-mill"
    made = api.post(HERE, {"workflow_id": workflow["id"], "scheme": "stripe", "secret": given})
    assert (made.status, made.json["secret"]) == (201, None)
    assert given not in made.text
    assert stored_secret(db, user, tmp_path / "keys.json") == given


@pytest.mark.parametrize("scheme", ["stripe", "slack", "shopify", "twilio"])
def test_where_the_sender_makes_the_secret_the_address_comes_first(
    db: TestDatabase, user: User, api: Gateway, workflow: dict[str, Any], tmp_path: Path, scheme: str
) -> None:
    made = api.post(HERE, {"workflow_id": workflow["id"], "scheme": scheme}).json
    assert made["secret"] is None
    refused = api.post(f"{HERE}/{made['id']}/rotate")
    assert refused.paths == ["secret"]
    assert api.post(f"{HERE}/{made['id']}/rotate", {"secret": "theirs-1234"}).json["secret"] is None
    assert stored_secret(db, user, tmp_path / "keys.json") == "theirs-1234"


def test_rotating_puts_a_new_secret_in_the_place_of_the_old_one(
    db: TestDatabase, user: User, api: Gateway, workflow: dict[str, Any], tmp_path: Path
) -> None:
    made = api.post(HERE, {"workflow_id": workflow["id"], "scheme": "github"}).json
    rotated = api.post(f"{HERE}/{made['id']}/rotate").json
    assert rotated["secret"] != made["secret"]
    assert rotated["webhook_path"] == made["webhook_path"]
    assert stored_secret(db, user, tmp_path / "keys.json") == rotated["secret"]  # the only one left


def test_a_secret_that_does_not_fit_its_scheme_is_refused(api: Gateway, workflow: dict[str, Any]) -> None:
    for body in (
        {"scheme": "none", "secret": "superfluous"},
        {"scheme": "standard-webhooks", "secret": "whsec_not-base64!"},
        {"scheme": "standard-webhooks", "secret": "whsec_c2hvcnQ="},
        {"scheme": "github", "secret": "short"},
    ):
        refused = api.post(HERE, {"workflow_id": workflow["id"], **body})
        assert refused.problem["status"] == 422, body
        assert refused.paths == ["secret"]
        assert body["secret"] not in refused.text
    none = api.post(HERE, {"workflow_id": workflow["id"], "scheme": "none"}).json
    assert none["secret"] is None
    assert api.post(f"{HERE}/{none['id']}/rotate").problem["status"] == 422


def test_what_a_subscription_asks_of_deliveries_can_be_changed(api: Gateway, workflow: dict[str, Any]) -> None:
    asked = {
        "name": "Pushes",
        "filters": {"repository.full_name": "ada/mill"},
        "filter_expression": "trigger.payload.size() > 0",
        "required_headers": {"X-Event": "push", "X-Any": None},
        "delivery_id_header": "X-GitHub-Delivery",
        "tolerance_seconds": 60,
        "rate_per_minute": 100,
        "wait_limit": 0,
    }
    made = api.post(HERE, {"workflow_id": workflow["id"], "scheme": "github", **asked}).json
    here = f"{HERE}/{made['id']}"
    assert {key: made[key] for key in asked} == asked
    assert api.get(here).json == {key: value for key, value in made.items() if key != "secret"}
    changed = api.patch(here, {"filter_expression": None, "rate_per_minute": None, "is_active": False}).json
    assert (changed["filter_expression"], changed["rate_per_minute"], changed["is_active"]) == (None, None, False)
    assert changed["filters"] == asked["filters"]
    assert api.patch(here, {"scheme": "none"}).problem["errors"][0]["path"] == "scheme"
    assert api.patch(here, {"filters": None}).status == 422


def test_a_filter_that_is_no_expression_is_refused(api: Gateway, workflow: dict[str, Any]) -> None:
    refused = api.post(HERE, {"workflow_id": workflow["id"], "filter_expression": "nodes.x == 1"})
    assert refused.paths == ["filter_expression"]


def test_subscriptions_are_listed_by_workflow_and_deleted_with_their_secret(
    db: TestDatabase, api: Gateway, workflow: dict[str, Any]
) -> None:
    made = [api.post(HERE, {"workflow_id": workflow["id"]}).json["id"] for _ in range(3)]
    listed = api.get(HERE, workflow_id=workflow["id"], limit=2).json
    rest = api.get(HERE, workflow_id=workflow["id"], limit=2, cursor=listed["next"]).json
    assert [one["id"] for one in listed["items"] + rest["items"]] == made[::-1]
    assert api.delete(f"{HERE}/{made[0]}").status == 204
    assert api.get(f"{HERE}/{made[0]}").status == 404
    assert db.owner.execute("select count(*) as n from secret").fetchone() == {"n": 2}


def test_the_ledger_is_read_newest_first_and_by_verdict(
    db: TestDatabase, user: User, api: Gateway, workflow: dict[str, Any]
) -> None:
    made = api.post(HERE, {"workflow_id": workflow["id"]}).json
    for number, verdict in enumerate(("accepted", "refused", "accepted")):
        db.owner.execute(
            "insert into webhookdelivery (owner_id, subscription_id, received_at, verdict, reason)"
            " values (%s, %s, timestamptz '2026-01-01Z' + %s * interval '1 second', %s, %s)",
            [user.id, UUID(made["id"]), number, verdict, f"delivery {number}"],
        )
    here = f"{HERE}/{made['id']}/deliveries"
    first = api.get(here, limit=2).json
    rest = api.get(here, limit=2, cursor=first["next"]).json
    assert [one["reason"] for one in first["items"] + rest["items"]] == ["delivery 2", "delivery 1", "delivery 0"]
    assert [one["reason"] for one in api.get(here, verdict="refused").json["items"]] == ["delivery 1"]
