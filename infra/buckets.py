"""The five buckets as ``infra/buckets.yml`` declares them, for whoever creates them or checks on them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.local.variables import ServerlessError, Variables, load_yaml
from shared.storage import BUCKETS

DECLARATION = Path(__file__).with_name("buckets.yml")

MediaType = Annotated[str, Field(pattern=r"^[a-z]+/([a-z0-9][a-z0-9.+-]*|\*)$")]


class Bucket(BaseModel):
    """One bucket, as it shall be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    public: bool
    size_limit: Annotated[
        int, Field(ge=1, le=1024**3)
    ]  #: of one object, in bytes; no more can be hashed while a caller waits
    media_types: tuple[MediaType, ...] | None  #: None: any


class BucketsError(Exception):
    """``infra/buckets.yml`` does not declare our buckets; the message names every mistake."""


def declared(environment: Mapping[str, str] | None = None, path: Path = DECLARATION) -> tuple[Bucket, ...]:
    """Our buckets in their order. What the stage may choose comes from ``environment`` (default: this process's).

    Raises :class:`BucketsError` for a bucket too many or too few, and for one that is not declared well.
    """
    given = {name: value for name, value in (os.environ if environment is None else environment).items() if value}
    try:
        document: Any = Variables(path.parent.parent, {}, None, given).resolve(load_yaml(path))
    except ServerlessError as error:
        raise BucketsError(str(error)) from error
    if not isinstance(document, dict) or set(document) != set(BUCKETS):
        raise BucketsError(f"{path.name} must declare exactly these buckets: {', '.join(BUCKETS)}.")
    found: list[Bucket] = []
    mistakes: list[str] = []
    for name in BUCKETS:
        try:
            found.append(Bucket(name=name, **(document[name] or {})))
        except (ValidationError, TypeError) as error:
            mistakes += _mistakes(name, error)
    if mistakes:
        raise BucketsError("\n".join([f"{path.name} is not as it should be:", *mistakes]))
    return tuple(found)


def spoken(buckets: Iterable[Bucket]) -> str:
    """The buckets as a function is told of them in MILLRACE_BUCKETS."""
    return ",".join(" ".join([bucket.name, str(bucket.size_limit), *(bucket.media_types or ())]) for bucket in buckets)


def make_directories(root: Path, buckets: Iterable[Bucket]) -> None:
    """The buckets of a local store below ``root``, each its owner's alone. Those that are there stay as they are."""
    for bucket in buckets:
        (root / bucket.name).mkdir(mode=0o700, parents=True, exist_ok=True)


def _mistakes(name: str, error: ValidationError | TypeError) -> list[str]:
    if isinstance(error, TypeError):
        return [f"  {name}: must be a mapping"]
    return [f"  {name}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]
