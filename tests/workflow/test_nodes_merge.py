"""A merge makes one value of what its branches gave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.workflow.node import REGISTRY, StepError
from tests.workflow.context import call, output, step

A = {"x": 1, "deep": {"a": 1, "both": {"p": 1}}}
B = {"y": 2, "deep": {"b": 2, "both": {"q": 2}}}


def test_shallow_takes_the_later_value_of_a_key():
    assert output("merge", {}, step(inputs={"a": A, "b": B})) == {"x": 1, "y": 2, "deep": B["deep"]}


def test_deep_goes_into_objects_that_both_have():
    merged = output("merge", {"merge_strategy": "deep"}, step(inputs={"a": A, "b": B}))
    assert merged == {"x": 1, "y": 2, "deep": {"a": 1, "b": 2, "both": {"p": 1, "q": 2}}}


def test_deep_leaves_what_it_was_given_as_it_was():
    first = {"deep": {"a": 1}}
    output("merge", {"strategy": "deep"}, step(inputs={"a": first, "b": {"deep": {"b": 2}}}))
    assert first == {"deep": {"a": 1}}


def test_array_keeps_the_values_in_their_order():
    assert output("merge", {"strategy": "array"}, step(inputs={"b": 2, "a": None, "c": [3]})) == [2, None, [3]]


def test_by_node_keeps_whose_they_are():
    assert output("merge", {"strategy": "by_node"}, step(inputs={"a": 1, "b": "x"})) == {"a": 1, "b": "x"}


def test_sources_choose_and_order():
    context = step(inputs={"a": {"k": "a"}, "b": {"k": "b"}, "c": {"k": "c"}})
    assert output("merge", {"input_sources": ["b", "a"]}, context) == {"k": "a"}


def test_a_source_may_be_any_earlier_node_and_one_that_did_not_run_adds_nothing():
    context = step(inputs={"b": {"b": 1}}, nodes={"first-one": {"a": 1}})
    assert output("merge", {"sources": ["first-one", "skipped", "b"]}, context) == {"a": 1, "b": 1}


def test_null_adds_nothing_to_an_object():
    assert output("merge", {}, step(inputs={"a": None, "b": {"x": 1}})) == {"x": 1}


@pytest.mark.parametrize("value", [1, "text", [1], True])
def test_what_is_no_object_is_not_merged_into_one(value):
    with pytest.raises(StepError, match="use the strategy array or by_node") as caught:
        call("merge", {}, step(inputs={"a": {}, "b": value}))
    assert caught.value.kind == "input"


objects = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | st.integers(), max_size=3),
    max_leaves=8,
)


@given(objects, objects)
def test_deep_keeps_every_key_and_the_later_leaf(first, second):
    def leaves(value, path=()):
        if isinstance(value, dict) and value:
            return {at: leaf for key, inner in value.items() for at, leaf in leaves(inner, (*path, key)).items()}
        return {path: value}

    merged = leaves(output("merge", {"strategy": "deep"}, step(inputs={"a": first, "b": second})))
    for path, leaf in leaves(second).items():
        if path and leaf != {}:
            assert merged[path] == leaf


@pytest.mark.parametrize("config", [{"strategy": "loud"}, {"sources": []}, {"sources": "a"}, {"sources": [1]}])
def test_a_config_it_could_not_follow_is_refused(config):
    with pytest.raises(ValidationError):
        REGISTRY["merge"].config.model_validate(config)
