"""A subscription to post to, through the face and with API Gateway's own event shape."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.webhook_intake import api
from functions.webhook_intake.intake import Intake, Limits
from functions.webhook_intake.subscription import Subscription
from shared.database import Database
from shared.doorbell import RecordingDoorbell
from tests.cluster import TestDatabase, User
from tests.intake import Context, event


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def run(self) -> uuid.UUID:
        return uuid.UUID(self.json["id"])


@dataclass
class Hook:
    """One installation's intake, and a tenant's workflow that it may start."""

    db: TestDatabase
    user: User
    workflow: uuid.UUID
    monkeypatch: pytest.MonkeyPatch
    bell: RecordingDoorbell = field(default_factory=RecordingDoorbell)
    now: float = 1_773_248_562.0
    path: str = "/k3Jx9QmPz0Ws/github"
    objects: dict[str, bytes] = field(default_factory=dict)

    def start(self, limits: Limits | None = None, database: Database | None = None) -> Intake:
        """A new process: nothing kept from before."""
        intake = Intake(
            database or self.db.engine,
            self.bell,
            lambda _owner, _id, _key, _nonce, ciphertext: ciphertext.decode(),
            self.keeper,
            limits or Limits(),
            clock=lambda: self.now,
        )
        self.monkeypatch.setattr(api, "intake", lambda: intake)
        return intake

    def stop_clock(self) -> None:
        """Let the database's time be the hook's, so that no test meets the end of a minute."""
        now = datetime.fromtimestamp(self.now, UTC).isoformat()
        self.db.connect("supabase_admin").execute(f"alter database \"{self.db.name}\" set millrace.now = '{now}'")
        self.db.engine.close()

    def keeper(self, subscription: Subscription) -> Callable[[bytes, str], dict[str, Any] | None]:
        def keep(data: bytes, _media_type: str) -> dict[str, Any] | None:
            if len(data) <= 64 * 1024:
                return None
            digest = hashlib.sha256(data).hexdigest()
            self.objects[f"{subscription.owner_id}/{digest}"] = data
            return {"$payload": {"bucket": "workflow-attachments", "key": digest, "bytes": len(data)}}

        return keep

    def subscribe(self, secret: str | None = None, path: str | None = None, **columns: Any) -> uuid.UUID:
        """A subscription of the workflow, at the hook's path unless another is given."""
        id_ = uuid.uuid4()
        secret_id = None
        if secret is not None:
            secret_id = self.keep_secret(secret)
        row = {
            "id": id_,
            "owner_id": self.user.id,
            "workflow_id": self.workflow,
            "webhook_path": path or self.path,
            "secret_id": secret_id,
            "is_active": True,
        } | columns
        names = ", ".join(row)
        marks = ", ".join(f"%({name})s" for name in row)
        self.db.owner.execute(f"insert into workflowwebhooksubscription ({names}) values ({marks})", row)
        return id_

    def keep_secret(self, secret: str) -> uuid.UUID:
        id_ = uuid.uuid4()
        self.db.owner.execute(
            "insert into secret (id, owner_id, name, key_id, nonce, ciphertext) values (%s, %s, %s, 'k', '', %s)",
            [id_, self.user.id, str(id_), secret.encode()],
        )
        return id_

    def post(
        self,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        path: str | None = None,
        query: str = "",
        method: str = "POST",
        prefix: str = "/hooks",
    ) -> Reply:
        """Post a body as API Gateway brings it: a str as text, bytes in base64, anything else as JSON."""
        made = event("api_gateway_github_push")
        raw = prefix + (path or self.path)
        made["rawPath"] = made["requestContext"]["http"]["path"] = raw
        made["rawQueryString"] = query
        made["requestContext"]["http"]["method"] = method
        made["headers"] = {"host": "localhost:8787", "x-forwarded-proto": "http"} | {
            name.lower(): value for name, value in (headers or {}).items()
        }
        if isinstance(body, bytes):
            made["body"], made["isBase64Encoded"] = base64.b64encode(body).decode(), True
        elif isinstance(body, str):
            made["body"] = body
        elif body is None:
            del made["body"]
        else:
            made["body"] = json.dumps(body)
            made["headers"].setdefault("content-type", "application/json")
        return self.send(made)

    def send(self, made: Any) -> Reply:
        answer = api.handler(made, Context())
        return Reply(answer["statusCode"], answer["headers"], answer["body"])

    def runs(self) -> list[dict[str, Any]]:
        return self.db.owner.execute("select * from workflowexecution order by id").fetchall()

    def ledger(self) -> list[dict[str, Any]]:
        return self.db.owner.execute("select * from webhookdelivery order by received_at, id").fetchall()

    def verdicts(self) -> list[str]:
        return [row["verdict"] for row in self.ledger()]


def github(secret: str, body: bytes, **headers: str) -> dict[str, str]:
    """GitHub's headers for a JSON body."""
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"content-type": "application/json", "x-hub-signature-256": signature, "x-github-event": "push"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
