"""The parts of the documentation that are made from the code: settings and API. ``make reference`` writes them.

A test compares what stands in ``docs`` with what is made here, so neither can be forgotten.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from infra.local.settings import StackSettings
from shared import settings

DOCS = Path(__file__).resolve().parent.parent / "docs"

#: Modules with a FastAPI application ``app``, in the order of the API reference.
FACES = (
    "functions.workflow_api.api",
    "functions.account.api",
    "functions.code_exec.api",
    "functions.ocr.api",
    "functions.storage.api",
    "functions.item.api",
    "functions.health.api",
)

SETTINGS_INTRODUCTION = """\
# Settings

<!-- Made from shared/settings.py by `make reference`: change it there. -->

A function reads its settings from the environment once, when it starts. If one is missing or out of bounds, it stops
and names every such variable at once. The local stack sets them all itself, so on your own machine you need none.

An empty variable counts as unset. Values marked secret are never logged.
"""

API_INTRODUCTION = """\
# API

<!-- Made from the OpenAPI documents of the HTTP functions by `make reference`: change it there. -->

Every route is under the address that `make dev` prints. Send `Authorization: Bearer <token>`: a token of your Supabase
project, or one of the platform's own (`mr_…`, see [Command line](cli.md#token)).

What goes wrong is answered with a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)),
`application/problem+json`: `type`, `title`, `status`, `detail`, often `remedy` (what to do), and for content that is
not valid `errors`, a list of `path` and `message`. Something that belongs to somebody else is answered as if it were
not there (404).

A list comes as a page: `items`, and `next`, which is the `cursor` of the page that follows or null at the end.
"""

#: The one HTTP function without an application of its own: its path, query and body belong to its senders.
HOOKS = """\
## Webhooks

### POST `/hooks/{path}`

A delivery to a webhook subscription's address. It needs no token: its signature is checked. PUT and PATCH are taken
too, or only the method that the workflow's `trigger_config` names. `?wait=` (seconds, at most 25) asks for the run's
own answer. `/api/v1/workflows/webhooks/{path}` is the same. What is answered when, and how to sign:
[Webhooks](webhooks.md).
"""


def settings_reference() -> str:
    """``docs/settings.md``."""
    parts = [SETTINGS_INTRODUCTION]
    kinds = [kind for kind in settings.Settings.__subclasses__() if kind.__module__ == settings.__name__]
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        title = re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__.removesuffix("Settings"))
        parts += _settings(title, kind)
    parts += _settings("Local stack", StackSettings)
    return _tidy("\n".join([*parts, OTHER_VARIABLES]))


def _settings(title: str, model: type[settings.Settings]) -> Iterator[str]:
    """The section of one settings model."""
    yield f"\n## {title}\n\n{_paragraph(model.__doc__)}\n"
    yield "| variable | default | bounds | what it is |\n|---|---|---|---|"
    for name in model.__annotations__:
        if field := model.model_fields.get(name):
            yield _setting(model.prefix + name.upper(), field)


OTHER_VARIABLES = """
## Deployment

Read by `serverless.yml`, not by any function: what it gives each function follows from these and from those above. The
local stack sets them itself.

| variable | default | what it is |
|---|---|---|
| `MILLRACE_API_DATABASE_URL` | in Secrets Manager | Postgres for what tenants call, as `millrace_api`. Secret. |
| `MILLRACE_ENGINE_DATABASE_URL` | in Secrets Manager | Postgres for all others, as `millrace_engine`. Secret. |
| `MILLRACE_RUN_CONCURRENCY` | the stage's | Most workers that the queue of runs starts at a time. |
| `MILLRACE_OCR_DOCUMENTS_PUBLIC` | `false` | Whether whoever knows a document's name may read it. |
| `MILLRACE_OCR_IMAGE` | none | The image that `make image` made, with its digest: what reads documents. |
| `MILLRACE_LARGE_FILE_BYTES` | 1073741824 | Largest file where large ones go; on Supabase, the project's limit. |

## Command line and tests

Read by `millrace` and by the tests, not by any function.

| variable | default | what it is |
|---|---|---|
| `MILLRACE_URL` | the local stack | Address that `millrace` talks to. |
| `MILLRACE_TOKEN` | the local stack's | Token that `millrace` sends. Secret. |
| `MILLRACE_HOME` | `.millrace` | Where the local stack keeps its data. |
| `MILLRACE_AUTH_URL` | unset | Postgres for `adopt`, with a role that may read `auth.users`. Secret. |
| `MILLRACE_API_PASSWORD` | a random one | What `millrace provision` gives `millrace_api`, ≥ 16 characters. Secret. |
| `MILLRACE_ENGINE_PASSWORD` | a random one | The same for `millrace_engine`. Secret. |
| `MILLRACE_TEST_DATABASE_URL` | unset | A superuser's address of a Postgres on which tests make their databases. |
"""


def _setting(variable: str, field: FieldInfo) -> str:
    """One variable's row."""
    match field.default:
        case value if value is PydanticUndefined:
            default = "required"
        case None:
            default = "unset"
        case "":
            default = "empty"
        case float(value):
            default = f"`{value:g}`"
        case value:
            default = f"`{value if isinstance(value, str) else json.dumps(value)}`"
    secret = " Secret." if "SecretStr" in str(field.annotation) else ""
    description = (field.description or "").rstrip(".")
    return f"| `{variable}` | {default} | {_bounds(field)} | {_cell(description)}.{secret} |"


