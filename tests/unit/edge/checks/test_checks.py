"""Each check finds the problem it is for, on real files, sockets and processes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from skerry.clock import ManualClock, SystemClock
from skerry.contract.credentials import ConnectionString
from skerry.contract.names import DeviceId
from skerry.edge.checks import (
    certificates,
    config,
    disk,
    dns,
    engine,
    hub_auth,
    hub_reachable,
    identity,
    modules,
    ports,
    registry,
    store,
    system_clock,
    workload_sockets,
)
from skerry.edge.checks.check import Device
from skerry.edge.checks.suite import CHECKS, run_all
from skerry.edge.daemon.identity_source import Certificate, Manual
from skerry.edge.daemon.provisioning import provision, read_connection
from skerry.errors import InvalidInput
from skerry.service.certificates import self_signed
from tests.support import edge
from tests.support.ports import free_ports


def provisioned(tmp_path: Path, **options: Any) -> Device:
    mqtt, https = free_ports(2)
    made = edge.Device.provisioned(tmp_path / "d", mqtt_port=mqtt, https_port=https, **options).settings
    return Device(made.data_dir, made, read_connection(made), None, None, SystemClock())


def nothing(tmp_path: Path) -> Device:
    return Device(tmp_path / "none", None, None, None, None, SystemClock())


async def test_a_machine_without_a_device_has_one_error_and_no_crash(tmp_path: Path) -> None:
    results = {check.name: result async for check, result in run_all(nothing(tmp_path))}
    assert [name for name, result in results.items() if result.outcome == "error"] == ["config"]
    assert "skerry edge provision" in results["config"].hint
    assert len(results) == len(CHECKS)


async def test_every_problem_comes_with_what_to_do(tmp_path: Path) -> None:
    device = provisioned(tmp_path, hub_address="127.0.0.1", hub_mqtt_port=1, hub_https_port=1)
    async for check, result in run_all(device, leave_out=["engine"]):
        assert result.text, check
        assert (result.outcome in ("warning", "error")) == bool(result.hint), check


async def test_a_check_that_does_not_exist_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no check"):
        await anext(run_all(nothing(tmp_path), leave_out=["weather"]))


async def test_settings_and_identity(tmp_path: Path) -> None:
    device = provisioned(tmp_path)
    assert device.settings is not None
    assert (await config.run(device)).outcome == "ok"
    assert (await identity.run(device)).text == f"{edge.DEVICE} at {edge.HUB}"
    device.settings.connection_string_file.chmod(0o644)
    assert (await identity.run(device)).hint.startswith("chmod 600 ")
    (device.data_dir / "config.toml").write_text("mqtt_port = 'many'")
    assert (await config.run(device)).outcome == "error"


async def test_a_clock_before_this_release_is_wrong(tmp_path: Path) -> None:
    device = nothing(tmp_path)
    assert (await system_clock.run(device)).outcome == "ok"
    first = replace(device, clock=ManualClock(datetime(1970, 1, 1, tzinfo=UTC)))
    assert (await system_clock.run(first)).outcome == "error"


async def test_the_hubs_name_and_port(tmp_path: Path) -> None:
    (free,) = free_ports(1)
    device = provisioned(tmp_path, hub_address="127.0.0.1", hub_mqtt_port=free, hub_https_port=free)
    assert (await dns.run(device)).text == "127.0.0.1 is 127.0.0.1"
    assert (await hub_reachable.run(device)).outcome == "error"
    # Not knowing is no verdict on the key.
    assert (await hub_auth.run(device)).outcome == "skipped"
    lost = provisioned(tmp_path / "other", hub_address="no-such-name.invalid")
    assert (await dns.run(lost)).outcome == "error"


async def test_a_foreign_program_on_our_port(tmp_path: Path) -> None:
    device = provisioned(tmp_path)
    assert device.settings is not None
    assert (await ports.run(device)).outcome == "ok"
    down = replace(device, status={})
    assert "nobody answers" in (await ports.run(down)).text
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", device.settings.mqtt_port)
    try:
        assert str(device.settings.mqtt_port) in (await ports.run(device)).text
    finally:
        server.close()
        await server.wait_closed()


async def test_certificates_that_end(tmp_path: Path) -> None:
    device = provisioned(tmp_path)
    assert device.settings is not None
    assert (await certificates.run(device)).outcome == "ok"
    late = replace(device, clock=ManualClock(datetime(2126, 1, 1, tzinfo=UTC)))
    assert (await certificates.run(late)).outcome == "error"
    (device.settings.ca_directory / "ca.pem").unlink()
    assert (await certificates.run(device)).outcome == "error"


async def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    device = provisioned(tmp_path)
    assert device.settings is not None
    assert (await store.run(device)).outcome == "ok"
    device.settings.queue_file.write_bytes(b"not a database" * 100)
    assert "queue.db is damaged" in (await store.run(device)).text
    aside = replace(device, status={"quarantined": ["queue.db.damaged-1"]})
    assert (await store.run(aside)).outcome == "warning"


async def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = provisioned(tmp_path)
    for free, outcome in ((10 * 2**30, "ok"), (2**29, "warning"), (2**20, "error")):
        monkeypatch.setattr(disk, "free_bytes", lambda folder, free=free: free)
        assert (await disk.run(device)).outcome == outcome


async def test_the_engine_is_named(tmp_path: Path) -> None:
    found = await engine.run(provisioned(tmp_path, engine="process"))
    assert found.outcome in ("ok", "warning")
    assert "process" in found.text


async def test_modules_that_do_not_run_and_images_that_lack(tmp_path: Path) -> None:
    device = provisioned(tmp_path)
    why = {"reason": "image-not-found", "because": "there is no image cnn:9", "suggestion": "push it"}
    ill = replace(device, status={}, modules={"cnn": why, "ok": {"reason": "running"}})
    for check in (registry, modules):
        found = await check.run(ill)
        assert found.outcome == "error"
        assert "there is no image cnn:9" in found.text
        assert "push it" in found.hint
    assert (await workload_sockets.run(ill)).text == "no workload socket answers for cnn, ok"


@pytest.mark.parametrize(("days", "outcome"), [(90, "ok"), (10, "warning")])
async def test_the_certificate_by_which_the_device_proves_itself(
    tmp_path: Path, days: int, outcome: str
) -> None:
    own = self_signed("d", SystemClock(), days * 86_400)
    connection = ConnectionString("h", DeviceId("d"), x509=True)
    source = Manual(connection, Certificate(own.cert_chain_pem, own.key_pem))
    made = provision(tmp_path / "d", source).settings
    device = Device(made.data_dir, made, read_connection(made), None, None, SystemClock())
    assert (await certificates.run(device)).outcome == outcome
    late = replace(device, clock=ManualClock(datetime(2060, 1, 1, tzinfo=UTC)))
    assert (await certificates.run(late)).outcome == "error"
