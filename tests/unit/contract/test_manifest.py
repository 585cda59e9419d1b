"""Manifests parse whole or not at all, and the error names the path of the broken rule."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.manifest import (
    ModuleSpec,
    RegistryCredentials,
    modules_content,
    parse_agent_desired,
    parse_hub_desired,
    parse_manifest,
)
from skerry.contract.route import Upstream
from skerry.errors import InvalidInput

Doc = dict[str, Any]
OPTIONS = {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}}
AGENT = "modulesContent.$edgeAgent.properties.desired"
HUB = "modulesContent.$edgeHub.properties.desired"
MODULE = f"{AGENT}.modules.cnn"
CREDENTIALS = f"{AGENT}.runtime.settings.registryCredentials"
STORE = f"{HUB}.storeAndForwardConfiguration"


def module(**changes: Any) -> Doc:
    wanted = {
        "type": "docker",
        "status": "running",
        "restartPolicy": "always",
        "settings": {"image": "registry:5000/cnn:1", "createOptions": json.dumps(OPTIONS)},
    }
    return {key: value for key, value in {**wanted, **changes}.items() if value is not ...}


def manifest(**modules: Any) -> Doc:
    system = {"edgeAgent": {"type": "docker", "settings": {"image": "agent:1", "createOptions": ""}}}
    system["edgeHub"] = {**module(), "settings": {"image": "hub:1"}}
    agent = {
        "schemaVersion": "1.1",
        "runtime": {
            "type": "docker",
            "settings": {
                "minDockerVersion": "v1.25",
                "registryCredentials": {
                    "mine": {"address": "r:5000", "username": "u", "password": "secret-pw"}
                },
            },
        },
        "systemModules": system,
        "modules": modules or {"cnn": module()},
    }
    hub = {
        "schemaVersion": "1.2",
        "routes": {
            "up": "FROM /messages/* INTO $upstream",
            "first": {"route": "FROM /* INTO $upstream", "priority": 0, "timeToLiveSecs": 60},
            "gone": None,
        },
        "storeAndForwardConfiguration": {"timeToLiveSecs": -1, "storeLimits": {"maxSizeBytes": 1000}},
    }
    return {
        "modulesContent": {
            "$edgeAgent": {"properties.desired": agent},
            "$edgeHub": {"properties.desired": hub},
            "cnn": {"properties.desired": {"threshold": 0.5}, "properties.desired.model.name": "m"},
        }
    }


def changed(path: str, value: Any) -> Doc:
    """The manifest with the member at ``path`` set, or removed when the value is ``...``."""
    document = manifest()
    node: Any = document
    *names, last = path.replace("properties.desired", "properties·desired").split(".")
    for name in names:
        node = node[name.replace("·", ".")]
    if value is ...:
        del node[last.replace("·", ".")]
    else:
        node[last.replace("·", ".")] = value
    return document


def test_a_whole_manifest_parses() -> None:
    document = manifest(
        cnn=module(startupOrder=2, version="1.0", imagePullPolicy="never", env={"A": {"value": 1}})
    )
    parsed = parse_manifest(copy.deepcopy(document))
    content = document["modulesContent"]
    assert parsed.modules["$edgeAgent"] == content["$edgeAgent"]["properties.desired"]
    assert parsed.modules["cnn"] == {"threshold": 0.5, "model": {"name": "m"}}
    assert parsed.agent.modules == {
        "cnn": ModuleSpec(
            "cnn", "registry:5000/cnn:1", OPTIONS, {"A": "1"}, "running", "always", "never", 2, "1.0"
        )
    }
    assert parsed.agent.registry_credentials == {"mine": RegistryCredentials("r:5000", "u", "secret-pw")}
    assert "secret-pw" not in repr(parsed.agent)
    assert {name: (r.priority, r.time_to_live_s) for name, r in parsed.edge_hub.routes.items()} == {
        "up": (2_000_000_000, None),
        "first": (0, 60),
    }
    assert parsed.edge_hub.routes["up"].route.sink == Upstream()
    assert (parsed.edge_hub.time_to_live_s, parsed.edge_hub.max_size_bytes) == (-1, 1000)


def test_wrapped_and_legacy_forms_are_the_same_manifest() -> None:
    document = manifest()
    legacy = {"moduleContent": document["modulesContent"]}
    forms: list[Doc] = [document, legacy, {"id": "d", "content": document}, {"content": legacy}]
    assert all(parse_manifest(form) == parse_manifest(document) for form in forms)
    assert all(modules_content(form) == document["modulesContent"] for form in forms)


def test_create_options_as_text_chunks_or_object_are_the_same() -> None:
    text = json.dumps(OPTIONS)
    forms: list[Doc] = [
        {"createOptions": text},
        {"createOptions": OPTIONS},
        {"createOptions": text[:9], "createOptions01": text[9:20], "createOptions02": text[20:]},
    ]
    specs = [
        parse_manifest(manifest(cnn=module(settings={"image": "i", **form}))).agent.modules for form in forms
    ]
    assert specs[0] == specs[1] == specs[2]
    assert specs[0]["cnn"].create_options == OPTIONS
    for empty in ({}, {"createOptions": ""}, {"createOptions": None}):
        parsed = parse_manifest(manifest(cnn=module(settings={"image": "i", **empty})))
        assert parsed.agent.modules["cnn"].create_options == {}


def test_environment_values_become_text_and_defaults_are_the_agents() -> None:
    env = {"S": "x", "I": 7, "F": 1.5, "T": True, "N": None}
    spec = parse_manifest(
        manifest(cnn=module(restartPolicy=..., env={**{n: {"value": v} for n, v in env.items()}, "E": {}}))
    ).agent.modules["cnn"]
    assert spec.env == {"S": "x", "I": "7", "F": "1.5", "T": "true", "N": "", "E": ""}
    assert (spec.restart_policy, spec.image_pull_policy, spec.startup_order) == (
        "on-unhealthy",
        "on-create",
        2**32 - 1,
    )


def test_a_manifest_without_edge_hub_routes_nothing() -> None:
    parsed = parse_manifest(changed("modulesContent.$edgeHub", ...))
    assert "$edgeHub" not in parsed.modules
    assert parsed.edge_hub.routes == {}


BAD: list[tuple[str, Any, str]] = [
    ("modulesContent", ..., "modulesContent"),
    ("modulesContent", [], "modulesContent"),
    ("modulesContent.$edgeAgent", ..., "modulesContent.$edgeAgent"),
    ("modulesContent.$other", {}, "modulesContent.$other"),
    ("modulesContent.cnn", 1, "modulesContent.cnn"),
    ("modulesContent.cnn", {"desired": {}}, "modulesContent.cnn.desired"),
    ("modulesContent.cnn", {"properties.desired": 1}, "modulesContent.cnn.properties.desired"),
    ("modulesContent.cnn", {"properties.desired.a..b": 1}, "modulesContent.cnn.properties.desired.a..b"),
    (f"{AGENT}.schemaVersion", ..., f"{AGENT}.schemaVersion"),
    (f"{AGENT}.schemaVersion", "one", f"{AGENT}.schemaVersion"),
    (f"{AGENT}.schemaVersion", 1.1, f"{AGENT}.schemaVersion"),
    (f"{AGENT}.runtime", ..., f"{AGENT}.runtime"),
    (f"{AGENT}.runtime.type", "podman", f"{AGENT}.runtime.type"),
    (f"{CREDENTIALS}.mine.password", "", f"{CREDENTIALS}.mine.password"),
    (f"{CREDENTIALS}.mine.username", ..., f"{CREDENTIALS}.mine.username"),
    (f"{CREDENTIALS}.mine.address", "a b", f"{CREDENTIALS}.mine.address"),
    (f"{CREDENTIALS}", {"a b": {}}, f"{CREDENTIALS}.a b"),
    (f"{AGENT}.systemModules.other", {}, f"{AGENT}.systemModules.other"),
    (
        f"{AGENT}.systemModules.edgeAgent.settings.image",
        "",
        f"{AGENT}.systemModules.edgeAgent.settings.image",
    ),
    (f"{AGENT}.systemModules.edgeHub.status", "stopped", f"{AGENT}.systemModules.edgeHub.status"),
    (f"{AGENT}.systemModules.edgeHub.restartPolicy", ..., f"{AGENT}.systemModules.edgeHub.restartPolicy"),
    (f"{AGENT}.modules", ..., f"{AGENT}.modules"),
    (f"{AGENT}.modules.a b", {}, f"{AGENT}.modules.a b"),
    (f"{AGENT}.modules", {"m.n": {}}, f"{AGENT}.modules.m.n"),
    (f"{AGENT}.modules", {f"m{i}": module() for i in range(101)}, f"{AGENT}.modules"),
    (MODULE, None, MODULE),
    (f"{MODULE}.type", "vm", f"{MODULE}.type"),
    (f"{MODULE}.status", ..., f"{MODULE}.status"),
    (f"{MODULE}.status", "paused", f"{MODULE}.status"),
    (f"{MODULE}.restartPolicy", "sometimes", f"{MODULE}.restartPolicy"),
    (f"{MODULE}.restartPolicy", [], f"{MODULE}.restartPolicy"),
    (f"{MODULE}.imagePullPolicy", "always", f"{MODULE}.imagePullPolicy"),
    (f"{MODULE}.startupOrder", -1, f"{MODULE}.startupOrder"),
    (f"{MODULE}.startupOrder", 2**32, f"{MODULE}.startupOrder"),
    (f"{MODULE}.startupOrder", True, f"{MODULE}.startupOrder"),
    (f"{MODULE}.version", 1, f"{MODULE}.version"),
    (f"{MODULE}.env", {"A B": {"value": 1}}, f"{MODULE}.env.A B"),
    (f"{MODULE}.env", {"A": "x"}, f"{MODULE}.env.A"),
    (f"{MODULE}.env", {"A": {"value": []}}, f"{MODULE}.env.A.value"),
    (f"{MODULE}.env", {"A": {"value": "\0"}}, f"{MODULE}.env.A.value"),
    (f"{MODULE}.settings", ..., f"{MODULE}.settings"),
    (f"{MODULE}.settings.image", ..., f"{MODULE}.settings.image"),
    (f"{MODULE}.settings.image", "a b", f"{MODULE}.settings.image"),
    (f"{MODULE}.settings.createOptions", "{", f"{MODULE}.settings.createOptions"),
    (f"{MODULE}.settings.createOptions", "[]", f"{MODULE}.settings.createOptions"),
    (f"{MODULE}.settings.createOptions", 1, f"{MODULE}.settings.createOptions"),
    (f"{MODULE}.settings.createOptions", '"' + "x" * 40_000 + '"', f"{MODULE}.settings.createOptions"),
    (f"{MODULE}.settings.createOptions02", "{}", f"{MODULE}.settings.createOptions01"),
    (f"{HUB}.schemaVersion", ..., f"{HUB}.schemaVersion"),
    (f"{HUB}.routes", [], f"{HUB}.routes"),
    (f"{HUB}.routes.up", 1, f"{HUB}.routes.up"),
    (f"{HUB}.routes", {"a b": "FROM /* INTO $upstream"}, f"{HUB}.routes.a b"),
    (f"{HUB}.routes.first.route", ..., f"{HUB}.routes.first.route"),
    (f"{HUB}.routes.first.priority", 10, f"{HUB}.routes.first.priority"),
    (f"{HUB}.routes.first.timeToLiveSecs", -1, f"{HUB}.routes.first.timeToLiveSecs"),
    (f"{STORE}", ..., f"{STORE}"),
    (f"{STORE}.timeToLiveSecs", "1", f"{STORE}.timeToLiveSecs"),
    (f"{STORE}.timeToLiveSecs", -2, f"{STORE}.timeToLiveSecs"),
    (
        f"{STORE}.storeLimits.maxSizeBytes",
        0,
        f"{STORE}.storeLimits.maxSizeBytes",
    ),
]


@pytest.mark.parametrize(("path", "value", "named"), BAD, ids=[f"{p}={str(v)[:20]}" for p, v, _ in BAD])
def test_a_broken_rule_is_named_by_its_path(path: str, value: Any, named: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_manifest(changed(path, value))
    assert caught.value.fields["path"] == named
    assert caught.value.hint
    assert "secret-pw" not in repr(caught.value.fields)


@pytest.mark.parametrize("entry", ["FROM /* INTO nowhere", {"route": "FROM /* INTO nowhere"}])
def test_a_bad_route_is_named_by_path_and_position(entry: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_manifest(changed(f"{HUB}.routes.up", entry))
    assert str(caught.value.fields["path"]).startswith(f"{HUB}.routes.up")
    assert caught.value.fields["position"] == 13


@pytest.mark.parametrize("path", [f"{AGENT}.schemaVersion", f"{HUB}.schemaVersion"])
def test_another_major_schema_version_is_412(path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_manifest(changed(path, "2.0"))
    assert (caught.value.fields["path"], caught.value.fields["code"]) == (path, 412)


def test_schema_1_0_takes_any_route_name_but_no_route_objects() -> None:
    store = {"timeToLiveSecs": 7200}
    hub = {
        "schemaVersion": "1.0",
        "routes": {"a b.c": "FROM /* INTO $upstream"},
        "storeAndForwardConfiguration": store,
    }
    assert list(parse_hub_desired(hub).routes) == ["a b.c"]
    with pytest.raises(InvalidInput):
        parse_hub_desired({**hub, "routes": {"r": {"route": "FROM /* INTO $upstream"}}})


def test_a_twins_version_member_does_not_disturb() -> None:
    agent = manifest()["modulesContent"]["$edgeAgent"]["properties.desired"]
    assert parse_agent_desired({**agent, "$version": 7}).modules.keys() == {"cnn"}


def with_logging(options: object) -> Doc:
    agent: Doc = manifest()["modulesContent"]["$edgeAgent"]["properties.desired"]
    agent["runtime"]["settings"]["loggingOptions"] = options
    return agent


def test_logging_options_are_dockers_log_config_as_text() -> None:
    assert parse_agent_desired(with_logging("")).logging == {}
    assert parse_agent_desired(manifest()["modulesContent"]["$edgeAgent"]["properties.desired"]).logging == {}
    text = '{"type": "json-file", "config": {"max-size": "1m"}}'
    expected = {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert parse_agent_desired(with_logging(text)).logging == expected


@pytest.mark.parametrize(
    "options", [7, "json-file", "[]", "{}", '{"Type": ""}', '{"Type": "a", "Config": {"b": 1}}']
)
def test_logging_options_that_are_none_are_refused_by_name(options: object) -> None:
    with pytest.raises(InvalidInput, match="loggingOptions") as refused:
        parse_agent_desired(with_logging(options))
    assert refused.value.fields["path"] == "runtime.settings.loggingOptions"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=4), c, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([path for path, _, _ in BAD]), JSON)
def test_any_json_anywhere_is_a_manifest_or_invalid_input_with_a_path(path: str, value: Any) -> None:
    for document in (value, changed(path, value)):
        try:
            parse_manifest(document)
        except InvalidInput as exc:
            fields = exc.fields
        else:
            continue
        assert "path" in fields


def test_bottomless_documents_are_refused() -> None:
    bottomless: Any = {}
    for _ in range(5000):
        bottomless = {"a": bottomless}
    for parse in (parse_manifest, parse_agent_desired, parse_hub_desired):
        with pytest.raises(InvalidInput, match="deep"):
            parse(bottomless)
