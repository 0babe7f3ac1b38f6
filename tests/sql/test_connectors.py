"""The registry starts with the platform's 99 connectors and 101 versions."""

from __future__ import annotations

import re

from infra import migrations
from tests.cluster import TestDatabase

SLUGS = re.findall(
    r"\S+",
    """
    activecampaign airtable amazon-s3 amplitude anthropic-claude apple-calendar asana aws azure-blob-storage basecamp
    bitbucket box braintree buffer calendly chargebee circleci clickup close cloudinary cohere copper databricks discord
    docker-hub doodle dropbox facebook freshdesk front github gitlab gmail google-ai google-analytics google-bigquery
    google-calendar google-cloud-storage google-drive help-scout hubspot hugging-face imgur insightly instagram intercom
    jenkins jira kubernetes linear linkedin looker mailchimp medium metabase microsoft-teams microsoft-to-do mixpanel
    monday-com netlify notion onedrive openai outlook-calendar paypal pinterest pipedrive quickbooks razorpay recurly
    reddit replicate s3-compatible-storage salesforce segment sendgrid shopify smartsheet snowflake square stripe
    tableau telegram terraform-cloud tiktok todoist trello twilio twitter vercel whatsapp-business when2meet woocommerce
    wrike xero youtube zendesk zoho-crm zoom
    """,
)

#: Keys at Nango that are not the slug.
PROVIDER_KEYS = {
    "amazon-s3": "aws-s3",
    "anthropic-claude": "anthropic",
    "azure-blob-storage": "azure",
    "docker-hub": "docker",
    "google-bigquery": "bigquery",
    "google-cloud-storage": "gcs",
    "help-scout": "helpscout",
    "hugging-face": "huggingface",
    "microsoft-to-do": "microsoft-todo",
    "monday-com": "monday",
    "outlook-calendar": "microsoft-calendar",
    "s3-compatible-storage": "s3-compatible",
    "terraform-cloud": "terraform",
    "whatsapp-business": "whatsapp",
    "zoho-crm": "zoho",
}

CATEGORIES = {
    "AI & Machine Learning", "Analytics & Data", "CRM & Sales", "Calendar & Scheduling",
    "Communication & Collaboration", "Development & Code", "E-commerce & Payments", "File Storage & Cloud", "Payments",
    "Productivity & Notes", "Project Management", "Social Media",
}  # fmt: skip

MIGRATIONS = {
    "20251219152039_register_all_connectors",
    "20251219152958_register_all_connectors_batch_1",
    "20251219154231_register_connectors_batch_2",
    "20251219154335_register_connectors_batch_2_complete",
    "20251219155034_register_connectors_batch_4_complete",
    "20251219155406_register_connectors_batch_5_complete",
    "20251219160254_register_connectors_batch_6_complete",
    "20251219160527_register_connectors_batch_6_complete",
    "20251219160904_register_connectors_batch_7_complete",
    "20251219163526_register_connectors_batch_8_complete",
    "20251219163648_register_connectors_batch_9_complete",
    "20251219163704_register_connectors_batch_10_complete",
    "20251219165216_register_missing_connectors_batch_1",
    "20251219165347_register_missing_connectors_batch_1_complete",
}


def connector_migrations() -> list[migrations.Migration]:
    return [migration for migration in migrations.read() if "connectors" in migration.name]


def test_there_are_exactly_99_connectors_and_101_versions(still: TestDatabase) -> None:
    connectors = still.owner.execute("select * from connector order by slug").fetchall()
    assert [row["slug"] for row in connectors] == SLUGS
    assert len(SLUGS) == 99
    for row in connectors:
        assert (row["is_platform"], row["owner_id"], row["status"]) == (True, None, "beta")
    versions = still.owner.execute(
        "select slug, count(*) from connectorversion join connector on connector.id = connector_id "
        "where version = '1.0.0' group by slug having count(*) > 1 order by slug"
    ).fetchall()
    assert versions == [{"slug": "activecampaign", "count": 2}, {"slug": "insightly", "count": 2}]
    assert still.owner.execute("select count(*) from connectorversion").fetchone() == {"count": 101}


def test_every_connector_points_to_a_version_of_its_own(still: TestDatabase) -> None:
    lost = still.owner.execute(
        """
        select slug
        from connector
        left join connectorversion on connectorversion.id = latest_version_id and connector_id = connector.id
        where connectorversion.id is null
        """
    ).fetchall()
    assert lost == []


def test_every_manifest_has_the_registrys_shape(still: TestDatabase) -> None:
    rows = still.owner.execute(
        "select slug, connector.name, manifest from connectorversion join connector on connector.id = connector_id"
    ).fetchall()
    for row in rows:
        manifest, key = row["manifest"], PROVIDER_KEYS.get(row["slug"], row["slug"])
        assert manifest.pop("category") in CATEGORIES
        assert manifest.pop("description").startswith(row["name"])
        assert manifest["actions"]["test_connection"].pop("description")
        assert manifest == {
            "name": row["name"],
            "slug": row["slug"],
            "version": "1.0.0",
            "status": "beta",
            "nango": {"enabled": True, "provider_key": key},
            "oauth": {
                "authorization_url": f"https://api.nango.dev/oauth/{key}",
                "token_url": f"https://api.nango.dev/oauth/{key}/token",
                "default_scopes": [],
                "authorization_params": {},
            },
            "actions": {"test_connection": {"name": "Test Connection", "method": "GET", "endpoint": "/test"}},
            "triggers": {},
        }
    assert {row["manifest"]["name"] for row in rows if row["slug"] == "twitter"} == {"Twitter / X"}


def test_the_old_migration_names_are_kept_and_each_registers_some(still: TestDatabase) -> None:
    names = {f"{migration.version}_{migration.name}" for migration in connector_migrations()}
    assert names == MIGRATIONS
    for migration in connector_migrations():
        row = still.owner.execute(
            "select count(*) from connector where to_char(created_at, 'YYYYMMDDHH24MISS') = %s", [migration.version]
        ).fetchone()
        assert row is not None
        assert row["count"] in (7, 8)


def test_registering_again_changes_nothing(db: TestDatabase) -> None:
    before = db.owner.execute("select id, connector_id from connectorversion order by id").fetchall()
    for migration in connector_migrations():
        db.owner.execute(migration.text.encode())
    assert db.owner.execute("select id, connector_id from connectorversion order by id").fetchall() == before
    assert db.owner.execute("select count(*) from connector").fetchone() == {"count": 99}
