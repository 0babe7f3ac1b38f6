"""Every inherited column reads back unchanged after an adoption, except secrets, which are sealed."""

from __future__ import annotations

import json
import uuid

import pytest

from shared.secrets import unseal
from tests.infra.adopt import old_system
from tests.infra.adopt.conftest import Old
from tests.sql.catalogue import tables

#: Where the old system kept secrets in clear text.
EMPTIED = {
    "user": {"hashed_password"},
    "workflowwebhooksubscription": {"secret"},
    "webhooksubscription": {"endpoint_secret"},
    "user_api_key": {"key_hash"},
    "connectorversion": {"manifest"},
    "user_connector_connection": {"config"},
    "agentframeworkconfig": {"config"},
}

#: What an adoption says though the old system left it unsaid, or said what cannot be.
SETTLED = {
    "connector": {"is_platform"},  # null: the platform's when nobody owns it
    "workflow": {"is_active"},  # of one that cannot run
}


def test_every_column_reads_back_unchanged_and_no_row_is_gone(old: Old) -> None:
    before = old_system.snapshot(old.owner)
    assert len(before) == 45
    assert all(before.values()), "a table without a row proves nothing"
    done = old.adopt()
    after = old_system.snapshot(old.owner)
    print(f"\n{old.variant}: {'table':30} {'before':>7} {'after':>7}")
    for name, held in before.items():
        print(f"{old.variant}: {name:30} {len(held):7} {len(after[name]):7}")
        assert len(after[name]) == len(held) == done.before.rows[name] == done.after.rows[name]
        for key, row in held.items():
            changed = {column for column, value in row.items() if after[name][key][column] != value}
            assert changed <= EMPTIED.get(name, set()) | SETTLED.get(name, set()), (name, key, changed)


def test_what_was_unsaid_of_a_connector_is_said(old: Old) -> None:
    old.adopt()
    rows = old.owner.execute("select slug, is_platform from connector order by slug").fetchall()
    assert [(row["slug"], row["is_platform"]) for row in rows] == [
        ("activecampaign", True),
        ("adas-own", False),
        ("github", True),
        ("zoom", True),
    ]


def test_no_secret_is_left_in_clear_text(old: Old) -> None:
    old.adopt()
    for table in tables(old.owner):
        found = old.owner.execute(
            b"select row.* from " + table.identifier.as_bytes() + b" as row where row::text like '%canary%'"
        ).fetchall()
        assert found == [], table


def test_every_secret_opens_for_its_owner_and_for_nobody_else(old: Old) -> None:
    old.adopt()
    rows = old.owner.execute("select * from secret").fetchall()
    ada, ben = old_system.user("ada"), old_system.user("ben")
    secrets = {
        unseal(old.keyring, row["owner_id"], row["id"], row["key_id"], row["nonce"], row["ciphertext"]): row["owner_id"]
        for row in rows
    }
    assert secrets == {
        "canary-password-0": ada,
        "canary-password-1": ben,
        "canary-webhook": ada,
        "canary-webhook-before": ada,
        "canary-endpoint": ada,
        "canary-nobodys": ben,  # to whom the operator gave what belonged to nobody
        "canary-hash": ada,
        "canary-client": ada,
        "canary-platform": ben,
        "canary-access": ada,
        "canary-refresh": ada,
        "canary-model": ben,
    }
    names = {row["name"].rpartition(" ")[0] for row in rows if row["owner_id"] == ada}
    assert "adopted user_connector_connection.config.credentials.0.access_token" in names


def test_what_stood_beside_a_secret_stays(old: Old) -> None:
    old.adopt()
    (row,) = old.owner.execute("select config from user_connector_connection where config is not null").fetchall()
    assert row["config"] == {"account": "7", "credentials": [{"expires_in": 60}, {"note": "kept"}]}
    manifests = [row["manifest"] for row in old.owner.execute("select manifest from connectorversion").fetchall()]
    assert {"oauth": {"client_id": "public"}} in manifests
    kept = {"key": {"source": "infisical", "secret_key": "A_NAME"}}
    assert {"oauth": {"default_scopes": ["a"]}, "credential_fields": kept} in manifests


