"""A tenant's workflow that waits for files, and S3's messages about them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from functions.storage_intake import batch, notification
from functions.storage_intake.change import Change
from shared.doorbell import RecordingDoorbell
from tests.cluster import TestDatabase, User
from tests.intake import event

BUCKET = "user-uploads"  #: in AWS's events: millrace-prod-user-uploads


@dataclass
class Shelf:
    """A tenant with a workflow that waits for files."""

    db: TestDatabase
    user: User
    workflow: uuid.UUID
    bell: RecordingDoorbell = field(default_factory=RecordingDoorbell)
    jobs: dict[str, str] = field(default_factory=dict)

    def trigger(self, **columns: Any) -> uuid.UUID:
        row = {
            "id": uuid.uuid4(),
            "owner_id": self.user.id,
            "workflow_id": self.workflow,
            "bucket": BUCKET,
        } | columns
        names = ", ".join(row)
        marks = ", ".join(f"%({name})s" for name in row)
        self.db.owner.execute(f"insert into storagetrigger ({names}) values ({marks})", row)
        return row["id"]

    def message(self, *keys: str, sequencer: str = "01", **changes: Any) -> str:
        """A message of S3's about these keys, as they are in the event: form-encoded."""
        made = json.loads(event("sqs_s3_object_created")["Records"][0]["body"])
        [record] = made["Records"]
        made["Records"] = []
        for key in keys:
            one = json.loads(json.dumps(record)) | changes
            one["s3"]["object"] |= {"key": key, "sequencer": sequencer}
            made["Records"].append(one)
        return json.dumps(made)

    def start(self, *bodies: Any) -> list[str]:
        messages = {f"m{number}": body for number, body in enumerate(bodies, 1)}
        return batch.start(self.db.engine, self.bell, messages, self.jobs)

    def read(self, trigger: uuid.UUID) -> dict[str, Any]:
        row = self.db.owner.execute("select * from storagetrigger where id = %s", [trigger]).fetchone()
        assert row is not None
        return row

    def mine(self, name: str) -> str:
        return f"{self.user.id}/{name}"

    def runs(self) -> list[dict[str, Any]]:
        return self.db.owner.execute("select * from workflowexecution order by id").fetchall()

    def found(self) -> list[str]:
        return [run["trigger_data"]["payload"]["key"] for run in self.runs()]


def changes(body: str) -> list[Change]:
    """What a message of S3's says happened."""
    found = notification.read(body)
    assert isinstance(found, list)
    return found
