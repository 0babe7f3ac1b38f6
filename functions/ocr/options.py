"""How one document is to be read. What an installation allows is :class:`shared.settings.ReaderSettings`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """The caller's wishes; all have defaults that suit most documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Literal["auto", "rapidocr", "tesseract"] = Field(
        default="auto",
        description="What recognises text in pictures; `auto` is rapidocr, with tesseract where that is unsure.",
    )
    text_layer: Literal["auto", "never", "only"] = Field(
        default="auto",
        description=(
            "A PDF's own text: `auto` takes it where it is sound, `never` recognises every page anew, `only` recognises"
            " none."
        ),
    )
    tables: bool = Field(default=True, description="Whether tables are looked for.")
    fields: bool = Field(default=True, description="Whether name-value fields are looked for.")
