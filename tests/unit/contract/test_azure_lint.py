"""What Azure would refuse, named with its place and rule; and that what it takes is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.contract.azure_lint import Finding, lint, lint_query, lint_target
from skerry.contract.query import QuerySyntaxError
from skerry.errors import InvalidInput
from tests.unit.hub.running import Json, manifest


def places(findings: list[Finding]) -> list[str]:
    return [finding.path for finding in findings]


def deployment(content: Json, **more: Any) -> Json:
    return {"content": content, "targetCondition": "tags.room = 'a'", "priority": 1, **more}


def test_an_ordinary_manifest_deployment_and_twin_are_fine() -> None:
    ordinary = manifest("cnn", cnn={"interval": 5})
    assert lint(ordinary) == []
    assert lint({"content": ordinary}) == []
    assert lint(deployment(ordinary)) == []
    assert lint({"tags": {"room": "a"}, "properties": {"desired": {"a": 1}}}) == []


def test_more_modules_than_azure_deploys() -> None:
    (finding,) = lint(manifest(*(f"m{n}" for n in range(51))))
    assert (finding.path, finding.what) == ("modulesContent.$edgeAgent", "51 modules")
    assert lint(manifest(*(f"m{n}" for n in range(50)))) == []


def test_the_twins_of_system_modules_have_bounds_too() -> None:
    document = manifest("cnn")
    agent = document["modulesContent"]["$edgeAgent"]["properties.desired"]
    agent["modules"]["cnn"]["env"] = {f"V{n}": {"value": "x" * 4000} for n in range(9)}
    (finding,) = lint(document)
    assert finding.path == "modulesContent.$edgeAgent.properties.desired"
    assert "bytes" in finding.what
    agent["modules"]["cnn"]["env"] = {"V": {"value": "x" * 5000}}
    (finding,) = lint(document)
    assert finding.path == "modulesContent.$edgeAgent.properties.desired.modules.cnn.env.V.value"


def test_what_we_refuse_ourselves_is_a_finding() -> None:
    document = manifest("cnn")
    del document["modulesContent"]["$edgeAgent"]["properties.desired"]["schemaVersion"]
    (finding,) = lint(document)
    assert finding.path.endswith("schemaVersion")


def test_content_for_what_is_not_there_and_missing_system_modules() -> None:
    assert places(lint(manifest("cnn", other={"a": 1}))) == ["modulesContent.other"]
    document = manifest("cnn")
    del document["modulesContent"]["$edgeHub"]
    assert places(lint(document)) == ["modulesContent"]


def test_a_layer_need_not_be_whole() -> None:
    layer = {"modulesContent": {"cnn": {"properties.desired.threshold": 0.5}}}
    assert lint(deployment(layer)) == []


def test_twins_beyond_azures_sizes_and_names() -> None:
    tags = {f"k{n}": "x" * 1000 for n in range(9)}
    assert places(lint({"tags": tags})) == ["tags"]
    assert places(lint({"properties": {"desired": {"a.b": 1}}})) == ["properties.desired.a.b"]
    assert places(lint({"properties": {"desired": tags}})) == []
    assert places(lint(deployment({"deviceContent": {"properties.desired.a b": 1}}))) == [
        "content.deviceContent.properties.desired.a b"
    ]


def test_metrics_and_targets_are_read() -> None:
    metrics = {"queries": {"busy": "SELECT deviceId FROM devices WHERE CONTAINS(tags.a, 'x')"}}
    assert places(lint(deployment(manifest("cnn"), metrics=metrics))) == ["metrics.queries.busy"]
    document = {**deployment(manifest("cnn")), "targetCondition": "IS_NULL(tags.a)"}
    (finding,) = lint(document)
    assert finding.what == "the function IS_NULL"
    assert places(lint({**document, "targetCondition": ""})) == ["targetCondition"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("SELECT * FROM devices WHERE IS_DEFINED(tags.a) AND STARTSWITH(deviceId, 'x')", 0),
        ("SELECT deviceId FROM devices WHERE array_contains(parentScopes, 'x')", 0),
        ("SELECT COUNT() AS n FROM devices GROUP BY tags.a", 0),
        ("SELECT * FROM devices.jobs WHERE status = 'completed'", 0),
        ("SELECT jobId FROM devices.jobs", 1),
        ("SELECT COUNT() AS n FROM devices.jobs", 1),
        ("SELECT * FROM devices WHERE NOT (ENDSWITH(deviceId, 'x') OR IS_STRING(tags.a))", 2),
    ],
)
def test_queries_that_only_we_answer(text: str, count: int) -> None:
    assert len(lint_query(text)) == count


def test_target_conditions() -> None:
    assert lint_target("*") == lint_target("") == lint_target("tags.a = 1") == []
    assert len(lint_target("IS_OBJECT(tags.a)")) == 1
    with pytest.raises(QuerySyntaxError):
        lint_target("tags.a =")


def test_a_document_of_no_known_kind() -> None:
    with pytest.raises(InvalidInput):
        lint({"a": 1})
