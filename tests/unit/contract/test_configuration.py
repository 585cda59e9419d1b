"""Deployments at scale: whom they are for, how layers become one manifest."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.configuration import (
    Configuration,
    Kind,
    Status,
    apply_parts,
    configuration_document,
    configuration_json,
    decide,
    merge_layer,
    parse_configuration,
    parse_test,
    put,
    system_queries,
    updated,
    whole,
)
from skerry.contract.manifest import parse_manifest
from skerry.contract.query import parse_query
from skerry.errors import InvalidInput

AGENT: dict[str, Any] = {
    "schemaVersion": "1.1",
    "runtime": {"type": "docker", "settings": {}},
    "systemModules": {
        "edgeAgent": {"type": "docker", "settings": {"image": "agent:1"}},
        "edgeHub": {
            "type": "docker",
            "status": "running",
            "restartPolicy": "always",
            "settings": {"image": "hub:1"},
        },
    },
    "modules": {},
}
HUB: dict[str, Any] = {
    "schemaVersion": "1.1",
    "routes": {},
    "storeAndForwardConfiguration": {"timeToLiveSecs": 60},
}


def module(image: str) -> dict[str, Any]:
    return {"type": "docker", "status": "running", "restartPolicy": "always", "settings": {"image": image}}


def base(name: str = "base", priority: int = 1, created: str = "2026", **modules: str) -> Configuration:
    agent = {**AGENT, "modules": {m: module(image) for m, image in modules.items()}}
    content = {"$edgeAgent": {"properties.desired": agent}, "$edgeHub": {"properties.desired": HUB}}
    return made(name, {"modulesContent": content}, priority, created)


def layer(name: str, priority: int, parts: dict[str, dict[str, Any]], created: str = "2026") -> Configuration:
    return made(name, {"modulesContent": parts}, priority, created)


def made(name: str, content: dict[str, Any], priority: int = 1, created: str = "2026") -> Configuration:
    document = {"content": content, "targetCondition": "*", "priority": priority}
    return replace(parse_configuration(document, name), created=created)


def add(name: str, image: str) -> dict[str, dict[str, Any]]:
    return {"$edgeAgent": {f"properties.desired.modules.{name}": module(image)}}


def images(configurations: list[Configuration]) -> dict[str, str]:
    content = decide(configurations).content
    assert content is not None
    return {name: spec.image for name, spec in parse_manifest(content).agent.modules.items()}


def statuses(configurations: list[Configuration]) -> dict[str, str]:
    return {name: status.value for name, status in decide(configurations).statuses.items()}


def test_the_highest_base_applies_and_the_others_are_targeted() -> None:
    configurations = [base("low", 1, cam="cam:1"), base("high", 2, cam="cam:2"), base("lowest", 0)]
    assert images(configurations) == {"cam": "cam:2"}
    assert statuses(configurations) == {"lowest": "Targeted", "low": "Targeted", "high": "Applied"}


def test_of_equal_priorities_the_newer_applies() -> None:
    configurations = [base("new", 1, "2027", cam="cam:2"), base("old", 1, "2026", cam="cam:1")]
    assert images(configurations) == {"cam": "cam:2"}


def test_layers_merge_upwards_and_the_later_overwrites_the_same_key() -> None:
    configurations = [
        layer("third", 4, add("cnn", "cnn:3")),
        base("base", 2, cam="cam:1"),
        layer("second", 3, {**add("cnn", "cnn:2"), "cnn": {"properties.desired": {"a": 1, "b": {"c": 1}}}}),
        layer("fourth", 5, {"cnn": {"properties.desired.b": {"d": 2}}}),
        layer("below", 1, add("low", "low:1")),
    ]
    assert images(configurations) == {"cam": "cam:1", "cnn": "cnn:3"}
    content = decide(configurations).content
    assert content is not None
    assert content["modulesContent"]["cnn"] == {"properties.desired": {"a": 1, "b": {"d": 2}}}
    assert statuses(configurations) == {
        "below": "Targeted",
        "base": "Applied",
        "second": "Applied",
        "third": "Applied",
        "fourth": "Applied",
    }


def test_layers_without_a_base_change_nothing() -> None:
    outcome = decide([layer("one", 1, add("cnn", "cnn:1")), layer("two", 2, add("cam", "cam:1"))])
    assert outcome.content is None
    assert set(outcome.statuses.values()) == {Status.TARGETED}
    assert decide([]).content is None


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, max_size=3).map(lambda names: ".".join(["properties.desired", *names]))
VALUES = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(NAMES, inner, max_size=2), max_leaves=4
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)
PARTS = st.dictionaries(PATHS, VALUES, max_size=3).map(
    lambda parts: {k: v for k, v in parts.items() if k != "properties.desired" or isinstance(v, dict)}
)
CONTENTS = st.dictionaries(st.sampled_from(["m", "n"]), PARTS, max_size=2)


@given(CONTENTS, CONTENTS)
def test_a_layer_wins_at_its_paths_and_changes_neither_argument(
    below: dict[str, Any], above: dict[str, Any]
) -> None:
    before = copy.deepcopy((below, above))
    merged = merge_layer(below, above)
    assert (below, above) == before
    for name, parts in above.items():
        longest = max(parts, key=len, default=None)
        if longest is not None:
            assert at(merged[name]["properties.desired"], longest) == parts[longest]
    assert {name: merged[name] for name in below.keys() - above.keys()} == {
        name: below[name] for name in below.keys() - above.keys()
    }
    assert merge_layer(merged, above) == merged


@given(CONTENTS, CONTENTS, CONTENTS)
def test_merging_one_by_one_is_what_decide_does(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    agent = {"$edgeAgent": {"properties.desired": AGENT}}
    bottom = base()
    layers = [layer(f"l{n}", n + 2, parts) for n, parts in enumerate((first, second, third))]
    content = decide([*layers[::-1], bottom]).content
    assert content is not None
    expected = bottom.content["modulesContent"]
    for parts in (first, second, third):
        expected = merge_layer(expected, parts)
    assert content == {"modulesContent": expected}
    assert content["modulesContent"]["$edgeAgent"] == agent["$edgeAgent"]


@given(OBJECTS, PARTS)
def test_parts_written_twice_are_as_written_once(desired: dict[str, Any], parts: dict[str, Any]) -> None:
    once = apply_parts(desired, parts)
    assert apply_parts(once, parts) == once
    assert apply_parts({}, parts) == whole(parts)


def at(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for step in path.split(".")[2:]:
        value = value[step]
    return value


def test_put_removes_with_null_and_makes_objects_on_the_way() -> None:
    assert put({"a": 1, "b": 2}, ["a"], None) == {"b": 2}
    assert put({"a": 1}, ["a", "b"], 3) == {"a": {"b": 3}}


def test_edge_deployments_are_for_edge_devices_and_the_others_for_the_rest() -> None:
    edge = {"deviceId": "e", "capabilities": {"iotEdge": True}, "tags": {"room": "a"}}
    plain = {"deviceId": "d", "capabilities": {"iotEdge": False}, "tags": {"room": "a"}}
    in_module = {**plain, "moduleId": "m"}
    deviceful = made("dev", {"deviceContent": {"properties.desired.a": 1}})
    assert [base().targets(document) for document in (edge, plain, in_module)] == [True, False, False]
    assert [deviceful.targets(document) for document in (edge, plain, in_module)] == [False, True, False]
    modules = parse_configuration(
        {
            "content": {"moduleContent": {"properties.desired.a": 1}},
            "targetCondition": "FROM devices.modules WHERE moduleId = 'm'",
        },
        "mod",
    )
    assert [modules.targets(document) for document in (edge, plain, in_module)] == [False, False, True]
    assert not replace(base(), target=None).targets(edge)
    narrow = parse_configuration({"content": base().content, "targetCondition": "tags.room = 'b'"}, "narrow")
    assert not narrow.targets(edge)


def test_a_configuration_reads_back_as_it_was_written() -> None:
    content = {"deviceContent": {"properties.desired.x": {"deep": [1, {"y": None}]}}, "modulesContent": None}
    document = {
        "id": "cool-1",
        "content": content,
        "labels": {"env": "prod"},
        "targetCondition": "tags.a='b'",
        "priority": 7,
        "metrics": {"queries": {"good": "SELECT COUNT() FROM devices"}},
        "schemaVersion": "1.0",
    }
    configuration = parse_configuration(document, "cool-1")
    assert configuration.kind is Kind.DEVICE
    assert configuration_document(configuration) == {k: v for k, v in document.items() if k != "id"}
    shown = configuration_json(configuration, {"targetedCount": 2}, {"good": 1})
    assert shown["content"] == content
    assert shown["metrics"] == {"results": {"good": 1}, "queries": {"good": "SELECT COUNT() FROM devices"}}
    assert shown["contentType"] == "assignment"


def test_an_update_keeps_content_and_creation() -> None:
    old = base("one", 1, "2026-01-01", cam="cam:1")
    new = updated(old, base("one", 9, cam="cam:2"), "2026-02-02", "e2")
    assert (new.content, new.created) == (old.content, "2026-01-01")
    assert (new.priority, new.updated, new.etag) == (9, "2026-02-02", "e2")


@pytest.mark.parametrize(
    "condition", ["*", "", "tags.a = 'b' or tags.c = 1", "FROM devices.modules WHERE moduleId='m'"]
)
@pytest.mark.parametrize("kind", list(Kind))
def test_the_system_metrics_are_queries(kind: Kind, condition: str) -> None:
    configuration = replace(base("dep-1"), kind=kind, target_condition=condition)
    if kind is Kind.EDGE and condition.startswith("FROM"):
        return
    for text in system_queries(configuration).values():
        parse_query(text)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"id": "other"}, "id"),
        ({"content": {}}, "content"),
        ({"content": {"deviceContent": {"a": 1}}}, "content.deviceContent.a"),
        (
            {"content": {"deviceContent": {"properties.desired": 1}}},
            "content.deviceContent.properties.desired",
        ),
        ({"content": {"modulesContent": {"a b": {}}}}, "content.modulesContent.a b"),
        ({"content": {"deviceContent": {}, "moduleContent": {}}}, "content"),
        ({"targetCondition": "tags."}, "targetCondition"),
        ({"targetCondition": "FROM devices.modules"}, "targetCondition"),
        ({"priority": -1}, "priority"),
        ({"priority": "1"}, "priority"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"metrics": {"queries": {"m": "SELECT"}}}, "metrics.queries.m"),
    ],
)
def test_what_is_wrong_names_its_path(change: dict[str, Any], path: str) -> None:
    document = {"content": {"deviceContent": {"properties.desired.a": 1}}, **change}
    with pytest.raises(InvalidInput) as caught:
        parse_configuration(document, "c")
    assert caught.value.fields["path"] == path


def test_a_base_must_be_a_whole_manifest() -> None:
    content = {"modulesContent": {"$edgeAgent": {"properties.desired": {"schemaVersion": "1.1"}}}}
    with pytest.raises(InvalidInput):
        parse_configuration({"content": content}, "c")
    with pytest.raises(InvalidInput):
        parse_configuration({"content": {"deviceContent": {}}}, "No Such Id")


def test_queries_are_tested_before_use() -> None:
    document = {
        "targetCondition": "tags.a=",
        "customMetricQueries": {"good": "SELECT COUNT() FROM devices", "bad": "x"},
    }
    condition, metrics = parse_test(document)
    assert condition is not None
    assert "position" in condition or "end" in condition
    assert set(metrics) == {"bad"}
    assert parse_test({"targetCondition": "*"}) == (None, {})