def test_a_signed_subscription_goes_on_with_its_secret_and_none_becomes_an_open_door(old: Old) -> None:
    done = old.adopt()
    rows = old.owner.execute(
        """
        select webhook_path as path, scheme, subscription.secret_id is not null as sealed, is_active
        from workflowwebhooksubscription as subscription
        left join secret on secret.id = subscription.secret_id and secret.owner_id = subscription.owner_id
        order by path, is_active desc
        """
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("/empty", "hmac-sha256", False, False),
        ("/open", "none", False, True),
        ("/signed", "hmac-sha256", True, True),
        ("/signed", "hmac-sha256", True, False),
    ]
    assert done.after.closed == ["/empty"]


def test_duplicate_connector_versions_stay_two(old: Old) -> None:
    old.adopt()
    rows = old.owner.execute(
        "select count(*) as number from connectorversion where connector_id = %s", [old_system.number("connector", 1)]
    ).fetchone()
    assert rows == {"number": 2}


def test_rows_find_their_owner_along_the_foreign_keys_and_the_others_are_counted(old: Old) -> None:
    done = old.adopt()
    ada, ben = old_system.user("ada"), old_system.user("ben")
    expected: dict[str, set[uuid.UUID | None]] = {
        "workflownode": {ada},
        "workflowexecution": {ada},
        "executionlog": {ada},
        "workflowwebhooksubscription": {ada},
        "webhooksubscription": {ada, None},
        "user_api_key": {ada, ben},
        "agentcontextcache": {ada, None},
        "ragdocument": {ada},
        "ragswitchlog": {ada, None},
        "ragfinetunedataset": {ada},
        "connectorversion": {ada, None},
        "ocrjob": {None},
        "osintalert": {None},
        "codesandbox": {ada},
    }
    for table, owners in expected.items():
        rows = old.owner.execute(f"select distinct owner_id from {table}").fetchall()  # type: ignore[arg-type]
        assert {row["owner_id"] for row in rows} == owners, table
    assert done.after.without_owner["ocrjob"] == 3
    assert done.after.without_owner["agentcontextcache"] == 1
    assert "workflowexecution" not in done.after.without_owner


def test_a_second_adoption_has_nothing_to_do_and_changes_nothing(old: Old) -> None:
    old.adopt()
    before = old_system.snapshot(old.owner)
    secrets = old.owner.execute("select * from secret order by id").fetchall()
    again = old.adopt(heir=None)
    assert again.before.nothing_to_do
    assert (again.applied, again.indexes, again.secrets, again.linked, again.filled, again.stopped) == (
        (),
        0,
        0,
        0,
        0,
        0,
    )
    assert old_system.snapshot(old.owner) == before
    assert old.owner.execute("select * from secret order by id").fetchall() == secrets


def test_a_plan_changes_nothing(old: Old) -> None:
    def everything() -> object:
        catalogue = old.owner.execute(
            "select oid, relname, relnatts, relpages from pg_class where relnamespace::regnamespace::text in "
            "('public', 'millrace', 'supabase_migrations', 'adopt_shape') order by oid"
        ).fetchall()
        return [(row["oid"], row["relname"], row["relnatts"]) for row in catalogue], old_system.snapshot(old.owner)

    before = everything()
    survey = old.survey()
    assert not survey.nothing_to_do
    assert len(survey.links) == old_system.LINKABLE
    assert sum(survey.secrets.values()) == 12
    assert survey.unowned == {
        "webhooksubscription.endpoint_secret": 1,
        "connectorversion.manifest": 1,
        "agentframeworkconfig.config": 1,
    }
    assert survey.pending[0] == "20251217000000_baseline"
    assert json.dumps(survey.document(), default=str)
    assert everything() == before


def test_nobody_migrates_such_a_database_and_loses_its_secrets(old: Old) -> None:
    from infra import migrations

    with pytest.raises(migrations.MigrationFailed, match="9 secrets in clear text would be lost") as refused:
        migrations.up(old.url())
    assert "millrace adopt" in (refused.value.remedy or "")
    rows = old.owner.execute('select hashed_password from "user" where hashed_password <> %s', [""]).fetchall()
    assert len(rows) == 2
    old.adopt()
    assert old.survey().nothing_to_do
