"""``skerry edge why|check|support-bundle|version|config import`` against a real runtime."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import skerry
from skerry.cli.edge import edge
from skerry.clock import SystemClock
from skerry.edge.daemon.provisioning import read_connection, read_settings
from tests.support.edge import Device, agent_desired, key_of
from tests.support.engine import MemoryEngine, World


def call(*arguments: str) -> Result:
    return CliRunner().invoke(edge, arguments)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    made = Device.provisioned(tmp_path / "d")
    asyncio.run(made.knows("cnn", agent=agent_desired(1, cnn="cnn:1")))
    return made.settings.data_dir


async def during(data_dir: Path, *commands: tuple[str, ...]) -> list[Result]:
    """The commands while the runtime runs with a module that crashed."""
    engine = MemoryEngine(SystemClock(), World(images={"cnn:1"}))
    async with Device(read_settings(data_dir)).running(engine):
        async with asyncio.timeout(20):
            while "start cnn" not in engine.world.journal:
                await asyncio.sleep(0.01)
        engine.writes("cnn", "loading", "password=hunter2 is wrong")
        engine.exits("cnn", 127)
        await asyncio.sleep(0.3)
        return [await asyncio.to_thread(call, *command, "--dir", str(data_dir)) for command in commands]


def test_why_tells_reason_chain_log_and_suggestion(data_dir: Path) -> None:
    text, document, stranger = asyncio.run(
        during(data_dir, ("why", "cnn"), ("why", "cnn", "--output", "json"), ("why", "nobody"))
    )
    assert "cnn is backoff: its program ended with code 127  [crashed]" in text.output
    assert "deployment 1 wants cnn:1 running, restart always" in text.output
    assert "password=hunter2 is wrong" in text.output
    assert "suggestion: its program was not found: check Entrypoint and Cmd" in text.output
    told = json.loads(document.output)
    assert told["nextAttempt"]
    assert stranger.exception is not None
    assert "no module nobody" in str(stranger.exception)


def test_a_support_bundle_holds_everything_but_secrets(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    (made,) = asyncio.run(during(data_dir, ("support-bundle", "-o", str(file))))
    assert made.exit_code == 0, made.output
    assert file.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        names = set(archive.namelist())
        everything = b"".join(archive.read(name) for name in names)
        why = json.loads(archive.read("modules/cnn/why.json"))
    assert names == {
        "bundle.json",
        "status.json",
        "modules.json",
        "runtime.log",
        "config.toml",
        "check.json",
        "modules/cnn/why.json",
        "modules/cnn/log",
    }
    assert why["reason"] == "crashed"
    assert b"hunter2" not in everything
    assert key_of("edge-1").encode() not in everything
    assert key_of("cnn").encode() not in everything


def test_check_reports_and_its_exit_code_tells(data_dir: Path) -> None:
    leave = [part for name in ("engine", "hub-auth", "hub-reachable", "dns") for part in ("--dont-run", name)]
    (found,) = asyncio.run(during(data_dir, ("check", "--output", "json", *leave)))
    checks = json.loads(found.output)["checks"]
    assert checks["modules"]["result"] == "error"
    assert checks["config"]["result"] == "ok"
    assert checks["workload-sockets"]["result"] == "ok"
    assert found.exit_code == 1


def test_check_works_while_nothing_runs(data_dir: Path) -> None:
    leave = [part for name in ("engine", "hub-auth", "hub-reachable", "dns") for part in ("--dont-run", name)]
    found = call("check", "--dir", str(data_dir), *leave)
    assert found.exit_code == 0, found.output
    assert "× " not in found.output
    names = call("check-list").output
    assert "workload-sockets" in names


def test_version() -> None:
    assert call("version").output == f"skerry {skerry.__version__}\n"


def test_an_iot_edge_config_is_imported(tmp_path: Path) -> None:
    file, target = tmp_path / "config.toml", tmp_path / "d"
    file.write_text(
        'hostname = "edge.factory"\n[watchdog]\nmax_retries = 3\n[provisioning]\nsource = "manual"\n'
        f'connection_string = "HostName=h.test;DeviceId=d;SharedAccessKey={key_of("d")}"\n'
    )
    done = call("config", "import", str(file), "--dir", str(target))
    assert done.exit_code == 0, done.output
    assert read_settings(target).hostname == "edge.factory"
    assert read_connection(read_settings(target)).identity.client_id == "d"
    assert "watchdog is not needed here" in done.output
    typed = call("provision", "--config", str(file), "--hostname", "other", "--dir", str(target))
    assert typed.exit_code == 0, typed.output
    assert read_settings(target).hostname == "other"
    assert call("provision", "--dir", str(target)).exit_code == 2
