"""What the strings under a model's attributes say, put into an API's description when somebody asks for it.

pydantic can do so by itself (``use_attribute_docstrings``), but then reads and parses the source of every model at its
import, which each cold start would pay for and hardly any request needs.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import AliasChoices, BaseModel


def describe(schemas: dict[str, Any], *bases: type[BaseModel]) -> None:
    """Add them to ``schemas`` (OpenAPI's ``components.schemas``) for all models that derive from ``bases``."""
    for model in {model for base in bases for model in _derived(base)}:
        title = re.sub(r"[^A-Za-z0-9._-]", "_", model.__name__)
        documents = _documents(model)
        for name in (title, f"{title}-Input", f"{title}-Output"):
            properties = schemas.get(name, {}).get("properties", {})
            for field, text in documents.items():
                for alias in _names(model, field) & properties.keys():
                    properties[alias].setdefault("description", text)


def _derived(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for derived in model.__subclasses__():
        yield derived
        yield from _derived(derived)


def _documents(model: type[BaseModel]) -> dict[str, str]:
    """Field to text; a field that is declared anew has the text of its new declaration or none."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, BaseModel) and part is not BaseModel:
            own = _own(part)
            found = {name: text for name, text in found.items() if name not in part.__annotations__} | own
    return found


def _own(model: type[BaseModel]) -> dict[str, str]:
    """The strings that stand under the attributes in the model's own source."""
    try:
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    except (OSError, ValueError):  # made at run time: a parametrised generic, or packed without its source
        return {}
    found = {}
    for statement, following in pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found


def _names(model: type[BaseModel], field: str) -> set[str]:
    """Under which names a field may stand in a schema."""
    info = model.model_fields.get(field)
    alias = info.validation_alias if info is not None else None
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return {field, *(choice for choice in choices if isinstance(choice, str))}
