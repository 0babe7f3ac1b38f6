"""Read a document.

The work is a job of the capability `ocr`, which chooses the engine, splits long documents and keeps what it reads.
Asking again for a document that was read costs nothing: the owner's earlier result is given.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from shared.models.ocr import Hints, OcrOptions
from shared.storage.port import BUCKETS
from shared.workflow.node import Effect, Job, Json, NodeConfig, StepContext, StepError, node
from shared.workflow.nodes.operands import MaybeText, Template, Text, declared, evaluate, kind, old, render

#: The longest bucket, key or address that names a document.
LONGEST = 2000


class OcrSwitchConfig(NodeConfig):
    """Which document, and how."""

    url: MaybeText = Field(
        default=None,
        max_length=8192,
        validation_alias=old("url", "document_url"),
        description="`http` or `https`, a template",
    )
    bucket: Text = Field(
        default="ocr-documents", min_length=1, max_length=8192, description="where the file is stored, a template"
    )
    key: MaybeText = Field(
        default=None,
        min_length=1,
        max_length=8192,
        description="its key, beginning with your id, a template; without it and `url`, the file that started the run",
    )
    engine: MaybeText = Field(
        default=None,
        min_length=1,
        max_length=8192,
        description="`auto`, `rapidocr`, `tesseract`, `text_layer` or an engine of the old system, a template",
    )
    document_metadata: Template = Field(
        default=None, description="what is known of the document, a template: it chooses where `engine` does not"
    )
    options: Template = Field(
        default=None, description="an object of `text_layer` (`auto`, `never`, `only`), `tables`, `fields`; a template"
    )

    @field_validator("bucket")
    @classmethod
    def _known(cls, bucket: str) -> str:
        if "{{" not in bucket and bucket not in BUCKETS:
            raise ValueError(f"the buckets are {', '.join(BUCKETS)}")
        return bucket

    @field_validator("options")
    @classmethod
    def _understood(cls, options: Any) -> Any:
        if "{{" not in str(options):
            _options(options, ValueError)
        return options

    @model_validator(mode="after")
    def _one_place(self) -> OcrSwitchConfig:
        if self.url is not None and self.key is not None:
            raise ValueError("give either `url` or `key` (and `bucket`)")
        return self


@node("ocr_switch", config=OcrSwitchConfig, effect=Effect.IDEMPOTENT, expressions=declared, capability="ocr")
def ocr_switch(config: OcrSwitchConfig, context: StepContext) -> Job:
    """Read a document: its text, tables and fields."""
    options = _options(render(context, config.options, "options"), _unusable)
    metadata = render(context, config.document_metadata, "document_metadata")
    try:
        hints = Hints.model_validate(metadata or {})
    except ValidationError as error:
        raise _unusable(f"document_metadata: {error.errors()[0]['msg']}") from None
    engine = None if config.engine is None else _text(context, config.engine, "engine")
    return Job(
        kind="ocr",
        input={
            "document": _place(config, context),
            "options": options.model_dump(mode="json"),
            "asked": {"engine": engine, "metadata": hints.model_dump(mode="json", exclude_defaults=True)},
        },
    )


def _place(config: OcrSwitchConfig, context: StepContext) -> dict[str, Json]:
    if config.url is not None:
        return {"url": _text(context, config.url, "url")}
    if config.key is not None:
        return {"bucket": _text(context, config.bucket, "bucket"), "key": _text(context, config.key, "key")}
    stored = evaluate(context, "trigger", "trigger")
    payload = stored.get("payload") if isinstance(stored, dict) else None
    if not isinstance(payload, dict) or not payload.get("bucket") or not payload.get("key"):
        raise _unusable("no document: give `url` or `key`, for the run was not started by a stored file")
    return {"bucket": payload["bucket"], "key": payload["key"]}


def _text(context: StepContext, template: str, field: str) -> str:
    value = render(context, template, field)
    if not isinstance(value, str) or not value:
        raise _unusable(f"{field} gave {kind(value)}, not the text that it should be")
    if len(value) > LONGEST:
        raise _unusable(f"{field} is longer than {LONGEST} characters")
    return value


def _options(value: Any, error: type[ValueError] | Any) -> OcrOptions:
    try:
        return OcrOptions.model_validate(value or {})
    except ValidationError as mistake:
        [first, *_] = mistake.errors()
        place = ".".join(["options", *map(str, first["loc"])])
        raise error(f"{place}: {first['msg']}") from None


def _unusable(message: str) -> StepError:
    return StepError(message, kind="input")