def _bounds(field: FieldInfo) -> str:
    said = []
    for rule in field.metadata:
        match rule:
            case Ge(ge=low):
                said.append(f"≥ {low}")
            case Gt(gt=low):
                said.append(f"> {low}")
            case Le(le=high):
                said.append(f"≤ {high}")
            case Lt(lt=high):
                said.append(f"< {high}")
            case MinLen(min_length=least):
                said.append(f"≥ {least} characters")
            case MaxLen(max_length=most):
                said.append(f"≤ {most} characters")
            case _:  # of the patterns only a plain choice of words says something to a reader
                if choice := re.fullmatch(r"\^\(([\w|-]+)\)\$", str(getattr(rule, "pattern", ""))):
                    said.append(", ".join(f"`{word}`" for word in choice[1].split("|")))
    return ", ".join(said)


def api_reference() -> str:
    """``docs/api.md``."""
    parts = [API_INTRODUCTION, HOOKS]
    shapes: dict[str, dict[str, Any]] = {}
    for name in FACES:
        module = importlib.import_module(name)
        document = module.app.openapi()
        parts.append(f"\n## {document['info']['title']}\n")
        if described := document["info"].get("description"):
            parts.append(f"{described.strip()}\n")
        for path, method, operation in operations(document):
            parts.append("\n".join(_operation(document, path, method, operation)) + "\n")
        shapes = {**shapes, **_answers(document)}
    parts.append("## What is answered\n")
    for name, shape in sorted(shapes.items()):
        parts.append(f"### {name}\n\n{_paragraph(shape.get('description'))}\n")
        parts.append("\n".join(_fields(shape, answer=True)) + "\n")
    return _tidy("\n".join(parts))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation of an OpenAPI document: path, METHOD, operation object."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield path, method.upper(), operation


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {method} `{path}`\n"
    yield _paragraph(operation.get("description") or operation.get("summary") or "")
    parameters = [
        parameter
        for parameter in operation.get("parameters", [])
        if parameter["in"] in ("query", "header") or parameter.get("description")  # an id in the path says what it is
    ]
    if parameters:
        yield "\n| parameter | in | type | what it is |\n|---|---|---|---|"
        for parameter in parameters:
            schema = parameter.get("schema", {})
            said = parameter.get("description") or schema.get("description") or ""
            if schema.get("default") is not None:
                said = f"{said} Default `{json.dumps(schema['default'])}`.".strip()
            yield f"| `{parameter['name']}` | {parameter['in']} | {_type(schema)} | {_cell(said)} |"
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(document, content.get("schema", {}))
        if schema.get("properties"):
            yield f"\nBody (`{media}`):\n"
            yield from _fields(schema)
        elif schema:
            yield f"\nBody: `{media}`."
    for status, answer in operation.get("responses", {}).items():
        if not status.startswith("2"):
            continue
        schemas = [content.get("schema", {}) for content in answer.get("content", {}).values()]
        said = _link(schemas[0]) if schemas and schemas[0] else ""
        yield f"\nAnswers {status}{': ' + said if said else ''}."


def _answers(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The schemas that answers are made of, by name; those they hold included."""
    found: dict[str, dict[str, Any]] = {}

    def visit(schema: Any) -> None:
        if isinstance(schema, list):
            for part in schema:
                visit(part)
        elif isinstance(schema, dict):
            name = str(schema.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found[name] = document["components"]["schemas"][name]
                visit(found[name])
            for part in schema.values():
                visit(part)

    for _, _, operation in operations(document):
        for status, answer in operation.get("responses", {}).items():
            if status.startswith("2"):
                visit(answer)
    return {name: shape for name, shape in found.items() if not name.startswith("Page_") and "properties" in shape}


def _link(schema: dict[str, Any]) -> str:
    """A schema's name as a link to its section."""
    if schema.get("type") == "array":
        return f"a list of {_link(schema['items'])}"
    name = _type(schema)
    if page := re.fullmatch(r"Page_(\w+)_", name):
        return f"a page of [{page[1]}](#{page[1].lower()})"
    return f"[{name}](#{name.lower()})" if "$ref" in schema else name


def _fields(schema: dict[str, Any], *, answer: bool = False) -> Iterator[str]:
    required = set(schema.get("required", []))
    yield "| field | type | what it is |\n|---|---|---|"
    for name, field in schema["properties"].items():
        said = field.get("description", "")
        if field.get("default") is not None:
            said = f"{said} Default `{json.dumps(field['default'])}`.".strip()
        elif name in required and not answer:
            said = f"Required. {said}".strip()
        yield f"| `{name}` | {_type(field)} | {_cell(said)} |"


def _type(schema: dict[str, Any]) -> str:
    """A schema in a word or two."""
    if reference := schema.get("$ref"):
        return str(reference).rpartition("/")[2]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(choice) for choice in schema[key]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = str(schema.get("type", "any"))
    return {"date-time": "instant", "uuid": "uuid"}.get(str(schema.get("format")), kind)


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while reference := schema.get("$ref"):
        schema = document["components"]["schemas"][str(reference).rpartition("/")[2]]
    return schema


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _paragraph(text: str | None) -> str:
    return "\n".join(line.strip() for line in (text or "").strip().splitlines())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


#: Page in ``docs`` to what makes it.
PAGES = {"settings.md": settings_reference, "api.md": api_reference}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
