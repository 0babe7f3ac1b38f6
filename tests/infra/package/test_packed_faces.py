"""Every face starts from its package alone, under Lambda's own runtime client, and does its work on a real database.

The processes see the unpacked package, what Lambda's runtime has, and the standard library: a module that was not
packed is found here and not in production.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.local.runtime import Function, FunctionSettings
from infra.package.measure import StartError, cold_start, isolated
from tests.cluster import TestDatabase, User
from tests.functions.gateway import SECRET, event, sign
from tests.infra.local.conftest import Workbench
from tests.infra.package.conftest import Packed
from tests.intake import event as payload
from tests.intake import make_workflow
from tests.shared.test_auth import Issuer, public

FACES = (
    "webhook-intake",
    "workflow-api",
    "account",
    "storage",
    "code-exec-api",
    "item",
    "health",
    "workflow-run",
    "schedule-tick",
    "storage-intake",
    "ocr-api",
    "code-exec-worker",
    "code-sandbox",
)
#: Those that act for a tenant.
TENANTS = ("workflow-api", "account", "storage", "code-exec-api", "item", "health", "ocr-api")

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if end == 1 or error.name != ".".join(parts[:end]):
                raise
        else:
            for part in parts[end:]:
                found = getattr(found, part)
            break
print(sorted({(getattr(m, "__file__", None) or "-") for m in list(sys.modules.values())}))
"""


def test_every_face_is_tried_here(packed: Packed) -> None:
    assert set(packed.faces) == set(FACES)


