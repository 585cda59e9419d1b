"""The module image in a real container: not root, read-only, healthy, and its state in a declared volume."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.edge.engine.docker_load import load_into_docker
from skerry.model.image import build_module_image
from skerry.oci.base_image import open_base
from skerry.oci.dockerfile import write_context
from skerry.oci.layout import read_layout
from skerry.oci.python_image import machine_architecture
from tests.system.test_images import CACHE, note
from tests.unit.serve.support import make_package

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LOCKED_DOWN = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
STATE = "/var/lib/skerry"
SERVING = " on 0.0.0.0:5001"
# What a container of the image runs as; the other keys are of the build.
CONFIG = (
    *("Env", "Entrypoint", "Cmd", "User", "WorkingDir", "Labels", "ExposedPorts", "Volumes", "Healthcheck"),
    "StopSignal",
)
NOTHING = hashlib.sha256(b"").hexdigest()


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def logs(name: str) -> str:
    done = subprocess.run(["docker", "logs", name], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def until_said(name: str, text: str, times: int = 1) -> None:
    """Wait for the module's log to have ``text`` so often."""
    for _ in range(600):  # 60 s
        if logs(name).count(text) >= times:
            return
        threading.Event().wait(0.1)
    raise AssertionError(logs(name))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("container")


@pytest.fixture(scope="module")
def image(place: Path) -> Iterator[str]:
    make_package(place / "package")
    name = f"skerry-test/cnn:{uuid.uuid4().hex[:8]}"
    repository, _, tag = name.partition(":")
    out = place / "out"
    built = build_module_image(
        place / "package", name=repository, tag=tag, output=out, cache=CACHE, progress=note, grpc=True
    )
    assert asyncio.run(load_into_docker(built.layout, name))
    write_context(built.layout, place / "context")
    yield name
    docker("rmi", "--force", name)


@pytest.fixture
def container(image: str) -> Iterator[str]:
    name = f"skerry-test-{uuid.uuid4().hex[:8]}"
    settings = ("--env", "SKERRY_GRPC_PORT=5002")
    docker("run", "--detach", "--cpus=2", "--name", name, *settings, *LOCKED_DOWN, image)
    yield name
    docker("rm", "--force", "--volumes", name)


def test_the_module_needs_no_root_and_no_writable_file_system_and_keeps_its_state(container: str) -> None:
    until_said(container, SERVING)
    shown = json.loads(docker("inspect", container))[0]
    assert shown["Config"]["User"] == "1000:1000"
    assert [mount["Destination"] for mount in shown["Mounts"]] == [STATE]
    healthy = docker(
        "exec", container, "/usr/bin/python3", "-m", "skerry.serve.healthcheck"
    )  # fails unless it exits 0
    assert healthy == ""
    program = "import os; print(os.getuid(), sorted(os.listdir('/var/lib/skerry')))"
    assert docker("exec", container, "/usr/bin/python3", "-c", program).startswith("1000 ['incoming', ")
    assert "no updates of the model" not in logs(container)
    assert "serving gRPC on 0.0.0.0:5002" in logs(container)


def test_what_a_first_start_measured_is_known_to_the_next(container: str) -> None:
    until_said(container, SERVING)
    cpus = int(
        docker("exec", container, "/usr/bin/python3", "-c", "import os; print(len(os.sched_getaffinity(0)))")
    )
    docker("restart", container)
    until_said(container, SERVING, times=2)
    measured, cached = logs(container).count("measured: onnx-fp32"), logs(container).count("cache: onnx-fp32")
    # With one CPU there is one way to run it, and nothing to measure.
    assert (measured, cached) == ((1, 1) if cpus > 1 else (0, 0))


def test_the_dockerfile_gives_the_same_image_with_docker(image: str, place: Path) -> None:
    made = f"{image}-by-docker"
    docker("build", "--quiet", "--tag", made, str(place / "context"))
    try:
        ours, theirs = (json.loads(docker("inspect", name))[0]["Config"] for name in (image, made))
        assert {key: ours.get(key) for key in CONFIG} == {key: theirs.get(key) for key in CONFIG}
        assert tree(image) == tree(made)
    finally:
        docker("rmi", "--force", made)


def test_an_image_on_a_saved_base_serves_and_names_it(image: str, place: Path) -> None:
    """Docker's own archive of an image with Python 3.11; no other such image is at hand without a network."""
    docker("save", "--output", str(place / "base.tar"), image)
    base = open_base(place / "base.tar", machine_architecture(), place / "cache", name="ours")
    name = f"{image}-on-base"
    repository, _, tag = name.partition(":")
    built = build_module_image(
        place / "package",
        name=repository,
        tag=tag,
        output=place / "out",
        cache=CACHE,
        progress=note,
        base=base,
    )
    manifest = json.loads(read_layout(built.layout).manifest)
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == base.digest
    assert manifest["annotations"]["org.opencontainers.image.base.name"] == "ours"
    assert len(manifest["layers"]) == len(base.layers) + 5
    assert asyncio.run(load_into_docker(built.layout, name))
    container = f"skerry-test-{uuid.uuid4().hex[:8]}"
    docker("run", "--detach", "--name", container, *LOCKED_DOWN, name)
    try:
        until_said(container, SERVING)
    finally:
        docker("rm", "--force", "--volumes", container)
        docker("rmi", "--force", name)


def tree(image: str) -> dict[str, tuple[object, ...]]:
    """Every file of a container made of the image: kind, mode, owner, time, link, content."""
    name = f"skerry-test-{uuid.uuid4().hex[:8]}"
    docker("create", "--name", name, image)
    try:
        exported = subprocess.run(["docker", "export", name], capture_output=True, timeout=120, check=True)
    finally:
        docker("rm", "--force", "--volumes", name)
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(exported.stdout)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            digest = hashlib.sha256(content.read()).hexdigest() if content is not None else ""
            owner = (member.uid, member.gid)
            # The engine makes its own files and folders (/dev, /etc/hosts) with the time of now.
            time = member.mtime if member.isfile() and digest != NOTHING else None
            found[member.name] = (member.type, member.mode, owner, time, member.linkname, digest)
    return found
