"""The environment of the installation as a whole: every variable that any function is given, looked at together."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, TypeVar

from pydantic import Field, SecretStr, ValidationError

import shared.settings
from infra import reference
from infra.buckets import declared, spoken
from infra.doctor.finding import Finding, failing, ok
from infra.local.settings import StackSettings
from shared.settings import PREFIX, Settings

NAME = "settings"

S = TypeVar("S", bound=Settings)


class AddressSettings(Settings):
    """Where the functions and the migrations find the database."""

    api_database_url: Annotated[
        SecretStr, Field(description="Postgres for the functions that tenants call, as millrace_api.")
    ]
    engine_database_url: Annotated[
        SecretStr, Field(description="Postgres for all other functions, as millrace_engine.")
    ]
    migration_url: Annotated[SecretStr, Field(description="Postgres as its owner: a direct or session address.")]


class Environment:
    """The settings models that could be read; those that could not are findings."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._read: dict[type[Settings], Settings] = {}
        seen: set[str] = set()
        models: list[type[Settings]] = [AddressSettings, *_models()]
        for model in models:
            try:
                self._read[model] = model(**_made(model))
            except ValidationError as error:
                for finding in _mistakes(model, error):
                    if finding.detail not in seen:  # one field may be in several models
                        seen.add(finding.detail)
                        self.findings.append(finding)
        self.findings += _unknown(os.environ)
        identity = self._read.get(shared.settings.IdentitySettings)
        if isinstance(identity, shared.settings.IdentitySettings) and not (
            identity.jwt_secret or identity.jwt_jwks_url
        ):
            self.findings.append(
                failing(
                    NAME,
                    "Neither MILLRACE_JWT_JWKS_URL nor MILLRACE_JWT_SECRET is set: nobody can sign in.",
                    "Set MILLRACE_JWT_JWKS_URL to https://<ref>.supabase.co/auth/v1/.well-known/jwks.json.",
                )
            )
        if not self.findings:
            self.findings.append(ok(NAME, "All that the functions need is set."))

    def get(self, model: type[S]) -> S | None:
        """The settings of this model, if they are in order."""
        found = self._read.get(model)
        return found if isinstance(found, model) else None


def _models() -> Iterator[type[Settings]]:
    """The mix-ins that functions are made of. The address of the database has other names here."""
    for model in Settings.__subclasses__():
        if model.__module__ == shared.settings.__name__ and model not in (
            shared.settings.DatabaseSettings,
            shared.settings.MigrationSettings,
        ):
            yield model


def _made(model: type[Settings]) -> dict[str, str]:
    """What ``serverless.yml`` makes of our own files, so that nobody sets it."""
    return {"buckets": spoken(declared())} if model is shared.settings.UploadSettings else {}


def _mistakes(model: type[Settings], error: ValidationError) -> Iterator[Finding]:
    for mistake in error.errors(include_url=False, include_input=False, include_context=False):
        field = str(mistake["loc"][0]) if mistake["loc"] else ""
        variable = PREFIX + field.upper()
        missing = mistake["type"] == "missing"
        said = "is not set" if missing else str(mistake["msg"])
        about = model.model_fields[field].description if field in model.model_fields else None
        yield failing(NAME, f"{variable}: {said}.", f"Set it: {about}" if about else "Correct it.")


def known() -> set[str]:
    """Every variable that means something to us."""
    models: list[type[Settings]] = [*Settings.__subclasses__(), StackSettings]
    names = {model.prefix + name.upper() for model in models for name in model.model_fields}
    return names | set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", reference.settings_reference()))


def _unknown(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that look like one of ours, misspelt. Others may be somebody's own."""
    names = known()
    for name in sorted(name for name in environment if name.startswith(PREFIX) and name not in names):
        if close := difflib.get_close_matches(name, names, n=1, cutoff=0.85):
            yield failing(NAME, f"{name} is no setting.", f"Did you mean {close[0]}?")
