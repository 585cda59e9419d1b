"""The process: what it loads, how it starts without a network, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.errors import InvalidInput
from skerry.serve.environment import Environment, read_environment
from skerry.serve.healthcheck import healthy
from skerry.serve.main import EXIT_MODEL, EXIT_SETTINGS, EXIT_UNAVAILABLE
from tests.unit.serve.support import BLUE, RED, make_package, picture

START_TIMEOUT_S = 30.0

# Anything but a unix socket or listening is an outbound connection; an audit hook cannot be undone.
WATCHED = """
import sys
def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.gethostbyname"):
        sys.stderr.write(f"OUTBOUND {event} {args[1:]}\\n")
        sys.stderr.flush()
sys.addaudithook(watch)
from skerry.serve.main import main
sys.exit(main())
"""


class Module:
    """A running CNN module."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.lines: list[str] = []
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if ": serving " in line:
                self._serving.set()
        self._serving.set()

    def wait_serving(self) -> None:
        assert self._serving.wait(START_TIMEOUT_S)
        assert self.process.poll() is None, self.lines

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(START_TIMEOUT_S)
        self._reader.join()
        return code


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(model: Path, **more: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return {**inherited, "SKERRY_MODEL_DIR": str(model), "SKERRY_HTTP_HOST": "127.0.0.1", **more}


@contextlib.contextmanager
def module(model: Path, *program: str) -> Iterator[Module]:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, *(program or ("-m", "skerry.serve.main"))],
        env=environment(model, SKERRY_HTTP_PORT=str(port)),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        running = Module(process, port)
        try:
            running.wait_serving()
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            running._reader.join()


def post(port: int, image: bytes) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/score", image, {"Content-Type": "image/png"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        document: dict[str, object] = json.load(response)
        return document


def run(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skerry.serve.main"], env=environ, capture_output=True, text=True, timeout=60
    )


def test_it_serves_stays_healthy_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    with module(tmp_path / "model") as running:
        assert post(running.port, picture(BLUE))["label"] == "blue"
        assert healthy(environment(tmp_path, SKERRY_HTTP_PORT=str(running.port)))
        code = running.stop()
    assert code == 0
    assert "Traceback" not in "".join(running.lines)
    assert not healthy(environment(tmp_path, SKERRY_HTTP_PORT=str(running.port)))


