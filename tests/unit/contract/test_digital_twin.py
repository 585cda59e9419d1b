"""The digital-twin view and what a change of it means for the desired properties."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.contract.digital_twin import desired_patch, digital_twin, method_name
from skerry.contract.names import DeviceId
from skerry.contract.twin import Twin, empty_section, merge, patch_section
from skerry.errors import InvalidInput

DEV = DeviceId("dev")
T0, T1, T2 = (f"2026-01-01T00:00:0{n}.000000Z" for n in range(3))


def twin(desired: dict[str, Any], reported: dict[str, Any]) -> Twin:
    return Twin(
        tags={},
        desired=patch_section(empty_section(T0), desired, T1),
        reported=patch_section(empty_section(T0), reported, T2),
        version=2,
        etag="e",
    )


def test_an_empty_twin_shows_its_id_and_model() -> None:
    assert digital_twin(DEV, "", twin({}, {})) == {"$dtId": "dev", "$metadata": {"$model": ""}}


def test_properties_acknowledgements_and_components_are_told_apart() -> None:
    reported = {
        "serial": "a-1",
        "target": {"value": 21, "ac": 200, "av": 2, "ad": "done"},
        "sensor": {"__t": "c", "max": 25.3, "limit": {"value": 7, "ac": 202, "av": 1}},
    }
    desired = {"target": 22, "unseen": {"x": 1}, "sensor": {"__t": "c", "limit": 8}}
    assert digital_twin(DEV, "dtmi:com:example:Thing;1", twin(desired, reported)) == {
        "$dtId": "dev",
        "serial": "a-1",
        "target": 21,
        "sensor": {
            "max": 25.3,
            "limit": 7,
            "$metadata": {
                "max": {"lastUpdateTime": T2},
                "limit": {
                    "desiredValue": 8,
                    "desiredVersion": 2,
                    "ackVersion": 1,
                    "ackCode": 202,
                    "lastUpdateTime": T2,
                },
            },
        },
        "$metadata": {
            "$model": "dtmi:com:example:Thing;1",
            "serial": {"lastUpdateTime": T2},
            "target": {
                "desiredValue": 22,
                "desiredVersion": 2,
                "ackVersion": 2,
                "ackCode": 200,
                "ackDescription": "done",
                "lastUpdateTime": T2,
            },
            "unseen": {"desiredValue": {"x": 1}, "desiredVersion": 2},
        },
    }


@pytest.mark.parametrize(
    ("operations", "patch"),
    [
        ([{"op": "add", "path": "/target", "value": 5}], {"target": 5}),
        ([{"op": "remove", "path": "/target"}], {"target": None}),
        ([{"op": "replace", "path": "/sensor/limit", "value": 5}], {"sensor": {"__t": "c", "limit": 5}}),
        ([{"op": "add", "path": "/new/limit", "value": 5}], {"new": {"__t": "c", "limit": 5}}),
        ([{"op": "add", "path": "/plain/x", "value": 5}], {"plain": {"x": 5}}),
        ([{"op": "add", "path": "/a~1b", "value": {"c": 1}}], {"a/b": {"c": 1}}),
        (
            [{"op": "add", "path": "/sensor", "value": {"limit": 1, "$metadata": {}}}],
            {"sensor": {"__t": "c", "limit": 1}},
        ),
        (
            [
                {"op": "add", "path": "/sensor/limit", "value": 5},
                {"op": "remove", "path": "/sensor/other"},
                {"op": "add", "path": "/target", "value": [1]},
            ],
            {"sensor": {"__t": "c", "limit": 5, "other": None}, "target": [1]},
        ),
    ],
)
def test_a_patch_of_the_view_is_a_patch_to_desired_properties(
    operations: list[Any], patch: dict[str, Any]
) -> None:
    known = twin({"plain": {"y": 1}}, {"sensor": {"__t": "c", "max": 1}})
    assert desired_patch(operations, known) == patch
    # What is asked for is then seen as desired.
    assert isinstance(merge(known.desired.values, patch), dict)


@pytest.mark.parametrize(
    "operations",
    [
        None,
        [],
        {},
        ["add"],
        [{"op": "move", "path": "/a", "from": "/b"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/", "value": 1}],
        [{"op": "add", "path": "/a//b", "value": 1}],
        [{"op": "add", "path": "/$metadata/x", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "path": "/a", "value": 1}] * 101,
    ],
)
def test_what_is_no_patch_is_refused(operations: Any) -> None:
    with pytest.raises(InvalidInput):
        desired_patch(operations, twin({}, {}))


def test_a_component_command_is_a_method_with_a_star() -> None:
    assert (method_name(None, "reboot"), method_name("sensor", "reset")) == ("reboot", "sensor*reset")
