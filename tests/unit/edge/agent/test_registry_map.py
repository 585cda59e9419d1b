"""Which image stands in for which."""

from __future__ import annotations

import pytest

from skerry.edge.agent.registry_map import check, mapped
from skerry.errors import InvalidInput

MAP = {
    "mcr.microsoft.com": "mirror.example:5000/mcr",
    "mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.0": "skerry/camera:1",
    "acr.example/team": "plant.example/team",
}


@pytest.mark.parametrize(
    ("reference", "used"),
    [
        ("mcr.microsoft.com/azureiotedge-agent:1.0", "mirror.example:5000/mcr/azureiotedge-agent:1.0"),
        ("mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.0", "skerry/camera:1"),
        ("acr.example/team/cnn@sha256:12", "plant.example/team/cnn@sha256:12"),
        ("acr.example/team:7", "plant.example/team:7"),
        ("acr.example/teams/cnn:1", "acr.example/teams/cnn:1"),
        ("mcr.microsoft.company/x:1", "mcr.microsoft.company/x:1"),
        ("cnn:1", "cnn:1"),
    ],
)
def test_the_longest_entry_that_ends_at_a_boundary_is_used(reference: str, used: str) -> None:
    assert mapped(reference, MAP) == used


def test_without_entries_an_image_is_itself() -> None:
    assert mapped("a/b:1", {}) == "a/b:1"


@pytest.mark.parametrize("entry", [{"": "a"}, {"a/": "b"}, {"a": "b:"}, {"a b": "c"}, {"a": ""}])
def test_an_entry_that_is_no_beginning_of_a_reference_is_refused(entry: dict[str, str]) -> None:
    check(MAP)
    with pytest.raises(InvalidInput, match="registry_map"):
        check(entry)
