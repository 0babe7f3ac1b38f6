"""The variables of ``serverless.yml``, as far as we use them: ``${source:address, fallback}``.

Sources: ``file(path)``, with an address into the file after a colon; ``self``, the configuration itself; ``env``;
``opt:stage`` and ``sls:stage``. Others are refused by name. A string that is one variable becomes its value, of any
type; inside other text a value must be text, a number or a boolean. A source that has nothing gives way to the next
fallback; without one that is an error. Variables nest, and values that are found may hold variables of their own.

Source: the Serverless Framework's documentation, "Variables"; checked against ``osls print``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

MAX_DEPTH = 32

_SOURCE = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:\(([^()]*)\))?(?::(.*))?", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}


class ServerlessError(Exception):
    """``serverless.yml`` cannot be read, or says something that the local stack does not understand."""


class _Missing:
    """What a source gives when it has nothing."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Any = _Missing()


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms of the two intrinsic functions that we know, and without dates."""


def _ref(loader: yaml.SafeLoader, node: yaml.Node) -> dict[str, Any]:
    return {"Ref": str(node.value)}


def _get_att(loader: yaml.SafeLoader, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {"Fn::GetAtt": [str(part) for part in loader.construct_sequence(node)]}
    resource, _, attribute = str(node.value).partition(".")
    return {"Fn::GetAtt": [resource, attribute]}


def _other(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    raise ServerlessError(f"!{suffix} in line {node.start_mark.line + 1}: only !Ref and !GetAtt are understood here")


_Loader.add_constructor("!Ref", _ref)
_Loader.add_constructor("!GetAtt", _get_att)
_Loader.add_multi_constructor("!", _other)
# The framework reads YAML 1.2: `yes` and `on` are words, 010 is ten, 1:30 is text; dates stay text with us.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("bool", "int", "timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+\Z"), list("-+0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(str(node.value)))


def load_yaml(path: Path) -> Any:
    """The content of a YAML (or JSON) file. Raises :class:`ServerlessError`."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader, with two tags more
    except OSError as error:
        raise ServerlessError(f"{path}: {error.strerror}") from error
    except ServerlessError as error:
        raise ServerlessError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ServerlessError(f"{path}: {error}") from error


class Variables:
    """Resolves the variables of one service."""

    def __init__(self, root: Path, document: Any, stage: str | None, env: Mapping[str, str]) -> None:
        """``document`` is the service's file as loaded; ``stage`` is what ``--stage`` would say."""
        self.root = root.resolve()
        self.document = document
        self.env = env
        self.option_stage = stage
        self._files: dict[Path, Any] = {}
        self._busy: list[str] = []  # what is being resolved, to find circles

    def resolve(self, value: Any) -> Any:
        """``value`` with every variable in it replaced, in depth."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._key(key): self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return value

    def _key(self, key: Any) -> Any:
        return self.text(key) if isinstance(key, str) and "${" in key else key

    def text(self, text: str) -> Any:
        """A string with its variables replaced; any type if it is one variable and nothing else."""
        if "${" not in text:
            return text
        parts: list[Any] = []
        at = 0
        while (start := text.find("${", at)) >= 0:
            if start > at:
                parts.append(text[at:start])
            end = _closing(text, start)
            parts.append(self._variable(text[start + 2 : end]))
            at = end + 1
        if at < len(text):
            parts.append(text[at:])
        if len(parts) == 1:
            return parts[0]
        for part in parts:
            if not isinstance(part, str | int | float):
                raise ServerlessError(f"{text!r}: a value inside other text must be text, a number or a boolean")
        return "".join(_spell(part) for part in parts)

    @property
    def stage(self) -> str:
        """``${sls:stage}``: the option, else what ``provider.stage`` says, else ``dev``."""
        if self.option_stage is not None:
            return self.option_stage
        found = self._inside(self.document, "provider.stage")
        return "dev" if found is MISSING or found is None else str(found)

    def _variable(self, inner: str) -> Any:
        if inner in self._busy:
            raise ServerlessError("these variables are made of one another: " + " → ".join([*self._busy, inner]))
        if len(self._busy) >= MAX_DEPTH:
            raise ServerlessError(f"${{{inner}}}: variables are nested more than {MAX_DEPTH} deep")
        self._busy.append(inner)
        try:
            for alternative in _split(inner):
                found = self._alternative(alternative.strip())
                if found is not MISSING:
                    return found
        finally:
            self._busy.pop()
        raise ServerlessError(f"${{{inner}}} has no value and no fallback")

    def _alternative(self, written: str) -> Any:
        if len(written) >= 2 and written[0] == written[-1] and written[0] in "'\"":
            if "${" in written:
                raise ServerlessError(f"${{{written}}}: a quoted fallback holds no variables")
            return written[1:-1]
        if written in _LITERALS:
            return _LITERALS[written]
        if _NUMBER.fullmatch(written):
            return float(written) if "." in written else int(written)
        if written.startswith("${"):
            raise ServerlessError(f"{written}: a fallback is written without ${{}} of its own, as in ${{env:A, env:B}}")
        source = self.text(written)
        match = _SOURCE.fullmatch(source) if isinstance(source, str) else None
        if match is None:
            raise ServerlessError(f"${{{written}}} is not a variable")
        return self._from(match[1], match[2], match[3], written)

    def _from(self, source: str, argument: str | None, address: str | None, written: str) -> Any:
        if source == "file" and argument is not None:
            return self._from_file(argument.strip(), address)
        if argument is None and address:
            if source == "self":
                return self._inside(self.document, address)
            if source == "env":
                return self.env.get(address, MISSING)
            if source == "opt" and address == "stage":
                return MISSING if self.option_stage is None else self.option_stage
            if source == "sls" and address == "stage":
                return self.stage
        raise ServerlessError(
            f"${{{written}}}: only file(…), self:…, env:…, opt:stage and sls:stage are understood here"
        )

    def _from_file(self, name: str, address: str | None) -> Any:
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root):
            raise ServerlessError(f"${{file({name})}} is outside the service's folder")
        if path not in self._files:
            if not path.is_file():
                return MISSING
            if path.suffix not in (".yml", ".yaml", ".json"):
                raise ServerlessError(f"${{file({name})}}: only .yml, .yaml and .json are understood here")
            self._files[path] = load_yaml(path)
        if address is not None:
            return self._inside(self._files[path], address)
        return self.resolve(self._files[path])

    def _inside(self, value: Any, address: str) -> Any:
        """The value at a dotted address; what lies on the way is resolved no further than needed."""
        for step in address.split("."):
            if isinstance(value, str):
                value = self.text(value)
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return MISSING
        return self.resolve(value)


def _closing(text: str, start: int) -> int:
    """Where the variable that opens at ``start`` closes."""
    depth = 0
    quote = ""
    at = start
    while at < len(text):
        if quote:
            if text[at] == quote:
                quote = ""
        elif text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        elif text[at] in "'\"" and depth == 1:
            quote = text[at]
        at += 1
    raise ServerlessError(f"{text!r}: a variable is not closed")


def _split(inner: str) -> list[str]:
    """A variable's alternatives: what stands between its own commas."""
    parts = [""]
    depth = 0
    quote = ""
    for character in inner:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "{(":
            depth += 1
        elif character in "})":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return parts


def _spell(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
