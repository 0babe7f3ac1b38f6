"""The real faces, called as API Gateway calls them: an event of payload format 2.0 in, its answer out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import jwt

from tests.cluster import User

SECRET = "a secret that only tests and their tokens know"


#: A small graph without mistakes.
GRAPH: dict[str, Any] = {
    "nodes": [
        {"node_id": "start", "node_type": "trigger", "config": {}},
        {"node_id": "set", "node_type": "set_variable", "config": {"variable_name": "x", "variable_value": 1}},
    ],
    "edges": [{"from": "start", "to": "set"}],
}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> Any:
        """The problem document; anything else is a failed assertion."""
        assert self.headers["content-type"] == "application/problem+json", self
        body = self.json
        assert body["status"] == self.status
        assert body["title"]
        assert body["detail"]
        return body

    @property
    def paths(self) -> list[str]:
        """The fields that a problem names."""
        return [error["path"] for error in self.problem["errors"]]


class Context:
    """Of an invocation, what the faces read."""

    aws_request_id = "test"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


@dataclass(frozen=True)
class Gateway:
    """One caller of every face, by path."""

    handlers: Mapping[str, Any]
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def as_(self, token: str | None) -> Gateway:
        """The same gateway with other credentials; None for none."""
        return replace(self, token=token)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> Answer:
        return self.send("GET", path, query=query, headers=headers)

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: Any) -> Answer:
        return self.send("POST", path, body, query=query, headers=headers)

    def patch(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        return self.send("PATCH", path, body, headers=headers)

    def delete(self, path: str, **query: Any) -> Answer:
        return self.send("DELETE", path, query=query)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """``body`` is JSON unless it is a str, which goes as it is."""
        sent = {"host": "api.example.com", "x-forwarded-proto": "https", **self.headers}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["content-type"] = "application/json"
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        return self.invoke(path, event(method, path, urlencode(query or {}, doseq=True), sent, text))

    def invoke(self, path: str, made: Any) -> Answer:
        """Give the face at ``path`` this very event."""
        answer = self.handler(path)(made, Context())
        return Answer(answer["statusCode"], answer.get("headers", {}), answer.get("body", ""))

    def handler(self, path: str) -> Any:
        prefix = max((prefix for prefix in self.handlers if path.startswith(prefix)), key=len)
        return self.handlers[prefix]


def event(method: str, path: str, query: str, headers: Mapping[str, str], body: str | None) -> dict[str, Any]:
    """What API Gateway's HTTP API sends to a function (payload format 2.0)."""
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": path,
        "rawQueryString": query,
        "headers": dict(headers),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "tests",
            },
            "requestId": "id",
            "routeKey": "ANY /{proxy+}",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        made["body"] = body
    return made


def sign(user: User, **claims: Any) -> str:
    """An access token of this user's, as Supabase Auth signs them with a shared secret."""
    now = int(time.time())
    return jwt.encode({**user.claims, "iat": now, "exp": now + 600, **claims}, SECRET, algorithm="HS256")
