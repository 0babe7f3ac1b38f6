"""Routes match as API Gateway matches them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.routes import Route, RouteError, Routes

PETS = [
    "GET /pets/dog/1",
    "GET /pets/dog/{id}",
    "GET /pets/{proxy+}",
    "ANY /{proxy+}",
    "ANY /pets",
    "POST /pets/{kind}/{id}",
    "$default",
]


def routes(*texts: str) -> Routes:
    return Routes(Route.parse(text, f"f{n}") for n, text in enumerate(texts))


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [  # the example of the API Gateway Developer Guide, "Routes for HTTP APIs", and the corners around it
        ("GET", "/pets/dog/1", "GET /pets/dog/1", {}),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}", {"id": "2"}),
        ("GET", "/pets/cat/1", "GET /pets/{proxy+}", {"proxy": "cat/1"}),
        ("POST", "/pets/cat/1", "POST /pets/{kind}/{id}", {"kind": "cat", "id": "1"}),
        ("POST", "/test/5", "ANY /{proxy+}", {"proxy": "test/5"}),
        ("PUT", "/pets", "ANY /pets", {}),
        ("PUT", "/pets/dog/1", "ANY /{proxy+}", {"proxy": "pets/dog/1"}),
        ("GET", "/pets/", "ANY /{proxy+}", {"proxy": "pets/"}),
    ],
)
def test_the_most_specific_route_wins(method: str, path: str, key: str, parameters: dict[str, str]) -> None:
    for order in (PETS[:-1], PETS[-2::-1]):
        found = routes(*order).match(method, path)
        assert found is not None
        assert (found[0].key, found[1]) == (key, parameters)


def test_a_greedy_variable_takes_one_segment_at_least() -> None:
    api = routes("ANY /hooks/{proxy+}")
    assert api.match("POST", "/hooks") is None
    assert api.match("POST", "/hooks/") is None
    found = api.match("POST", "/hooks/a//b")
    assert found is not None
    assert found[1] == {"proxy": "a//b"}


def test_what_no_route_takes_is_nobodys() -> None:
    assert routes("GET /a").match("POST", "/a") is None
    assert routes("GET /a").match("GET", "/a/b") is None
    assert routes("GET /a").match("GET", "") is None


@pytest.mark.parametrize("text", ["FETCH /a", "GET a", "GET /{a+}/b", "GET /x{a}", "GET", "GET /{}", "GET /{a b}"])
def test_routes_that_api_gateway_refuses_are_refused(text: str) -> None:
    with pytest.raises(RouteError):
        Route.parse(text, "f")


def test_two_routes_for_the_same_address_are_refused() -> None:
    with pytest.raises(RouteError, match=r"same route as GET /\{a\} of f0"):
        routes("GET /{a}", "GET /{b}")


segments = st.sampled_from(["a", "b", "{v}", "{v+}"])
paths = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=4).map(lambda parts: "/" + "/".join(parts))


def _rank(route: str, path: str) -> list[int] | None:
    """How specific ``route`` is for ``path``, lower is more; None if it does not match. A plain second opinion."""
    mine, theirs = route.split("/")[1:], path.split("/")[1:]
    rank = []
    for n, segment in enumerate(mine):
        if segment == "{v+}":
            return [*rank, 2] if "/".join(theirs[n:]) else None
        if n >= len(theirs):
            return None
        if segment == "{v}":
            if not theirs[n]:
                return None
            rank.append(1)
        elif segment == theirs[n]:
            rank.append(0)
        else:
            return None
    return rank if len(mine) == len(theirs) else None


@given(
    written=st.lists(
        st.lists(segments, min_size=1, max_size=4).filter(lambda parts: "{v+}" not in parts[:-1]), max_size=6
    ),
    path=paths,
)
def test_the_tree_finds_what_comparing_every_route_finds(written: list[list[str]], path: str) -> None:
    texts = sorted({"/" + "/".join(parts) for parts in written})
    ranked = sorted((rank, text) for text in texts if (rank := _rank(text, path)) is not None)
    found = routes(*(f"GET {text}" for text in texts)).match("GET", path)
    assert (found[0].path if found else None) == (ranked[0][1] if ranked else None)
