"""Amazon's services as moto plays them, in this process: nothing here reaches AWS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from moto import mock_aws

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


@contextmanager
def pretended() -> Iterator[None]:
    """An empty account, which ``shared.aws.client`` reaches."""
    aws.forget()
    with mock.patch.dict(os.environ, ENVIRONMENT), mock_aws():
        yield
        aws.forget()
