"""Calling another function and waiting for its answer: the port, and its two ends.

    functions().invoke("code-sandbox", payload, timeout=10)

On AWS that is Lambda's Invoke (RequestResponse), on a laptop the local stack's own endpoint, which speaks the same API
and holds to the same limits. What goes wrong is one of three errors: :class:`~shared.errors.TooLarge` before anything
is sent or when the answer did not fit, :class:`FunctionFailed` when the function itself failed, and
:class:`~shared.errors.Unavailable` when it could not be asked or did not answer: it may have run all the same, so a
caller repeats only what may be repeated.

Source: AWS Lambda API Reference, "Invoke"; Developer Guide, "Lambda quotas".
"""

from __future__ import annotations

import functools
import http.client
import json
import math
import threading
import urllib.parse
from typing import Any, Protocol

from shared.errors import TooLarge, Unavailable
from shared.settings import InvocationSettings

#: Lambda's quota for one request and one answer, in bytes of JSON.
MAX_BYTES = 6 * 1024 * 1024
#: Added to a caller's time for the way there and back, and for a cold start.
MARGIN_SECONDS = 15.0

_CONNECT_SECONDS = 3.0
_PATH = "/2015-03-31/functions/{}/invocations"
_TOO_LARGE_ANSWER = "Function.ResponseSizeTooLarge"


class FunctionFailed(Exception):
    """The function ran and raised, ran out of time or memory, or could not be started.

    ``type`` is what Lambda calls it: an exception's name, ``Sandbox.Timedout``, ``Runtime.ExitError``.
    """

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(f"{type_}: {message}")
        self.type = type_
        self.message = message


class Functions(Protocol):
    """The functions of this installation."""

    def invoke(self, function: str, payload: Any, timeout: float) -> Any:
        """The answer of ``function`` (its key in ``serverless.yml``) to ``payload``; both are JSON.

        ``timeout`` is the time, in seconds, that the function itself may take; its start comes on top.
        """


class LambdaFunctions:
    """Functions on AWS Lambda, named ``<prefix>-<function>``. boto3 is loaded at the first call."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._clients: dict[int, Any] = {}
        self._lock = threading.Lock()

    def invoke(self, function: str, payload: Any, timeout: float) -> Any:
        body = _dump(function, payload)
        client = self._client(timeout)
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = client.invoke(FunctionName=f"{self._prefix}-{function}", Payload=body)
            failed, data = answer.get("FunctionError"), answer["Payload"].read()
        except ClientError as error:
            said = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            raise _refused(function, int(status), f"{said.get('Code')}: {said.get('Message')}") from error
        except BotoCoreError as error:  # no connection, no answer in time, no credentials
            raise Unavailable(f"The function {function} did not answer: {error}", retry_after=1) from error
        return _answer(function, failed, data)

    def _client(self, timeout: float) -> Any:
        """A client that waits long enough: boto3 knows one patience per client, so there is one per half minute."""
        patience = 30 * math.ceil((timeout + MARGIN_SECONDS) / 30)
        with self._lock:  # making a client is not safe in several threads, using one is (boto3 guide, "Clients")
            if patience not in self._clients:
                import boto3
                from botocore.config import Config

                self._clients[patience] = boto3.Session().client(
                    "lambda",
                    config=Config(
                        connect_timeout=_CONNECT_SECONDS,
                        read_timeout=patience,
                        # A lost answer is not asked for again: that would run the function twice at a time.
                        retries={"mode": "standard", "total_max_attempts": 1},
                    ),
                )
            return self._clients[patience]

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()


class LocalFunctions:
    """Functions of the local stack, which gives ``address`` and ``token`` to those that may call others."""

    def __init__(self, address: str, token: str) -> None:
        parts = urllib.parse.urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port
        self._token = token

    def invoke(self, function: str, payload: Any, timeout: float) -> Any:
        body = _dump(function, payload)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout + MARGIN_SECONDS)
        try:
            connection.request(
                "POST",
                _PATH.format(urllib.parse.quote(function, safe="")),
                body,
                {"authorization": f"Bearer {self._token}", "content-type": "application/json"},
            )
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"The function {function} did not answer: {error}", retry_after=1) from error
        finally:
            connection.close()
        if response.status != 200:
            raise _refused(function, response.status, data[:500].decode(errors="replace"))
        return _answer(function, response.headers.get("X-Amz-Function-Error"), data)


class NoFunctions:
    """Where no function may call another."""

    def invoke(self, function: str, payload: Any, timeout: float) -> Any:
        raise Unavailable(
            f"The function {function} cannot be called from here.", remedy="Set MILLRACE_FUNCTIONS for this function."
        )


def _dump(function: str, payload: Any) -> bytes:
    body = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(body) > MAX_BYTES:
        raise TooLarge(f"What {function} is to be given has {len(body)} bytes as JSON; a function takes {MAX_BYTES}.")
    return body


def _answer(function: str, failed: str | None, data: bytes) -> Any:
    """The function's answer, or why there is none."""
    try:
        document = json.loads(data) if data else None
    except ValueError:
        raise FunctionFailed("Runtime.MalformedAnswer", f"The answer of {function} is not JSON.") from None
    if not failed:
        return document
    said = document if isinstance(document, dict) else {}
    type_, message = str(said.get("errorType") or failed), str(said.get("errorMessage") or "")
    if type_ == _TOO_LARGE_ANSWER:
        raise TooLarge(f"The answer of {function} is larger than the {MAX_BYTES} bytes that a function may give.")
    raise FunctionFailed(type_, message)


def _refused(function: str, status: int, said: str) -> Exception:
    """What Lambda answers when it does not run the function."""
    if status == 413:
        return TooLarge(f"What {function} is to be given is larger than a function takes.")
    if status == 429:
        return Unavailable(f"As many of the function {function} run as may.", retry_after=1)
    if status in (403, 404):
        return Unavailable(f"The function {function} cannot be called: {said}", remedy="Deploy it and its role.")
    return Unavailable(f"The function {function} cannot be reached: {said}", retry_after=1)


@functools.cache
def functions() -> Functions:
    """This process's way to other functions, as ``MILLRACE_FUNCTIONS`` names it. Opens no connection."""
    settings = InvocationSettings.load()
    kind, _, where = settings.functions.partition(":")
    if kind == "lambda":
        return LambdaFunctions(where)
    if kind == "local":
        token = settings.functions_token
        return LocalFunctions(where, token.get_secret_value() if token is not None else "")
    return NoFunctions()
