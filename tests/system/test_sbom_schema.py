"""Our bills of materials against CycloneDX's own schema, which is fetched, not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from skerry.model.sbom import image_sbom, package_sbom
from skerry.package.manifest import Package
from skerry.sim.scenarios.wheels import Wheel, fetch, read_member
from tests.system.test_model_zoo import cache
from tests.unit.model.test_sbom import layout, package

__all__ = ["layout", "package"]

pytestmark = pytest.mark.system

LIBRARY = Wheel(
    "cyclonedx-python-lib", "11.12.0", "0e807521a921a5c3cb8ce1153f8a61d29eedfe76a46aac2796b7c6b573391a54"
)
FOLDER = "cyclonedx/schema/_res"


@pytest.fixture(scope="module")
def validator() -> Any:
    """The schema of 1.6, with those of SPDX licences and of signatures that it names."""
    wheel = fetch(LIBRARY, cache(), lambda _: None)

    def read(name: str) -> Any:
        return json.loads(read_member(wheel, f"{FOLDER}/{name}.SNAPSHOT.schema.json"))

    beside = [
        (f"{name}.{kind}", Resource.from_contents(read(name), DRAFT7))
        for name in ("spdx", "jsf-0.82", "cryptography-defs")
        for kind in ("schema.json", "SNAPSHOT.schema.json")
    ]
    schema = read("bom-1.6")
    # It names them beside itself.
    schema.pop("$id")
    return Draft7Validator(schema, registry=Registry().with_resources(beside))


def test_the_bills_of_an_image_and_of_a_package_are_cyclonedx(
    validator: Any, layout: Path, package: Package
) -> None:
    for document in (image_sbom(layout, package), package_sbom(package)):
        bill = json.loads(document)
        assert bill["specVersion"] == "1.6"
        assert [error.message for error in validator.iter_errors(bill)] == []


def test_the_schema_catches_what_is_wrong(validator: Any, package: Package) -> None:
    bill = json.loads(package_sbom(package))
    del bill["metadata"]["component"]["type"]
    assert not validator.is_valid(bill)
