"""Tools: versions that passed their own tests, called by their highest release, counted, deprecated."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import semver
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.models.code_runs import ToolId, Version
from tests.cluster import TestDatabase
from tests.functions.code_exec.conftest import CodeWorker
from tests.functions.gateway import Answer, Gateway

CODE = "/api/v1/code"
VAT: dict[str, Any] = {
    "tool_id": "add-vat",
    "version": "1.0.0",
    "name": "Add VAT",
    "code": "result = {'gross': round(input_data['net'] * 1.2, 2)}",
    "input_schema": {"type": "object", "properties": {"net": {"type": "number", "minimum": 0}}, "required": ["net"]},
    "output_schema": {"type": "object", "properties": {"gross": {"type": "number"}}, "required": ["gross"]},
    "tests": [
        {"name": "a price", "input": {"net": 10}, "expect": {"gross": 12.0}},
        {"name": "no price", "input": {}, "fails": True},
    ],
}


def register(api: Gateway, **changed: Any) -> Answer:
    return api.post(f"{CODE}/register-tool", {**VAT, **changed})


def call(api: Gateway, **body: Any) -> Any:
    answer = api.post(f"{CODE}/tools/add-vat/call", body)
    assert answer.status == 200, answer
    return answer.json


def test_a_tool_registers_when_its_tests_pass_and_is_called_by_its_id(api: Gateway, worker: CodeWorker) -> None:
    made = register(api)
    assert made.status == 201, made
    assert made.headers["location"] == f"{CODE}/tools/add-vat?version=1.0.0"
    assert [made.json[key] for key in ("tool_id", "version", "usage_count", "language")] == [
        "add-vat",
        "1.0.0",
        0,
        "python",
    ]
    assert made.json["tests"][0]["expect"] == {"gross": 12.0}
    found = call(api, input={"net": 5})
    assert (found["output_data"], found["tool_id"], found["tool_version"]) == ({"gross": 6.0}, "add-vat", "1.0.0")
    assert found["code"] == VAT["code"]
    assert [one["tool_id"] for one in api.get(f"{CODE}/tools").json["items"]] == ["add-vat"]
    assert api.get(f"{CODE}/execute", tool_id="add-vat").json["items"][0]["id"] == found["id"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"code": "result = {'gross': input_data['net']}"}, "a price: result.gross is 10, 12.0 was expected"),
    ({"code": "result = 1 / 0"}, "a price: it ended by ZeroDivisionError: division by zero"),
    ({"code": "limit:memory"}, "a price: it ended by the limit memory"),
    ({"code": "result = {'gross': 'much'}"}, "a price: the output schema refuses its result: gross 'much'"),
    ({"input_schema": True, "code": "result = {'gross': 12.0}"}, "no price"),
]


def test_a_tool_whose_tests_fail_is_refused_with_the_difference(
    api: Gateway, worker: CodeWorker, subtests: pytest.Subtests
) -> None:
    for changed, said in WRONG:
        with subtests.test(said=said):
            refused = register(api, **changed)
            assert refused.problem["status"] == 422
            assert said in refused.problem["errors"][0]["message"]
            assert refused.paths[0].startswith("tests.")
            assert "/api/v1/code/execute/" in refused.problem["remedy"]
            assert api.get(f"{CODE}/tools/add-vat").status == 404


def test_tests_that_outlast_the_wait_register_the_tool_when_they_end(api: Gateway, still: CodeWorker) -> None:
    begun = register(api, wait=0)
    assert (begun.status, begun.json["status"]) == (202, "queued")
    assert api.get(f"{CODE}/tools/add-vat").status == 404
    still.work(begun.json["id"])
    assert api.get(f"{CODE}/tools/add-vat").json["version"] == "1.0.0"
    assert still.row(begun.json["id"])["output_data"]["passed"] == 2


def test_a_version_never_changes(api: Gateway, worker: CodeWorker) -> None:
    register(api)
    assert register(api, code="result = 0", tests=[]).problem["status"] == 409
    assert register(api, code="result = 0").problem["status"] == 409


def test_the_highest_release_is_called_and_the_usage_of_each_is_counted(api: Gateway, worker: CodeWorker) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1", "1.2.0"):
        assert (
            register(api, version=version, tests=[], code=f"result = {{'gross': 1, 'by': '{version}'}}").status == 201
        )
    assert call(api, input={"net": 1})["tool_version"] == "1.10.0"
    assert call(api, input={"net": 1}, version="2.0.0-rc.1")["output_data"]["by"] == "2.0.0-rc.1"
    versions = api.get(f"{CODE}/tools/add-vat/versions", limit=3).json
    rest = api.get(f"{CODE}/tools/add-vat/versions", limit=3, cursor=versions["next"]).json
    found = [*versions["items"], *rest["items"]]
    assert [(one["version"], one["usage_count"]) for one in found] == [
        ("2.0.0-rc.1", 1), ("1.10.0", 1), ("1.9.0", 0), ("1.2.0", 0),
    ]  # fmt: skip
    deprecated = api.post(f"{CODE}/tools/add-vat/deprecate", {"message": "Rounds wrongly.", "version": "1.10.0"})
    assert (deprecated.json["is_deprecated"], deprecated.json["deprecation_message"]) == (True, "Rounds wrongly.")
    assert call(api, input={"net": 1})["tool_version"] == "1.9.0"
    assert call(api, input={"net": 1}, version="1.10.0")["status"] == "completed"  # who named it goes on
    api.post(f"{CODE}/tools/add-vat/deprecate", {"message": "Gone."})
    assert call(api, input={"net": 1})["tool_version"] == "1.10.0"


def test_a_call_that_fails_counts_and_one_that_never_ran_does_not(api: Gateway, worker: CodeWorker) -> None:
    register(api, tests=[], code="result = 1 / 0")
    assert call(api, input={"net": 1})["error"]["kind"] == "code_failed"
    assert api.post(f"{CODE}/tools/add-vat/call", {"input": {"net": "x"}}).status == 422
    assert api.get(f"{CODE}/tools/add-vat").json["usage_count"] == 1


def test_an_input_that_the_schema_refuses_is_told_by_its_path(api: Gateway, worker: CodeWorker) -> None:
    register(api, tests=[])
    refused = api.post(f"{CODE}/tools/add-vat/call", {"input": {"net": -1}})
    assert (refused.status, refused.paths) == (422, ["input.net"])
    assert refused.problem["errors"][0]["message"] == "-1 is less than the minimum of 0"


def test_a_result_that_the_schema_refuses_fails_the_call(api: Gateway, worker: CodeWorker) -> None:
    register(api, tests=[], code="result = {'gross': None}")
    found = call(api, input={"net": 1})
    assert (found["status"], found["error"]["kind"]) == ("failed", "invalid_result")
    assert "gross" in found["error_message"]


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("tool_id", {"tool_id": "Add-VAT"}, "pattern"),
    ("tool_id", {"tool_id": "-vat"}, "pattern"),
    ("version", {"version": "1.0"}, "1.2.3"),
    ("version", {"version": "v1.0.0"}, "1.2.3"),
    ("version", {"version": "1.0.01"}, "1.2.3"),
    ("input_schema.type", {"input_schema": {"type": "nothing"}}, "not valid"),
    ("input_schema", {"input_schema": []}, "object"),
    ("input_schema.$ref", {"input_schema": {"$ref": "https://example.com/schema"}}, "another document"),
    ("output_schema.$ref", {"output_schema": {"$ref": "#/$defs/none"}}, "not there"),
    ("input_schema", {"input_schema": {"$ref": "#"}}, "could not be checked"),
    ("input_schema.pattern", {"input_schema": {"pattern": "(?=a)"}}, "RE2"),
    ("input_schema", {"input_schema": {"description": "x" * 70_000}}, "at most 65536"),
    ("tests.1.name", {"tests": [{"name": "a"}, {"name": "a"}]}, "another test's"),
    ("tests.0.expect", {"tests": [{"name": "a", "fails": True, "expect": 1}]}, "nothing to expect"),
    ("language", {"language": "ruby"}, "Ruby"),
]


def test_what_is_no_tool_is_refused_by_its_field(api: Gateway, subtests: pytest.Subtests) -> None:
    for field, changed, said in MISTAKES:
        with subtests.test(field=field, said=said):
            refused = register(api, **changed)
            assert refused.problem["status"] == 422
            assert refused.paths == [field]
            assert said in refused.problem["errors"][0]["message"]


NUMBER = st.integers(0, 10**12).map(str)
IDENTIFIER = st.from_regex(r"0|[1-9][0-9]{0,6}|[0-9]{0,2}[a-zA-Z-][0-9a-zA-Z-]{0,4}", fullmatch=True)
VERSION = st.builds(
    lambda core, pre, build: ".".join(core) + ("-" + ".".join(pre) if pre else "") + ("+" + build if build else ""),
    st.tuples(NUMBER, NUMBER, NUMBER),
    st.lists(IDENTIFIER, max_size=3),
    st.sampled_from(["", "", "b.7"]),
)


def test_versions_are_ordered_as_semver_orders_them(db: TestDatabase) -> None:
    """Postgres's order is that of the library ``semver``, which wrote no line of it."""
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
               "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]  # fmt: skip

    def keys(versions: list[str]) -> list[str]:
        rows = db.owner.execute("select millrace.semver_key(v) as key from unnest(%s::text[]) v", [versions])
        return [row["key"] for row in rows]

    assert sorted(keys(ordered)) == keys(ordered)  # of semver.org's own page

    @settings(max_examples=40, deadline=None)
    @given(st.lists(VERSION, min_size=2, max_size=12))
    def agree(versions: list[str]) -> None:
        of = dict(zip(versions, keys(versions), strict=True))
        for one, other in itertools.combinations(versions, 2):
            theirs = semver.Version.parse(one).compare(other)
            assert (of[one].encode() > of[other].encode()) - (of[one].encode() < of[other].encode()) == theirs

    agree()


@given(st.one_of(VERSION, st.text(alphabet="0123456789.-+aZ", max_size=12)))
def test_a_version_is_taken_if_and_only_if_semver_takes_it(text: str) -> None:
    try:
        TypeAdapter(Version).validate_python(text)
    except ValidationError:
        assert not semver.Version.is_valid(text) or len(text) > 50
    else:
        assert semver.Version.is_valid(text)


@given(st.text(alphabet="abcXYZ019_-. é", max_size=8))
def test_a_tools_id_begins_and_ends_with_a_letter_or_digit(text: str) -> None:
    good = len(text) >= 2 and set(text) <= set("abc019_-") and {text[0], text[-1]}.isdisjoint("_-")
    try:
        TypeAdapter(ToolId).validate_python(text)
    except ValidationError:
        assert not good
    else:
        assert good
