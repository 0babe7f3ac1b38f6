"""Whether each row model of ``shared/models`` matches its table: the names, the types, and what may be null."""

from __future__ import annotations

import importlib
import pkgutil
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import shared.models
from infra.review.catalogue import Catalogue
from infra.review.remedy import split
from shared.models.base import Json, Row, UtcDatetime

#: A column's type, without its bounds, to the type of its field.
PYTHON: dict[str, Any] = {
    "uuid": UUID,
    "character varying": str,
    "text": str,
    "boolean": bool,
    "integer": int,
    "bigint": int,
    "double precision": float,
    "timestamp without time zone": UtcDatetime,
    "timestamp with time zone": UtcDatetime,
    "jsonb": Json,
    "bytea": bytes,
    "text[]": list[str],
}


@dataclass(frozen=True)
class Mismatch:
    """One field that is not what its column is."""

    model: str
    table: str
    column: str  #: as the catalogue names it: ``public.item.title``
    says: str
    remedy: str


def row_models() -> dict[str, type[Row]]:
    """Every row model by its table, ``public.item``. A domain is a module."""
    for module in pkgutil.iter_modules(shared.models.__path__):
        importlib.import_module(f"shared.models.{module.name}")
    return {_qualified(model.table): model for model in Row.__subclasses__()}


def domain(model: type[Row]) -> str:
    return model.__module__.rpartition(".")[2]


def fields(model: type[Row]) -> Iterator[tuple[str, Any, bool]]:
    """(name, type, nullable) of each field, the type as in :data:`PYTHON`."""
    hints = typing.get_type_hints(model, include_extras=True)
    for name in model.model_fields:
        hint, nullable = hints[name], False
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
            nullable = True
        yield name, hint, nullable


def mismatches(found: Catalogue) -> list[Mismatch]:
    """What does not match, of the tables that are there."""
    columns: dict[str, dict[str, dict[str, Any]]] = {}
    for name, facts in found["column"].items():
        table, column = split(name)
        columns.setdefault(table, {})[column.strip('"')] = facts
    made: list[Mismatch] = []
    for table, model in row_models().items():
        if table in found["table"]:
            made += _of(model, table, columns.get(table, {}))
    return made


def _of(model: type[Row], table: str, columns: dict[str, dict[str, Any]]) -> Iterator[Mismatch]:
    for name, hint, nullable in fields(model):
        facts = columns.get(name)
        if facts is None:
            says = "has no column"
        elif PYTHON.get(_bare(facts["type"])) != hint:
            says = f"reads {facts['type']} as {getattr(hint, '__name__', str(hint))}"
        elif bool(facts.get("nullable")) != nullable:
            says = "may not be null in the table" if nullable else "may be null in the table"
        else:
            continue
        yield Mismatch(
            model.__name__,
            table,
            f"{table}.{name}",
            f"{model.__name__}.{name} {says}",
            f"Restore the column, or change {model.__name__} in shared/models/{domain(model)}.py with a migration.",
        )


def _qualified(table: str) -> str:
    return f'public."{table}"' if table == "user" else f"public.{table}"


def _bare(kind: str) -> str:
    return re.sub(r"\(\d+(,\d+)?\)", "", kind)
