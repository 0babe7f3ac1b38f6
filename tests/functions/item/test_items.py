"""Items: what every capability's tests look like."""

from __future__ import annotations

from tests.functions.gateway import Gateway

ITEMS = "/api/v1/items"


def test_an_item_is_made_read_changed_and_deleted(api: Gateway) -> None:
    made = api.post(ITEMS, {"title": "Buy millstones"})
    assert made.status == 201
    here = f"{ITEMS}/{made.json['id']}"
    assert api.get(here).json == {"id": made.json["id"], "title": "Buy millstones", "description": None}
    assert api.patch(here, {"description": "two"}).json["description"] == "two"
    assert api.patch(here, {"title": "Sell millstones"}).json == {
        "id": made.json["id"], "title": "Sell millstones", "description": "two",
    }  # fmt: skip
    assert api.patch(here, {"description": None}).json["description"] is None
    assert api.delete(here).status == 204
    assert api.get(here).problem["status"] == 404


def test_items_come_in_pages(api: Gateway) -> None:
    made = [api.post(ITEMS, {"title": f"item {number}"}).json["id"] for number in range(3)]
    first = api.get(ITEMS, limit=2).json
    rest = api.get(ITEMS, limit=2, cursor=first["next"]).json
    assert [item["id"] for item in first["items"] + rest["items"]] == made
    assert rest["next"] is None


def test_another_tenants_items_are_not_there(api: Gateway, other: Gateway) -> None:
    made = api.post(ITEMS, {"title": "mine"}).json
    assert other.get(ITEMS).json["items"] == []
    assert other.patch(f"{ITEMS}/{made['id']}", {"title": "theirs"}).status == 404
    assert api.get(f"{ITEMS}/{made['id']}").json["title"] == "mine"


def test_an_item_needs_a_title(api: Gateway) -> None:
    assert api.post(ITEMS, {}).paths == ["title"]
    assert api.post(ITEMS, {"title": ""}).paths == ["title"]
    made = api.post(ITEMS, {"title": "x"}).json
    assert api.patch(f"{ITEMS}/{made['id']}", {"title": None}).status == 422
