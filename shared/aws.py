"""Clients of AWS's services, each opened when it is first used and kept for the life of the process.

Importing this opens no connection and reads no credentials, and boto3 is loaded by whoever needs it (80 ms): a cold
start pays only for what it uses, and a snapshot (SnapStart) holds neither.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient
    from types_boto3_s3.client import S3Client
    from types_boto3_sqs.client import SQSClient

#: Seconds to connect, seconds for an answer to begin, and how often that is tried: within what a caller waits for. A
#: bell is worth little patience, for the tick rings again.
PATIENCE = {"s3": (3, 20, 3), "sqs": (1, 3, 2), "kms": (2, 5, 3)}

_clients: dict[str, Any] = {}
_lock = threading.Lock()  # making a client is not safe in several threads, using one is (boto3 guide, "Clients")


@overload
def client(service: Literal["s3"]) -> S3Client: ...
@overload
def client(service: Literal["sqs"]) -> SQSClient: ...
@overload
def client(service: Literal["kms"]) -> KMSClient: ...
def client(service: str) -> Any:
    """This process's client of the service, in the region and with the role that Lambda tells boto3."""
    with _lock:
        found = _clients.get(service)
        if found is None:
            import boto3
            from botocore.config import Config

            connect, read, attempts = PATIENCE[service]
            found = _clients[service] = boto3.Session().client(
                service,  # type: ignore[call-overload]  # the overloads above say which
                config=Config(
                    connect_timeout=connect,
                    read_timeout=read,
                    retries={"mode": "standard", "total_max_attempts": attempts},
                    signature_version="s3v4" if service == "s3" else None,
                ),
            )
        return found


def forget() -> None:
    """Close the clients; the next use opens new ones. For tests."""
    with _lock:
        for held in _clients.values():
            held.close()
        _clients.clear()