def test_it_makes_no_outbound_connection(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    with module(tmp_path / "model", "-c", WATCHED) as running:
        post(running.port, picture(RED))
        running.stop()
    assert [line for line in running.lines if "OUTBOUND" in line] == []


def test_the_watch_of_the_test_above_sees_a_connection() -> None:
    program = WATCHED.replace("from skerry.serve.main import main\nsys.exit(main())", "") + (
        "import socket\ns = socket.socket()\ns.connect_ex(('127.0.0.1', 9))\ns.close()\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "OUTBOUND socket.connect" in found.stderr


def test_importing_it_loads_no_other_part_and_no_framework() -> None:
    program = "import sys, skerry.serve.main, skerry.serve.module_front; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    loaded = found.stdout.split()
    assert "skerry.serve.scoring" in loaded, found.stderr
    foreign = ("skerry.hub", "skerry.edge", "skerry.oci", "skerry.model", "skerry.sim", "skerry.cli")
    heavy = ("skerry.store", "keras", "tensorflow", "onnx", "h5py", "cryptography", "httpx", "wsproto")
    web = ("starlette", "uvicorn", "anyio", "skerry.service.http", "skerry.serve.driver")
    # Loaded when they are wanted: the start of a module waits for none of them.
    optional = ("grpc", "google.protobuf", "skerry.serve.rpc", "prometheus_client")
    engines = ("onnxruntime", "openvino", "ai_edge_litert", "skerry.serve.choice.trial")
    for name in (*foreign, *heavy, *web, *optional, *engines):
        assert not [one for one in loaded if one == name or one.startswith(name + ".")]


def test_a_module_without_a_model_exits_with_one_line(tmp_path: Path) -> None:
    found = run(environment(tmp_path / "nothing"))
    assert found.returncode == EXIT_MODEL
    assert found.stderr.count("\n") == 1
    assert found.stderr.startswith("skerry serve: no model package in ")


def test_a_damaged_model_exits_with_one_line(tmp_path: Path) -> None:
    make_package(tmp_path / "model", model=b"nonsense")
    found = run(environment(tmp_path / "model"))
    assert (found.returncode, found.stderr.count("\n")) == (EXIT_MODEL, 1)
    assert "the model does not load" in found.stderr


def test_a_state_folder_that_cannot_be_made_does_not_keep_it_from_serving(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    (tmp_path / "file").write_text("")
    program = (
        "import os, sys\nos.environ['SKERRY_STATE_DIR'] = sys.argv[1]\n"
        "from skerry.serve.main import main\nsys.exit(main())"
    )
    with module(tmp_path / "model", "-c", program, str(tmp_path / "file" / "state")) as running:
        assert post(running.port, picture(BLUE))["label"] == "blue"
        assert running.stop() == 0
    assert [line for line in running.lines if "no updates of the model" in line]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SKERRY_HTTP_PORT", "http"),
        ("SKERRY_GRPC_PORT", "yes"),
        ("SKERRY_COMPUTE", "gpu"),
        ("SKERRY_BACKPRESSURE", "drop"),
    ],
)
def test_a_bad_setting_exits_naming_the_variable(name: str, value: str) -> None:
    found = run(environment(Path("nothing"), **{name: value}))
    assert found.returncode == EXIT_SETTINGS
    assert name in found.stderr


def test_grpc_that_is_not_installed_exits_saying_so(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    program = "import sys\nsys.modules['grpc'] = None\nfrom skerry.serve.main import main\nsys.exit(main())"
    environ = environment(tmp_path / "model", SKERRY_GRPC_PORT="0", SKERRY_HTTP_PORT="0")
    found = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == EXIT_SETTINGS
    assert "SKERRY_GRPC_PORT" in found.stderr.splitlines()[-1]
    assert "skerry[grpc]" in found.stderr.splitlines()[-1]


def test_a_driver_that_fails_exits_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def init(): raise ValueError('no weights')\ndef run(x): pass\n")
    found = run(environment(tmp_path, SKERRY_DRIVER=str(tmp_path / "score.py")))
    assert found.returncode == EXIT_MODEL
    assert "no weights" in found.stderr.splitlines()[-1]


def test_a_bad_log_level_exits_naming_it() -> None:
    found = run(environment(Path("nothing"), SKERRY_LOG_LEVEL="loud"))
    assert found.returncode == EXIT_SETTINGS
    assert "loud" in found.stderr


def test_a_taken_port_exits_saying_so(tmp_path: Path) -> None:
    make_package(tmp_path / "model")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        found = run(environment(tmp_path / "model", SKERRY_HTTP_PORT=port))
    assert found.returncode == EXIT_UNAVAILABLE
    assert port in found.stderr.splitlines()[-1]


def test_several_processes_share_the_cores_and_serve_one_fixed_package() -> None:
    settings = read_environment({"SKERRY_PROCESSES": "2"}, cpus=4)
    assert (settings.processes, settings.threads, settings.http_shared) == (2, 2, True)
    assert read_environment({"SKERRY_PROCESSES": "8"}, cpus=4).threads == 1
    for other in ({"SKERRY_STATE_DIR": "/state"}, {"SKERRY_DRIVER": "/driver.py"}):
        with pytest.raises(InvalidInput, match="several processes"):
            read_environment({"SKERRY_PROCESSES": "2", **other}, cpus=4)


def test_an_empty_environment_means_the_containers_defaults() -> None:
    assert read_environment({}, cpus=4) == Environment(threads=4)


@pytest.mark.parametrize("port", ["x", "70000", "-1"])
def test_a_healthcheck_with_a_wrong_port_is_not_healthy(port: str) -> None:
    assert not healthy({"SKERRY_HTTP_PORT": port})
