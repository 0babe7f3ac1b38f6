"""``infra/stages.yml``: what differs by stage, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.local.variables import Variables, load_yaml
from infra.template.compiler import TemplateError


class Throttle(BaseModel):
    """How many requests the API takes: a second, and at once beyond that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Annotated[int, Field(ge=1, le=10_000)]
    burst: Annotated[int, Field(ge=1, le=5_000)]


class Stage(BaseModel):
    """One stage's settings; the file itself says what each is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    throttle: Throttle
    origins: Annotated[list[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")]], Field(min_length=1)]
    run_concurrency: Annotated[int, Field(ge=2, le=1000)]
    storage_concurrency: Annotated[int, Field(ge=2, le=1000)]
    ocr_concurrency: Annotated[int, Field(ge=2, le=1000)]
    code_concurrency: Annotated[int, Field(ge=2, le=1000)]
    reserved_concurrency: dict[str, Annotated[int, Field(ge=0)]]
    snap_start: bool
    log_days: Annotated[int, Field(ge=1, le=3653)]
    alarm_topic: Literal["none", "own"]
    pooler_clients: Annotated[int, Field(ge=1)]
    http_clients: Annotated[int, Field(ge=1)]


def read_stage(root: Path, name: str, env: Mapping[str, str]) -> Stage:
    """The settings that ``serverless.yml`` in ``root`` uses for the stage ``name``. Raises :class:`TemplateError`."""
    document = load_yaml(root / "serverless.yml")
    try:
        stage = Stage.model_validate(Variables(root, document, name, env).resolve("${self:custom.stage}"))
    except ValidationError as error:
        said = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise TemplateError(f"infra/stages.yml, stage {name!r}:\n" + "\n".join(said)) from None
    if unknown := sorted(stage.reserved_concurrency.keys() - document["functions"].keys()):
        raise TemplateError(
            f"infra/stages.yml, stage {name!r}: reserved_concurrency names {', '.join(unknown)}, no function"
        )
    return stage
