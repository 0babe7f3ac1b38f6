"""Amazon's services as moto plays them, in this process: nothing here reaches AWS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock
from urllib.parse import unquote

from moto import mock_aws
from moto.s3.exceptions import PreconditionFailed
from moto.s3.responses import S3Response

from shared import aws

REGION = "eu-central-1"
ACCOUNT = "123456789012"

#: What moto wants to see of credentials; none of them open anything.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


_copy_object = S3Response.copy_object


def _copy_conditionally(self: Any) -> Any:
    """CopyObject with the conditions that S3 has and moto has not yet (API Reference, "CopyObject")."""
    found = self.backend.get_object(self.bucket_name, self.parse_key_name())
    if self.headers.get("if-none-match") == "*" and found is not None:
        raise PreconditionFailed("If-None-Match")
    if (wanted := self.headers.get("x-amz-copy-source-if-match")) is not None:
        bucket, key = unquote(self.headers["x-amz-copy-source"]).lstrip("/").split("/", 1)
        source = self.backend.get_object(bucket, key)
        if source is not None and source.etag.strip('"') != wanted.strip('"'):
            raise PreconditionFailed("x-amz-copy-source-If-Match")
    return _copy_object(self)


@contextmanager
def conditional_copies() -> Iterator[None]:
    """Moto's S3 in this process copies as S3 does when it is told conditions."""
    with mock.patch.object(S3Response, "copy_object", _copy_conditionally):
        yield


@contextmanager
def pretended() -> Iterator[None]:
    """An empty account, which ``shared.aws.client`` reaches."""
    aws.forget()
    with mock.patch.dict(os.environ, ENVIRONMENT), conditional_copies(), mock_aws():
        yield
        aws.forget()
