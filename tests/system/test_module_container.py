"""The module image in a real container: not root, read-only, healthy, and its state in a declared volume."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator

import pytest

from skerry.edge.engine.docker_load import load_into_docker
from skerry.model.image import build_module_image
from tests.system.test_images import CACHE, note
from tests.unit.serve.support import make_package

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

LOCKED_DOWN = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
STATE = "/var/lib/skerry"


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
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("container")
    make_package(place / "package")
    name = f"skerry-test/cnn:{uuid.uuid4().hex[:8]}"
    repository, _, tag = name.partition(":")
    built = build_module_image(
        place / "package", name=repository, tag=tag, output=place / "out", cache=CACHE, progress=note
    )
    assert asyncio.run(load_into_docker(built.layout, name))
    yield name
    docker("rmi", "--force", name)


@pytest.fixture
def container(image: str) -> Iterator[str]:
    name = f"skerry-test-{uuid.uuid4().hex[:8]}"
    docker("run", "--detach", "--cpus=2", "--name", name, *LOCKED_DOWN, image)
    yield name
    docker("rm", "--force", "--volumes", name)


def test_the_module_needs_no_root_and_no_writable_file_system_and_keeps_its_state(container: str) -> None:
    until_said(container, ": serving ")
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


def test_what_a_first_start_measured_is_known_to_the_next(container: str) -> None:
    until_said(container, ": serving ")
    cpus = int(
        docker("exec", container, "/usr/bin/python3", "-c", "import os; print(len(os.sched_getaffinity(0)))")
    )
    docker("restart", container)
    until_said(container, ": serving ", times=2)
    measured, cached = logs(container).count("measured: onnx-fp32"), logs(container).count("cache: onnx-fp32")
    # With one CPU there is one way to run it, and nothing to measure.
    assert (measured, cached) == ((1, 1) if cpus > 1 else (0, 0))
