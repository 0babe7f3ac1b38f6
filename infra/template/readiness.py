"""What a deployment would lack, found before it is made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from infra.package import record
from infra.template.compiler import Template

#: What ``serverless.yml`` names until an image is built: osls asks a registry for any tag, and for no digest.
NO_IMAGE = "@sha256:" + "0" * 64

_DYNAMIC = re.compile(r"^\{\{resolve:(secretsmanager|ssm):[^}]+\}\}$")


def lacking(template: Template) -> Iterator[str]:
    """One sentence for each thing."""
    for path in template.missing:
        yield f"{path} is not built: `make package`."
    for logical, function in template.resources("AWS::Lambda::Function").items():
        if "VpcConfig" in function["Properties"]:
            continue  # the sandbox is told nothing
        given = function["Properties"].get("Environment", {}).get("Variables", {})
        if str(function["Properties"]["Code"].get("ImageUri", "")).endswith(NO_IMAGE):
            yield f"{logical} is an image that is not named: docs/packages.md says how to build it."
        if "MILLRACE_DATABASE_URL" in given and not given["MILLRACE_DATABASE_URL"]:
            yield f"{logical} is not told where the database is: unset the empty MILLRACE_…_DATABASE_URL."
        if "MILLRACE_JWT_SECRET" in given and not (given["MILLRACE_JWT_SECRET"] or given.get("MILLRACE_JWT_JWKS_URL")):
            yield f"{logical} cannot check tokens: set MILLRACE_JWT_JWKS_URL."


def unfit(root: Path, packages: Iterable[Path], storage: str) -> Iterator[str]:
    """One sentence for each package below ``root`` that has no client for where objects are kept.

    ``storage`` is ``MILLRACE_STORAGE`` as it is deployed.
    """
    kind = storage.partition(":")[0] or "s3"
    for path in packages:
        built = record.read(root / path)
        if built is None:
            if (root / path).is_file():
                yield f"{path} is not what `make package` built: build it again."
        elif built.storage != kind:
            yield f"{path} has {built.storage}'s client, MILLRACE_STORAGE names {kind}: `make package` with it set."


def readable_secrets(template: Template) -> Iterator[str]:
    """Names of variables whose secret value stands in the template, for all who may read the stack to see."""
    found = {
        name
        for function in template.resources("AWS::Lambda::Function").values()
        for name, value in function["Properties"].get("Environment", {}).get("Variables", {}).items()
        if name in ("MILLRACE_DATABASE_URL", "MILLRACE_JWT_SECRET", "MILLRACE_STORAGE_SECRET", "MILLRACE_SUPABASE_KEY")
        and value
        and not _DYNAMIC.match(str(value))
    }
    yield from sorted(found)
