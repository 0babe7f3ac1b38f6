"""Finding one's way in a compiled template."""

from __future__ import annotations

from typing import Any

from infra.template.compiler import Template


def properties(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type."""
    return {name: found["Properties"] for name, found in template.resources(kind).items()}


def functions(template: Template) -> dict[str, str]:
    """The functions' keys in ``serverless.yml``, by logical id."""
    return {
        logical: found["FunctionName"].removeprefix(f"millrace-{template.stage}-")
        for logical, found in properties(template, "AWS::Lambda::Function").items()
    }


def spelled(value: Any) -> str:
    """An intrinsic function as text: ``<Ref>`` and ``<resource.attribute>`` for what only a deployment knows."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [between, parts]}:
            return str(between).join(spelled(part) for part in parts)
    raise AssertionError(f"what is {value!r}?")


def listed(value: Any) -> list[Any]:
    """IAM lets a list of one be written without brackets."""
    return value if isinstance(value, list) else [value]
