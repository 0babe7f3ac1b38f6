"""A server that speaks the bucket part of Supabase's Storage API, over real HTTP.

Shapes and errors after github.com/supabase/storage: routes in ``src/http/routes/bucket``, errors in
``src/internal/errors/codes.ts``; ``src/http/error-handler.ts`` answers most of them with status 400 and the true one in
the body.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sb_secret_the-only-key-that-this-project-knows"
#: What a project allows unless its owner raises it.
PROJECT_LIMIT = 1024**3


@dataclass
class StorageApi:
    """One project's buckets; what was asked; and what shall go wrong."""

    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    limit: int = PROJECT_LIMIT
    broken: set[str] = field(default_factory=set)  #: buckets that the server fails on
    answer: tuple[int, str] | None = None  #: instead of everything

    def __enter__(self) -> StorageApi:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api._handle(self, "GET")

            def do_POST(self) -> None:
                api._handle(self, "POST")

            def do_PUT(self) -> None:
                api._handle(self, "PUT")

            def do_DELETE(self) -> None:
                api._handle(self, "DELETE")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def written(self) -> list[tuple[str, str]]:
        """What was asked that changes something."""
        return [(method, path) for method, path in self.asked if method != "GET"]

    def _handle(self, request: BaseHTTPRequestHandler, method: str) -> None:
        body = json.loads(request.rfile.read(int(request.headers.get("content-length") or 0)) or b"{}")
        self.asked.append((method, request.path))
        status, answer = self._answer(method, request, body)
        data = answer if isinstance(answer, str) else json.dumps(answer)
        request.send_response(status)
        request.send_header("content-type", "text/html" if isinstance(answer, str) else "application/json")
        request.send_header("content-length", str(len(data.encode())))
        request.end_headers()
        request.wfile.write(data.encode())

    def _answer(self, method: str, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> tuple[int, Any]:
        if self.answer is not None:
            return self.answer
        if request.headers.get("authorization") != f"Bearer {KEY}" or request.headers.get("apikey") != KEY:
            return _error("403", "Unauthorized", "Invalid Compact JWS")
        match method, request.path.removeprefix("/storage/v1/bucket").strip("/"):
            case "GET", "":
                return 200, list(self.buckets.values())
            case "POST", "":
                name = body["id"]
                if name in self.buckets:
                    return _error("409", "Duplicate", "The resource already exists")
                made = {"id": name, "name": name, "owner": "", "public": False, "file_size_limit": None}
                made |= {"allowed_mime_types": None, "type": "STANDARD"}
                made |= {"created_at": "2026-11-22T10:00:00.000Z", "updated_at": "2026-11-22T10:00:00.000Z"}
                return self._write(name, made, body) or (200, {"name": name})
            case "PUT", name if name in self.buckets:
                return self._write(name, self.buckets[name], body) or (200, {"message": "Successfully updated"})
            case _:
                return _error("404", "Bucket not found", "Bucket not found")

    def _write(self, name: str, bucket: dict[str, Any], body: dict[str, Any]) -> tuple[int, Any] | None:
        if name in self.broken:
            return _error("500", "InternalError", "Internal server error")
        if (body.get("file_size_limit") or 0) > self.limit:
            return _error("413", "Payload too large", "The object exceeded the maximum allowed size")
        changes = {field: body[field] for field in ("public", "file_size_limit", "allowed_mime_types") if field in body}
        self.buckets[name] = bucket | changes
        return None


def _error(status: str, error: str, message: str) -> tuple[int, dict[str, str]]:
    return 500 if status == "500" else 400, {"statusCode": status, "error": error, "message": message}
