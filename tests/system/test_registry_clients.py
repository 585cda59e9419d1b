"""The hub's container registry, driven by the clients people have: Docker Engine and Podman."""

import asyncio
import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from skerry.oci.layout import read_layout, to_docker_archive
from tests.support.engines import SCRIPT
from tests.support.shell_image import write_shell_image
from tests.unit.hub.containers.client import client, policy_login
from tests.unit.hub.running import RunningHub, running_hub

pytestmark = pytest.mark.system

MIB = 1 << 20


async def ran(*command: str, env: dict[str, str] | None = None, stdin: str = "") -> str:
    """What the command says; it must succeed."""
    code, said = await tried(*command, env=env, stdin=stdin)
    assert code == 0, said
    return said


async def tried(*command: str, env: dict[str, str] | None = None, stdin: str = "") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    return process.returncode or 0, said.decode()


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=64 * MIB) as running:
        yield running


@pytest.fixture
async def image(tmp_path: Path) -> AsyncIterator[str]:
    """An image in the Docker Engine under a name of its own."""
    name = f"skerry-test/registry-{uuid.uuid4().hex[:8]}:1"
    layout = write_shell_image(tmp_path / "images", name, script=SCRIPT)
    to_docker_archive(layout, tmp_path / "image.tar", name)
    await ran("docker", "load", "-i", str(tmp_path / "image.tar"))
    yield name
    await tried("docker", "image", "rm", "-f", name)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


async def login(command: str, hub: RunningHub, user: str, password: str, env: dict[str, str]) -> None:
    where = f"127.0.0.1:{hub.addresses.https_port}"
    more = [] if command == "docker" else ["--tls-verify=false"]
    await ran(command, "login", "-u", user, "--password-stdin", *more, where, env=env, stdin=password)


async def test_docker_pushes_as_a_policy_and_pulls_as_a_device(
    hub: RunningHub, image: str, tmp_path: Path
) -> None:
    docker = {"DOCKER_CONFIG": str(tmp_path / "docker")}
    target = f"127.0.0.1:{hub.addresses.https_port}/solar/shell:1"
    document = await hub.service.create_device("pi", edge=True)
    await login("docker", hub, *policy_login(hub, "registryReadWrite"), docker)
    await ran("docker", "tag", image, target)
    try:
        said = await ran("docker", "push", target, env=docker)
        digest = said.partition("digest: ")[2].split()[0]
        again = await ran("docker", "push", target, env=docker)
        assert again.count("Layer already exists") == 2
        await ran("docker", "image", "rm", target, image)
        await ran("docker", "logout", target.split("/")[0], env=docker)
        code, said = await tried("docker", "pull", target, env=docker)
        assert code != 0, said
        await login("docker", hub, "pi", hub.device_token(document), docker)
        pinned = f"{target.rpartition(':')[0]}@{digest}"
        await ran("docker", "pull", pinned, env=docker)
        out = await ran(
            "docker", "run", "--rm", "-e", "CRASH=1", "--entrypoint", "/bin/sh", pinned, "-c", "echo hello"
        )
        assert out == "hello\n"
        code, said = await tried("docker", "push", target, env=docker)
        assert code != 0
        await ran("docker", "image", "rm", pinned)
    finally:
        await tried("docker", "image", "rm", "-f", target)


async def test_podman_pushes_and_pulls(hub: RunningHub, tmp_path: Path, stack: contextlib.ExitStack) -> None:
    layout = write_shell_image(tmp_path / "images", "skerry-test/shell:1", script=SCRIPT)
    archive = tmp_path / "image.tar"
    to_docker_archive(layout, archive, "localhost/skerry-test/shell:1")
    auth = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    short = stack.enter_context(tempfile.TemporaryDirectory(prefix="pod-"))  # Podman wants 50 characters
    podman = ["podman", "--root", f"{short}/root", "--runroot", f"{short}/run", "--storage-driver", "vfs"]
    document = await hub.service.create_device("pi", edge=True)
    await login("podman", hub, *policy_login(hub, "iothubowner"), auth)
    target = f"127.0.0.1:{hub.addresses.https_port}/solar/podman:1"
    await ran(*podman, "load", "-q", "-i", str(archive), env=auth)
    await ran(*podman, "push", "-q", "--tls-verify=false", "skerry-test/shell:1", target, env=auth)
    async with client(hub) as c:
        manifest = json.loads((await c.ask("GET", "/v2/solar/podman/manifests/1")).content)
        assert len(manifest["layers"]) == len(read_layout(layout).layers)
    await ran(*podman, "rmi", "-f", "-a", env=auth)
    await login("podman", hub, "pi", hub.device_token(document), auth)
    pulled = await ran(*podman, "pull", "-q", "--tls-verify=false", target, env=auth)
    assert manifest["config"]["digest"].removeprefix("sha256:") in pulled
