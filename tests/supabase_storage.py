"""A server that speaks Supabase Storage's object API, for tests; as its documentation and source say it.

Not what our client hopes for, but what https://supabase.com/docs/reference/javascript/storage-api and the source of
github.com/supabase/storage promise and refuse: the characters of names (``src/storage/limits.ts``), errors sent with
status 400 and their own in the body (``src/http/error-handler.ts``), types without parameters (busboy's), signed paths
compared as text (``src/http/routes/object``), the service key asked for, a bucket's own limits
(``src/storage/uploader.ts``), copies (``copyObject.ts``), ranges, and resumable uploads by TUS 1.0.0 with a signature
(``src/http/routes/tus``): an upload's address is its bucket, name and version in base64url.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt

_NAME = re.compile(r"(?:[A-Za-z0-9_]|/|!|-|\.|\*|'|\(|\)| |&|\$|@|=|;|:|\+|,|\?)+")
_UPLOAD_SECONDS = 2 * 3600


@dataclass
class Bucket:
    public: bool = False
    file_size_limit: int | None = None
    allowed_mime_types: list[str] | None = None
    objects: dict[str, Object] = field(default_factory=dict)


@dataclass
class Resumable:
    """An upload by TUS that has begun."""

    bucket: str
    name: str
    size: int
    mimetype: str
    cache_control: str
    upsert: bool
    data: bytearray = field(default_factory=bytearray)


@dataclass
class Object:
    data: bytes
    mimetype: str
    cache_control: str
    user_metadata: dict[str, Any] | None
    created_at: str
    updated_at: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data).hexdigest()}"'

    @property
    def metadata(self) -> dict[str, Any]:
        return {
            "eTag": self.etag,
            "size": len(self.data),
            "mimetype": self.mimetype,
            "cacheControl": self.cache_control,
            "lastModified": self.updated_at,
            "contentLength": len(self.data),
            "httpStatusCode": 200,
        }


class Refused(Exception):
    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.answer = {"statusCode": str(status), "error": error, "message": message}


_NO_BUCKET = Refused(404, "Bucket not found", "Bucket not found")
_NO_OBJECT = Refused(404, "not_found", "Object not found")


class SupabaseStorageServer:
    """Listens on ``url`` (a project's URL); ``buckets`` is what it holds, ``requests`` what it was asked."""

    def __init__(self, buckets: tuple[str, ...], key: str = "service-key", secret: str = "j" * 32) -> None:
        self.buckets = {name: Bucket() for name in buckets}
        self.key = key
        self.secret = secret
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.resumable: dict[str, Resumable] = {}
        self.broken: int | None = None  #: answers everything with this status, as a gateway does
        owner = self

        class Handler(_Handler):
            storage = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer's body waits 40 ms for its head to be acknowledged
    storage: SupabaseStorageServer

    def log_message(self, *_: Any) -> None:
        """Say nothing: ``requests`` is the log."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.storage.requests.append((self.command, self.path))
        try:
            if self.storage.broken is not None:
                self._answer(self.storage.broken, b"<html>bad gateway</html>", "text/html")
                return
            if self.path.startswith("/storage/v1/upload/resumable"):
                with self.storage.lock:
                    self._resumable(body)
                return
            with self.storage.lock:  # as its database does, object by object
                status, answer = 200, self._route(body)
        except Refused as refused:
            status, answer = (500 if refused.answer["statusCode"] == "500" else 400), refused.answer
        if isinstance(answer, Object):
            self._content(answer)
        else:
            self._answer(status, json.dumps(answer).encode(), "application/json; charset=utf-8")

    def _content(self, found: Object) -> None:
        """The object, or the one range that is asked for, as S3 answers, which stands behind it."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range") or "")
        if asked is None:
            self._answer(200, found.data, found.mimetype)
        elif int(asked[1]) >= len(found.data):
            refused = Refused(416, "InvalidRange", "The requested range is not satisfiable")
            self._answer(416, json.dumps(refused.answer).encode(), "application/json")
        else:
            self._answer(206, found.data[int(asked[1]) : int(asked[2]) + 1], found.mimetype)

    def _resumable(self, body: bytes) -> None:
        """TUS 1.0.0: creation by POST, offsets by HEAD, bytes by PATCH (https://tus.io/protocols/resumable-upload)."""
        path = self.path.partition("?")[0].removeprefix("/storage/v1/upload/resumable")
        assert path.startswith("/sign"), "only signed ones are asked for"
        assert self.headers.get("tus-resumable") == "1.0.0"
        id_ = path.removeprefix("/sign").strip("/")
        if self.command == "POST":
            given = dict(pair.split(" ", 1) for pair in self.headers["upload-metadata"].split(","))
            said = {name: base64.b64decode(value).decode() for name, value in given.items()}
            claims = self._signature(said["bucketName"], said["objectName"])
            begun = Resumable(
                bucket=said["bucketName"],
                name=self._name(said["bucketName"], [said["objectName"]]),
                size=int(self.headers["upload-length"]),
                mimetype=said.get("contentType", "application/octet-stream"),
                cache_control=said.get("cacheControl", "3600"),
                upsert=bool(claims["upsert"]),
            )
            self._allowed(self._found(begun.bucket), begun.mimetype, begun.size)
            plain = f"{begun.bucket}/{begun.name}/{uuid.uuid4()}".encode()
            id_ = base64.urlsafe_b64encode(plain).decode().rstrip("=")
            self.storage.resumable[id_] = begun
            self._said(201, {"location": f"{self.storage.url}/storage/v1/upload/resumable/sign/{id_}"})
            return
        begun = self.storage.resumable[id_]
        self._signature(begun.bucket, begun.name)
        if self.command == "PATCH":
            if int(self.headers["upload-offset"]) != len(begun.data):
                self._said(409, {})
                return
            begun.data += body
            if len(begun.data) == begun.size:
                self._store(
                    begun.bucket, begun.name, bytes(begun.data), begun.mimetype, begun.cache_control, begun.upsert
                )
        self._said(204 if self.command == "PATCH" else 200, {"upload-offset": str(len(begun.data))})

    def _signature(self, bucket: str, name: str) -> dict[str, Any]:
        return self._token({"token": self.headers.get("x-signature") or ""}, bucket, [urllib.parse.quote(name)])

    def _said(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"tus-resumable": "1.0.0", "content-length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, status: int, data: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(self, body: bytes) -> Any:
        path, _, query = self.path.partition("?")
        prefix, version, resource, *rest = path.lstrip("/").split("/")
        assert (prefix, version, resource) == ("storage", "v1", "object"), path
        asked = dict(urllib.parse.parse_qsl(query))
        match self.command, rest:
            case "PUT", ["upload", "sign", bucket, *parts]:
                token = self._token(asked, bucket, parts)
                return self._upload(bucket, parts, body, upsert=bool(token["upsert"]))
            case "GET", ["sign", bucket, *parts]:
                self._token(asked, bucket, parts)
                return self._object(bucket, parts)
        self._authorized()
        match self.command, rest:
            case "POST", ["copy"]:
                return self._copy(json.loads(body))
            case "POST", ["list-v2", bucket]:
                return self._list(bucket, json.loads(body))
            case "POST", ["sign", bucket, *parts]:
                seconds = int(json.loads(body)["expiresIn"])
                self._object(bucket, parts)
                signed = "/".join([bucket, *(_decode_uri(part) for part in parts)])
                return {"signedURL": f"/object/sign/{signed}?token={self._sign({'url': signed}, seconds)}"}
            case "POST", ["upload", "sign", bucket, *parts]:
                name = self._name(bucket, parts)
                upsert = self.headers.get("x-upsert") == "true"
                if name in self.storage.buckets[bucket].objects and not upsert:
                    raise Refused(409, "Duplicate", "The resource already exists")
                token_ = self._sign({"url": f"{bucket}/{name}", "upsert": upsert}, _UPLOAD_SECONDS)
                return {"url": f"/object/upload/sign/{bucket}/{name}?token={token_}", "token": token_}
            case "GET", ["info", bucket, *parts]:
                found = self._object(bucket, parts)
                return {
                    "id": found.id,
                    "name": _unquoted(parts),
                    "version": found.id,
                    "bucket_id": bucket,
                    "size": len(found.data),
                    "content_type": found.mimetype,
                    "cache_control": found.cache_control,
                    "etag": found.etag,
                    "metadata": found.user_metadata,
                    "last_modified": found.updated_at,
                    "created_at": found.created_at,
                }
            case "DELETE", [bucket]:
                objects = self._found(bucket).objects
                names = json.loads(body)["prefixes"]
                return [{"name": name} for name in names if objects.pop(name, None) is not None]
            case "POST" | "PUT", [bucket, *parts]:
                return self._upload(bucket, parts, body, upsert=self.headers.get("x-upsert") == "true")
            case "GET", [bucket, *parts]:
                return self._object(bucket, parts)
        raise Refused(404, "Not Found", f"Route {self.command}:{path} not found")

    def _authorized(self) -> None:
        if self.headers.get("authorization") != f"Bearer {self.storage.key}" or not self.headers.get("apikey"):
            raise Refused(403, "Unauthorized", "Invalid Compact JWS")

    def _found(self, bucket: str) -> Bucket:
        try:
            return self.storage.buckets[bucket]
        except KeyError:
            raise _NO_BUCKET from None

    def _name(self, bucket: str, parts: list[str]) -> str:
        self._found(bucket)
        name = _unquoted(parts)
        if not _NAME.fullmatch(name):
            raise Refused(400, "InvalidKey", f"Invalid key: {name}")
        if len(f"{'p' * 20}/{bucket}/{name}/{uuid.uuid4()}") > 1024:
            raise Refused(500, "InternalError", "KeyTooLongError")
        return name

    def _object(self, bucket: str, parts: list[str]) -> Object:
        try:
            return self._found(bucket).objects[_unquoted(parts)]
        except KeyError:
            raise _NO_OBJECT from None

    def _copy(self, asked: dict[str, Any]) -> dict[str, str]:
        source = self._object(asked["bucketId"], [urllib.parse.quote(asked["sourceKey"])])
        bucket = asked.get("destinationBucket") or asked["bucketId"]
        name = self._name(bucket, [urllib.parse.quote(asked["destinationKey"])])
        copied = asked.get("copyMetadata", True)
        said = {} if copied else asked.get("metadata") or {}
        own = self.headers.get("x-metadata")
        self._store(
            bucket,
            name,
            source.data,
            said.get("mimetype", source.mimetype),
            said.get("cacheControl", source.cache_control),
            self.headers.get("x-upsert") == "true",
            source.user_metadata if copied else json.loads(base64.b64decode(own)) if own else None,
        )
        return {"Id": self.storage.buckets[bucket].objects[name].id, "Key": f"{bucket}/{name}"}

    def _upload(self, bucket: str, parts: list[str], body: bytes, *, upsert: bool) -> dict[str, str]:
        name = self._name(bucket, parts)
        data, media_type, fields = self._content_of(body)
        self._store(
            bucket,
            name,
            data,
            media_type,
            f"max-age={fields['cacheControl']}" if fields.get("cacheControl") else "no-cache",
            upsert,
            json.loads(fields["metadata"]) if "metadata" in fields else None,
        )
        return {"Id": self.storage.buckets[bucket].objects[name].id, "Key": f"{bucket}/{name}"}

    def _store(
        self,
        bucket: str,
        name: str,
        data: bytes,
        media_type: str,
        cache_control: str,
        upsert: bool,
        user_metadata: dict[str, Any] | None = None,
    ) -> None:
        held = self._found(bucket)
        if name in held.objects and not upsert:
            raise Refused(409, "Duplicate", "The resource already exists")
        self._allowed(held, media_type, len(data))
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        old = held.objects.get(name)
        held.objects[name] = Object(
            data=data,
            mimetype=media_type,
            cache_control=cache_control,
            user_metadata=user_metadata,
            created_at=old.created_at if old else now,
            updated_at=now,
        )

    def _allowed(self, held: Bucket, media_type: str, size: int) -> None:
        if held.allowed_mime_types is not None and not any(
            allowed in (media_type, media_type.split("/")[0] + "/*") for allowed in held.allowed_mime_types
        ):
            raise Refused(415, "invalid_mime_type", f"mime type {media_type} is not supported")
        if held.file_size_limit is not None and size > held.file_size_limit:
            raise Refused(413, "Payload too large", "The object exceeded the maximum allowed size")

    def _content_of(self, body: bytes) -> tuple[bytes, str, dict[str, str]]:
        """The file, its type and the other fields: of a form, or of a body that is the file itself."""
        kind = self.headers.get("content-type") or "application/octet-stream"
        if not kind.startswith("multipart/form-data"):
            return body, kind, {}
        boundary = b"\r\n--" + kind.partition("boundary=")[2].strip('"').encode()
        fields: dict[str, str] = {}
        file: tuple[bytes, str] | None = None
        for part in (b"\r\n" + body).split(boundary)[1:-1]:
            head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            said = head.decode()
            name = re.search(r'name="([^"]*)"', said)
            assert name is not None
            if "filename" in said:
                declared = re.search(r"(?im)^content-type:\s*([^;\r\n]+)", said)
                file = content, declared[1].strip().lower() if declared else "text/plain"
            else:
                fields[name[1]] = content.decode()
        if file is None:
            raise Refused(400, "InvalidRequest", "No content provided")
        return file[0], fields.get("contentType") or file[1], fields

    def _list(self, bucket: str, asked: dict[str, Any]) -> dict[str, Any]:
        objects = self._found(bucket).objects
        after = asked.get("cursor") and bytes.fromhex(asked["cursor"]).decode()
        names = sorted(
            (name for name in objects if name.startswith(asked.get("prefix", "")) and name > (after or "")),
            key=str.encode,
        )
        page = names[: min(asked.get("limit", 1000), 1000)]
        more = len(names) > len(page)
        return {
            "hasNext": more,
            "nextCursor": page[-1].encode().hex() if more else None,
            "folders": [],
            "objects": [
                {
                    "id": objects[name].id,
                    "name": name,
                    "updated_at": objects[name].updated_at,
                    "created_at": objects[name].created_at,
                    "metadata": objects[name].metadata,
                }
                for name in page
            ],
        }

    def _sign(self, claims: dict[str, Any], seconds: int) -> str:
        now = int(time.time())
        return jwt.encode(claims | {"iat": now, "exp": now + seconds}, self.storage.secret, algorithm="HS256")

    def _token(self, asked: dict[str, str], bucket: str, parts: list[str]) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(asked.get("token", ""), self.storage.secret, algorithms=["HS256"])
        except jwt.InvalidTokenError as error:
            raise Refused(400, "InvalidJWT", str(error)) from None
        if claims["url"] != f"{bucket}/{_unquoted(parts)}":
            raise Refused(400, "InvalidSignature", "Invalid signature")
        return claims


def _unquoted(parts: list[str]) -> str:
    return urllib.parse.unquote("/".join(parts))


def _decode_uri(text: str) -> str:
    """JavaScript's ``decodeURI``, with which Storage makes what it signs: the reserved characters stay escaped."""
    return re.sub(
        r"(?:%[0-9A-Fa-f]{2})+",
        lambda found: "".join(
            urllib.parse.quote(char, safe="") if char in ";/?:@&=+$,#" else char
            for char in urllib.parse.unquote(found[0])
        ),
        text,
    )
