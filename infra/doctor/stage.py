"""A deployed stage's settings, where the environment names no others: what ``serverless.yml`` makes of its name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from infra.local.stack import ROOT
from infra.local.variables import load_yaml

#: Keys of the stage's secret, and the variables that the deployment makes of them.
SECRETS = {"api_database_url": "MILLRACE_API_DATABASE_URL", "engine_database_url": "MILLRACE_ENGINE_DATABASE_URL"}


def settings_of(stage: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the stage's functions are given, asked of the AWS account of this process's credentials.

    Raises botocore's errors. A secret that is not there gives nothing: what lacks then is a finding.
    """
    import boto3
    from botocore.exceptions import ClientError

    session = boto3.Session(region_name=environment.get("AWS_REGION"))
    region = session.region_name
    account = session.client("sts").get_caller_identity()["Account"]
    service = load_yaml(ROOT / "serverless.yml")["service"]
    found = {
        "MILLRACE_STORAGE": f"s3:{service}-{stage}-{account}",
        "MILLRACE_DOORBELL": f"sqs:https://sqs.{region}.amazonaws.com/{account}/{service}-{stage}",
        "MILLRACE_SECRET_KMS_KEY": f"alias/{service}-{stage}-secrets",
    }
    try:
        kept: Any = session.client("secretsmanager").get_secret_value(SecretId=f"{service}-{stage}")["SecretString"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise
    else:
        held = json.loads(kept)
        found |= {variable: held[key] for key, variable in SECRETS.items() if isinstance(held.get(key), str)}
    return {name: value for name, value in found.items() if not environment.get(name)}
