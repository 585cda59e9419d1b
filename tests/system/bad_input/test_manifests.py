"""Manifests and routes that are wrong, images that do not exist: named, and nothing is applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.demo.manifest import deployment
from skerry.hub.client import ServiceClient
from tests.support.shell_image import write_shell_image
from tests.system.bad_input.command import skerry, until
from tests.system.bad_input.site import Site

pytestmark = pytest.mark.system

Json = dict[str, Any]
AGENT = "modulesContent.$edgeAgent.properties.desired"
HUB = "modulesContent.$edgeHub.properties.desired"
ROUTE = "FROM /messages/* WHERE temperature > INTO $upstream"


def agent(document: Json) -> Json:
    found: Json = document["modulesContent"]["$edgeAgent"]["properties.desired"]
    return found


def hub(document: Json) -> Json:
    found: Json = document["modulesContent"]["$edgeHub"]["properties.desired"]
    return found


Change = Callable[[Json], object]
WRONG: dict[str, tuple[Change, list[str]]] = {
    "a restart policy that is none": (
        lambda d: agent(d)["modules"]["cnn"].update(restartPolicy="sometimes"),
        [f"{AGENT}.modules.cnn.restartPolicy", "sometimes", "one of never, on-failure"],
    ),
    "a module without an image": (
        lambda d: agent(d)["modules"]["cnn"]["settings"].pop("image"),
        [f"{AGENT}.modules.cnn.settings.image is missing", "a non-empty string"],
    ),
    "another schema": (
        lambda d: agent(d).update(schemaVersion="2.0"),
        [f"{AGENT}.schemaVersion", "2.0", "a schema version 1.x"],
    ),
    "a route without a value": (
        lambda d: hub(d)["routes"].update(hot=ROUTE),
        [f"{HUB}.routes.hot", "expected a value", f"position {ROUTE.index('INTO')}", "found 'INTO"],
    ),
    "a route to nowhere": (
        lambda d: hub(d)["routes"].update(hot={"route": "FROM /messages/* INTO $downstream"}),
        [f"{HUB}.routes.hot.route", "expected $upstream or BrokeredEndpoint", "position 22"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_check_names_the_path_and_the_rule(name: str, tmp_path: Path) -> None:
    change, said = WRONG[name]
    skerry("deploy", "check", written(tmp_path, change)).failed(3, *said, "hint: ")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"modulesContent":\n {"a": }}', "line 2 column 8"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "expected an object"),
    ],
    ids=["not JSON", "not text", "deep", "a list"],
)
def test_a_file_that_is_no_manifest(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(data)
    skerry("deploy", "check", tmp_path / "m.json").failed(3, said)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    skerry("deploy", "check", tmp_path / "none.json").failed(3, "none.json", "No such file")


def test_a_wrong_manifest_changes_nothing_at_the_hub(site: Site, tmp_path: Path) -> None:
    site.create_device("untouched")
    before = site.ask(lambda client: state(client, "untouched"))
    change, said = WRONG["a route without a value"]
    site.skerry("deploy", "apply", "untouched", written(tmp_path, change)).failed(3, *said)
    assert site.ask(lambda client: state(client, "untouched")) == before
    site.skerry("deploy", "apply", "nobody", written(tmp_path, lambda d: None)).failed(4, "nobody")


def test_a_manifest_for_a_device_that_runs_nothing_waits_for_it(site: Site, tmp_path: Path) -> None:
    site.create_device("waiting")
    manifest = written(tmp_path, lambda d: None)
    assert "see it with" in site.skerry("deploy", "apply", "waiting", manifest).succeeded().out
    assert "reported nothing yet" in site.skerry("deploy", "status", "waiting").succeeded().out


def test_an_image_that_does_not_exist_holds_up_its_own_module_only(site: Site, tmp_path: Path) -> None:
    text = site.create_device("imageless")
    settings = site.provision(tmp_path / "d", text)
    write_shell_image(settings.images, "good:1", script="trap 'exit 0' TERM; while :; do sleep 0.2; done")
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps(deployment("missing:1", "good:1")))
    site.skerry("deploy", "apply", "imageless", manifest).succeeded()
    with site.running_edge(settings) as edge:
        edge.wait_for("module cnn started")
        shown = ""

        def told() -> bool:
            nonlocal shown
            shown = site.skerry("deploy", "status", "imageless").succeeded().out
            return "500 camera: there is no image missing:1" in shown and "running" in line_of("cnn", shown)

        until(told, "the hub is not told")
        assert "waiting: there is no image missing:1" in line_of("camera", shown)
        assert "put its OCI layout into" in line_of("camera", shown)
        listed = skerry("edge", "list", "--dir", tmp_path / "d").succeeded().out
        assert "waiting: there is no image missing:1" in line_of("camera", listed)
        assert "Up " in line_of("cnn", listed)
        # The module that cannot be made has no log; asking for it is not an error of the runtime's.
        skerry("edge", "logs", "--dir", tmp_path / "d", "camera").failed(4, "there is no module camera")


def written(folder: Path, change: Change) -> Path:
    """The demo's manifest with something done to it."""
    document = deployment("camera:1", "cnn:1")
    change(document)
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    return path


async def state(client: ServiceClient, device: str) -> Json:
    """Everything a deployment could change."""
    modules = {str(module["moduleId"]): module for module in await client.modules(device)}
    return {name: (module, await client.twin(device, name)) for name, module in modules.items()}


def line_of(name: str, text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))
