"""An API's description as one page for people, with nothing fetched from anywhere: no script, no foreign host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b2430 }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dae1; text-transform: capitalize }
details { border: 1px solid #d5dae1; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem }
summary { cursor: pointer } code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f4f6f8; padding: .7rem; overflow: auto; border-radius: 6px }
.m { display: inline-block; width: 4.2rem; font-weight: 700; color: #0b6b4f } .d { color: #5a6675 }
td { padding: .1rem 1rem .1rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { background: #14181d; color: #dfe5ec } pre { background: #1d232b }
  details, h2 { border-color: #333c47 } .m { color: #5fd0a8 } .d { color: #93a0af } }
"""


def render(description: Mapping[str, Any]) -> str:
    """The page of an OpenAPI 3.1 description: every route with its parameters, body and answers, by tag."""
    info = description["info"]
    sections: dict[str, list[str]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or [""])[0]
            sections.setdefault(tag, []).append(_operation(description, method, path, operation))
    title = escape(info["title"])
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(parts)}" for tag, parts in sections.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>{_prose(info.get('description', ''))} Machines read "
        f'<a href="openapi.json">openapi.json</a>.</p>{body}</body></html>'
    )


def _operation(description: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<p>{_prose(operation.get('description', ''))}</p>"]
    if parameters := operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{escape(one['name'])}</code></td><td class=d>{escape(one['in'])}</td>"
            f"<td>{_prose(one.get('description', ''))}</td></tr>"
            for one in parameters
        )
        parts.append(f"<table>{rows}</table>")
    for kind, content in _contents(operation.get("requestBody", {})):
        parts.append(f"<p class=d>Body, {escape(kind)}</p>{_fields(description, content.get('schema', {}))}")
    for status, response in operation.get("responses", {}).items():
        parts.append(f"<p><b>{escape(status)}</b> <span class=d>{escape(response.get('description', ''))}</span></p>")
        if status.startswith("2"):
            parts.extend(_fields(description, content.get("schema", {})) for _, content in _contents(response))
    return (
        f"<details><summary><span class=m>{escape(method.upper())}</span> <code>{escape(path)}</code> "
        f"<span class=d>{escape(operation.get('summary', ''))}</span></summary>{''.join(parts)}</details>"
    )


def _contents(holder: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from holder.get("content", {}).items()


def _fields(description: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """An example body when the fields give examples, and a line for each field."""
    schema = _resolve(description, schema)
    if schema.get("type") == "array":
        return _fields(description, schema.get("items", {}))
    properties = schema.get("properties")
    if not properties:
        return ""
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td class=d>{escape(_type(description, field))}"
        f"{', required' if name in required else ''}</td><td>{_prose(field.get('description', ''))}</td></tr>"
        for name, field in properties.items()
    )
    example = example_of(schema)
    shown = f"<pre>{escape(json.dumps(example, indent=2))}</pre>" if example else ""
    return f"<table>{rows}</table>{shown}"


def example_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object made of its fields' examples; empty when they give none."""
    fields = schema.get("properties", {}).items()
    return {name: field["examples"][0] for name, field in fields if field.get("examples")}


def _resolve(description: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        return _resolve(description, choices[0])
    reference = schema.get("$ref")
    if not reference:
        return schema
    resolved: Mapping[str, Any] = description["components"]["schemas"][reference.rpartition("/")[2]]
    return resolved


def _type(description: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if choices := schema.get("anyOf"):
        return " or ".join(_type(description, one) for one in choices)
    if reference := schema.get("$ref"):
        return str(reference.rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    kind = str(schema.get("format") or schema.get("type") or "any JSON")
    return f"list of {_type(description, schema.get('items', {}))}" if kind == "array" else kind


def _prose(text: str) -> str:
    """Escaped text, with what stands between backticks as code and an empty line as a break."""
    pieces = escape(text).split("`")
    marked = "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
    return marked.replace("\n\n", "<br>")
