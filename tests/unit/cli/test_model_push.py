"""``skerry model push``, against a hub that runs in this process."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from skerry.cli.model_push import push
from skerry.model.artifact import ARTIFACT_TYPE
from skerry.oci.layout import read_layout
from skerry.service.files import write_atomic
from tests.support.shell_image import write_shell_image
from tests.unit.hub.containers.client import client, policy_login
from tests.unit.hub.running import RunningHub, running_hub
from tests.unit.serve.support import make_package


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, push, [*arguments])


async def pushed(*arguments: str) -> Any:
    result = await run(*arguments, "--output", "json")
    assert result.exception is None, result.output
    return json.loads(result.stdout)


def stored_bytes(hub: RunningHub) -> int:
    return sum(path.stat().st_size for path in (hub.data_dir / "containers/blobs").iterdir())


async def test_an_image_is_pushed_and_said_how_to_deploy_it(tmp_path: Path) -> None:
    layout = write_shell_image(tmp_path / "images", "shell:1", script="true")
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=0) as hub:
        place = f"localhost:{hub.addresses.https_port}/solar/shell"
        said = await pushed(str(layout), f"{place}:1", "--hub-dir", str(hub.data_dir))
        digest = read_layout(layout).manifest_digest
        assert said["pinned"] == f"{place}@{digest}"
        assert (said["bytesPushed"], said["bytesSkipped"]) == (stored_bytes(hub), 0)
        # Only the topmost layer changes, and only that goes over the line.
        before = stored_bytes(hub)
        changed = write_shell_image(tmp_path / "changed", "shell:2", script="false")
        said = await pushed(str(changed), f"{place}:2", "--hub-dir", str(hub.data_dir))
        assert said["bytesPushed"] == stored_bytes(hub) - before < 5_000
        assert said["bytesSkipped"] > 500_000
        text = await run(str(changed), f"{place}:2", "--hub-dir", str(hub.data_dir))
        assert "0 bytes in 0 blobs sent" in text.stdout
        assert f"deploy it as {place}@" in text.stdout


async def test_a_package_is_pushed_as_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package(tmp_path / "package")
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=0) as hub:
        host = f"localhost:{hub.addresses.https_port}"
        # As docker login leaves it.
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
        user, key = policy_login(hub, "registryReadWrite")
        auths = {host: {"username": user, "password": key}}
        write_atomic(tmp_path / "docker/config.json", json.dumps({"auths": auths}).encode())
        ca = ["--ca", str(hub.addresses.ca_file)]
        said = await pushed(str(tmp_path / "package"), f"{host}/models/solar:1", *ca)
        async with client(hub) as c:
            manifest = (await c.ask("GET", "/v2/models/solar/manifests/1")).json()
        assert manifest["artifactType"] == ARTIFACT_TYPE
        assert said["blobsPushed"] == len(manifest["layers"]) + 2
        again = await pushed(str(tmp_path / "package"), f"{host}/models/solar:2", *ca)
        assert again["bytesPushed"] < 3_000  # the manifest, under its new name


@pytest.mark.parametrize(
    ("reference", "hint"),
    [("cnn:1", "names no registry"), ("h:1/a@sha256:" + "0" * 64, "its own digest"), ("h:1/A", "repository")],
)
async def test_a_reference_that_makes_no_sense_is_refused(tmp_path: Path, reference: str, hint: str) -> None:
    result = await run(str(tmp_path), reference)
    assert hint in str(result.exception)