@pytest.mark.parametrize("name", FACES)
def test_everything_that_its_code_names_is_in_the_package(packed: Packed, name: str) -> None:
    face, folder = packed.faces[name], packed.folder / name
    command, environment = isolated(folder, packed.runtime)
    names = [*face.closure.modules, *face.closure.imports]
    names = [name for name in names if name != "shared.storage.supabase"]  # its client is not packed for S3
    ran = subprocess.run(
        [*command, "-c", IMPORT_ALL, *names], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "site-packages" not in ran.stdout


@dataclass(frozen=True)
class Lambda:
    """The packed faces on one database, called as AWS calls them."""

    packed: Packed
    bench: Workbench
    db: TestDatabase
    user: User
    folder: Path
    variables: dict[str, str]

    def invoke(self, name: str, event: Any) -> Any:
        """The face's answer to one event; the process is started for it."""
        outcome = self.bench.invoke(self.function(name), event)
        assert outcome.error is None, outcome.error
        return json.loads(outcome.payload)

    def function(self, name: str) -> Function:
        command, environment = isolated(self.packed.folder / name, self.packed.runtime)
        role = "millrace_api" if name in TENANTS else "millrace_engine"
        settings = FunctionSettings(
            name=name,
            handler=self.packed.faces[name].handler,
            timeout=30.0,
            root=self.packed.folder / name,
            environment=environment | self.variables | {"MILLRACE_DATABASE_URL": self.db.url(role)},
            command=(*command, "-m", "awslambdaric"),
        )
        return self.bench.adopt(lambda: Function(settings, self.bench.logs))

    def api(self, name: str, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """The answer of an HTTP face, which must be a success."""
        headers = {"host": "api.example.com", "authorization": f"Bearer {token or sign(self.user)}"}
        if body is not None:
            headers["content-type"] = "application/json"
        text = None if body is None else json.dumps(body)
        answer = self.invoke(name, event(method, path, "", headers, text))
        assert answer["statusCode"] < 300, answer
        return json.loads(answer["body"])

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        return self.db.owner.execute(query, params).fetchall()


@pytest.fixture
def aws(packed: Packed, bench: Workbench, db: TestDatabase, user: User, tmp_path: Path) -> Lambda:
    return Lambda(
        packed,
        bench,
        db,
        user,
        tmp_path,
        {
            "MILLRACE_DOORBELL": f"socket:{tmp_path / 'bells'}",
            "MILLRACE_JWT_SECRET": SECRET,
            "MILLRACE_SECRET_KEY_FILE": str(tmp_path / "keys" / "keys.json"),
            "MILLRACE_STORAGE": f"directory:{tmp_path / 'objects'}",
            "MILLRACE_STORAGE_SECRET": SECRET,
        },
    )


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


def test_account_believes_a_token_signed_with_a_private_key(aws: Lambda, issuer: Issuer) -> None:
    key = rsa.generate_private_key(65537, 2048)
    issuer.keys = [public(key, "k1", alg="RS256", use="sig")]
    aws.variables["MILLRACE_JWT_JWKS_URL"] = issuer.url
    now = int(time.time())
    token = jwt.encode({**aws.user.claims, "iat": now, "exp": now + 600}, key, "RS256", headers={"kid": "k1"})
    assert aws.api("account", "GET", "/api/v1/users/me", token=token)["email"] == aws.user.email
    assert issuer.asked == 1


def test_item_keeps_an_item(aws: Lambda) -> None:
    made = aws.api("item", "POST", "/api/v1/items", {"title": "packed"})
    assert [row["title"] for row in aws.rows("select title from item where id = %s", made["id"])] == ["packed"]


def test_health_looks_at_the_parts(aws: Lambda) -> None:
    headers = {"host": "api.example.com", "authorization": f"Bearer {sign(aws.user)}"}
    answer = aws.invoke("health", event("GET", "/health/parts", "", headers, None))
    parts = {part["name"]: part["status"] for part in json.loads(answer["body"])["parts"]}
    assert parts["database"] == "ok"


def test_workflow_api_checks_expressions_and_saves(aws: Lambda) -> None:
    graph = {
        "nodes": [
            {"node_id": "start", "node_type": "trigger", "config": {}},
            {"node_id": "big", "node_type": "condition", "config": {"condition": "trigger.payload.n > 3"}},
        ],
        "edges": [{"from": "start", "to": "big"}],
    }
    made = aws.api("workflow-api", "POST", "/api/v1/workflows", {"name": "packed", "graph_config": graph})
    assert aws.rows("select name from workflow where id = %s", made["id"]) == [{"name": "packed"}]


def test_webhook_intake_opens_the_sealed_secret_and_starts_a_run(aws: Lambda) -> None:
    workflow = make_workflow(aws.db, aws.user)
    made = aws.api(
        "workflow-api",
        "POST",
        "/api/v1/workflows/webhooks/subscriptions",
        {"workflow_id": str(workflow), "scheme": "github", "filter_expression": "trigger.payload.n > 3"},
    )
    body = b'{"n": 4}'
    signature = hmac.new(made["secret"].encode(), body, hashlib.sha256).hexdigest()
    delivery = event(
        "POST",
        f"/hooks{made['webhook_path']}",
        "",
        {"content-type": "application/json", "x-hub-signature-256": f"sha256={signature}", "host": "api.example.com"},
        base64.b64encode(body).decode(),
    )
    answer = aws.invoke("webhook-intake", {**delivery, "isBase64Encoded": True})
    assert answer["statusCode"] == 202, answer
    run = json.loads(answer["body"])["id"]
    assert aws.rows("select workflow_id from workflowexecution where id = %s", run) == [{"workflow_id": workflow}]


def test_workflow_run_drives_a_run_to_its_end(aws: Lambda) -> None:
    workflow = make_workflow(aws.db, aws.user)
    [row] = aws.rows("select millrace.start_run(%s, %s, 'manual', '{}') as id", workflow, aws.user.id)
    bells = payload("sqs_bells")
    bells["Records"] = bells["Records"][:1]
    bells["Records"][0]["body"] = json.dumps({"id": str(row["id"])})
    assert aws.invoke("workflow-run", bells) == {"batchItemFailures": []}
    assert aws.rows("select status from workflowexecution where id = %s", row["id"]) == [{"status": "completed"}]


def test_schedule_tick_knows_time_zones(aws: Lambda) -> None:
    workflow = make_workflow(aws.db, aws.user)
    schedule = uuid.uuid4()
    aws.rows(
        "insert into workflowschedule (id, owner_id, workflow_id, cron_expression, timezone, is_active, next_run_at) "
        "values (%s, %s, %s, '* * * * *', 'Europe/Berlin', true, "
        "date_trunc('minute', now() at time zone 'utc')) returning id",
        schedule,
        aws.user.id,
        workflow,
    )
    aws.invoke("schedule-tick", payload("eventbridge_schedule"))
    fired = aws.rows("select status from scheduleoccurrence where schedule_id = %s", schedule)
    assert "started" in {row["status"] for row in fired}


def test_storage_intake_starts_what_a_file_starts(aws: Lambda) -> None:
    workflow = make_workflow(aws.db, aws.user)
    aws.rows(
        "insert into storagetrigger (id, owner_id, workflow_id, bucket, is_active) "
        "values (gen_random_uuid(), %s, %s, 'user-uploads', true) returning id",
        aws.user.id,
        workflow,
    )
    message = payload("sqs_s3_object_created")
    notice = json.loads(message["Records"][0]["body"])
    notice["Records"][0]["s3"]["object"]["key"] = f"{aws.user.id}/in/a.pdf"
    message["Records"][0]["body"] = json.dumps(notice)
    assert aws.invoke("storage-intake", message) == {"batchItemFailures": []}
    assert len(aws.rows("select id from workflowexecution where workflow_id = %s", workflow)) == 1


def test_storage_begins_an_upload(aws: Lambda) -> None:
    aws.variables["MILLRACE_BUCKETS"] = "user-uploads 52428800"
    body = {"bucket": "user-uploads", "filename": "a.txt", "size": 5, "media_type": "text/plain"}
    made = aws.api("storage", "POST", "/api/v1/storage/upload", body)
    assert [row["status"] for row in aws.rows("select status from upload where id = %s", made["id"])] == ["pending"]


def test_ocr_api_asks_for_a_document_without_what_reads_it(aws: Lambda) -> None:
    aws.variables["MILLRACE_CAPABILITIES"] = "ocr"
    asked = aws.api("ocr-api", "POST", "/api/v1/ocr/extract", {"url": "https://example.com/a.pdf"})
    assert [row["kind"] for row in aws.rows("select kind from millrace.job where id = %s", asked["id"])] == ["ocr"]
    assert not any("numpy" in name for name in aws.packed.packages["ocr-api"].distributions)


def test_code_is_asked_for_done_apart_and_told(aws: Lambda) -> None:
    """Three functions: the API, the worker, and the sandbox that the worker calls."""
    code = {"code": "result = input_data['n'] * 2", "input_data": {"n": 21}, "wait": 0}
    asked = aws.api("code-exec-api", "POST", "/api/v1/code/execute", code)
    with sandbox(aws) as address:
        aws.variables.update(MILLRACE_FUNCTIONS=f"local:{address}", MILLRACE_FUNCTIONS_TOKEN=SECRET)
        bells = payload("sqs_bells")
        bells["Records"] = bells["Records"][:1]
        bells["Records"][0]["body"] = json.dumps({"id": asked["id"]})
        assert aws.invoke("code-exec-worker", bells) == {"batchItemFailures": []}
    told = aws.api("code-exec-api", "GET", f"/api/v1/code/execute/{asked['id']}")
    assert (told["status"], told["output_data"]) == ("completed", 42)


@contextmanager
def sandbox(aws: Lambda) -> Iterator[str]:
    """Where the packed sandbox is called as Lambda's Invoke is."""

    class Invoke(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = json.dumps(aws.invoke("code-sandbox", request)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Invoke)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


# --- the check itself


def without(packed: Packed, folder: Path, name: str, missing: Callable[[Path], bool]) -> Path:
    """The face's package less some files."""
    made = folder / name
    for path in (packed.folder / name).rglob("*"):
        relative = path.relative_to(packed.folder / name)
        if path.is_file() and not missing(relative):
            (made / relative).parent.mkdir(parents=True, exist_ok=True)
            (made / relative).symlink_to(path)
    return made


def test_a_module_that_was_not_packed_is_found(packed: Packed, tmp_path: Path) -> None:
    folder = without(packed, tmp_path, "item", lambda path: path.parts[0] == "mangum")
    with pytest.raises(StartError, match="No module named 'mangum'"):
        cold_start("item", packed.faces["item"].handler, folder, runs=1)


def test_a_cold_start_is_measured_from_the_package_alone(packed: Packed) -> None:
    face = packed.faces["storage-intake"]
    start = cold_start(face.name, face.handler, packed.folder / face.name, runs=2)
    assert 0 < start.fastest <= start.seconds
    assert 10 << 20 < start.memory < 150 << 20
    assert start.modules > 100


def test_the_packages_are_compiled_so_that_no_import_looks_at_a_source(packed: Packed) -> None:
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    for name, made in packed.packages.items():
        assert made.compiled
        for source in (packed.folder / name).rglob("*.py"):
            compiled = (source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc").read_bytes()
            assert compiled[4:8] == (1).to_bytes(4, "little"), source  # PEP 552: by hash, not checked
            assert str(packed.folder).encode() not in compiled, source
