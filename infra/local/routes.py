"""Routes as API Gateway's HTTP APIs match them: the most specific one wins, whatever the order they are written in.

A literal segment is more specific than ``{name}``, that is more specific than ``{name+}`` (which takes one segment or
more), and a method more than ``ANY``. Source: API Gateway Developer Guide, "Routes for HTTP APIs".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

METHODS = frozenset({"ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_VARIABLE = re.compile(r"\{([A-Za-z0-9._-]+)(\+?)\}")


class RouteError(Exception):
    """A route that API Gateway would refuse."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method, a path and the function they lead to."""

    method: str
    path: str
    function: str
    key: str = field(default="")  #: as events name it: ``ANY /hooks/{proxy+}``

    @classmethod
    def parse(cls, text: str, function: str) -> Self:
        """A route written as ``GET /a/{b}`` or as ``*``; raises :class:`RouteError`."""
        method, _, path = text.strip().partition(" ")
        path = path.strip()
        method = "ANY" if method == "*" else method.upper()
        if text.strip() in ("*", "$default"):
            return cls("ANY", "/{proxy+}", function, "$default")
        if method not in METHODS:
            raise RouteError(f"{text!r}: {method!r} is not a method of HTTP APIs")
        if not path.startswith("/"):
            raise RouteError(f"{text!r}: the path does not begin with /")
        segments = path.split("/")[1:]
        for position, segment in enumerate(segments):
            variable = _VARIABLE.fullmatch(segment)
            if ("{" in segment or "}" in segment) and variable is None:
                raise RouteError(f"{text!r}: {segment!r} is neither a literal nor one variable")
            if variable and variable[2] and position != len(segments) - 1:
                raise RouteError(f"{text!r}: {segment!r} can only be the last segment")
        return cls(method, path, function, f"{method} {path}")


class _Node:
    """A place in the tree of segments."""

    __slots__ = ("greedy", "literals", "routes", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.greedy: _Node | None = None
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}


class Routes:
    """All routes of an API, as a tree."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.all: list[Route] = []
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        names: list[str] = []
        for segment in route.path.split("/")[1:]:
            variable = _VARIABLE.fullmatch(segment)
            if variable is None:
                node = node.literals.setdefault(segment, _Node())
                continue
            names.append(variable[1])
            if variable[2]:
                node.greedy = node.greedy or _Node()
                node = node.greedy
            else:
                node.variable = node.variable or _Node()
                node = node.variable
        if route.method in node.routes:
            other = node.routes[route.method][0]
            raise RouteError(f"{route.key} of {route.function} is the same route as {other.key} of {other.function}")
        node.routes[route.method] = (route, tuple(names))
        self.all.append(route)

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route for a request and its path's variables, or None."""
        return _match(self._root, path.split("/")[1:], 0, method, ())


def _match(
    node: _Node, segments: list[str], at: int, method: str, values: tuple[str, ...]
) -> tuple[Route, dict[str, str]] | None:
    if at == len(segments):
        found = node.routes.get(method) or node.routes.get("ANY")
        return None if found is None else (found[0], dict(zip(found[1], values, strict=True)))
    segment = segments[at]
    literal = node.literals.get(segment)
    if literal is not None and (match := _match(literal, segments, at + 1, method, values)) is not None:
        return match
    if (
        node.variable is not None
        and segment
        and (match := _match(node.variable, segments, at + 1, method, (*values, segment))) is not None
    ):
        return match
    if node.greedy is not None and (rest := "/".join(segments[at:])):
        return _match(node.greedy, segments, len(segments), method, (*values, rest))
    return None
