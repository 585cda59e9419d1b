"""``skerry enrollment`` against a running hub."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from skerry.cli.main import skerry_command
from skerry.clock import SystemClock
from skerry.contract.provisioning import derived_key
from skerry.errors import InvalidInput, NotAuthenticated, NotFound
from skerry.service.certificates import Authority, self_signed
from tests.unit.hub.provisioned import id_scope, provisioning, registered, token
from tests.unit.hub.running import RunningHub, running_hub


async def skerry(hub: RunningHub, *words: str) -> Result:
    """A command as a person gives it, in a thread, since it runs a loop of its own."""
    where = ["--hub-dir", str(hub.data_dir), "--hub-port", str(hub.addresses.https_port)]
    return await asyncio.to_thread(CliRunner().invoke, skerry_command, ["enrollment", *words, *where])


async def test_a_device_is_enrolled_registers_and_is_shown(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        options = [
            "--device-id",
            "cam-1",
            "--edge-enabled",
            "--tags",
            '{"site": "a"}',
            "--desired",
            '{"n": 1}',
        ]
        made = await skerry(hub, "create", "reg-1", *options, "--reprovision", "reset")
        assert made.output == f"reg-1 created; id scope {await id_scope(hub)}, hub localhost\n"
        shown = json.loads((await skerry(hub, "show", "reg-1")).output)
        assert shown["attestation"] == {"type": "symmetricKey"}
        assert shown["reprovisionPolicy"] == {"updateHubAssignment": True, "migrateDeviceData": False}
        keys = json.loads((await skerry(hub, "show", "reg-1", "--show-keys")).output)["attestation"]
        await registered(hub, "reg-1", keys["symmetricKey"]["secondaryKey"])
        twin = await hub.service.twin("cam-1")
        assert (twin["tags"], twin["properties"]["desired"]["n"]) == ({"site": "a"}, 1)
        assert twin["capabilities"] == {"iotEdge": True}
        rows = [line.split() for line in (await skerry(hub, "list")).output.splitlines()]
        assert rows[1:] == [["reg-1", "device", "enabled", "assigned:", "cam-1"]]
        assert (await skerry(hub, "delete", "reg-1")).output == "reg-1 removed\n"
        assert json.loads((await skerry(hub, "list", "--output", "json")).output) == []


async def test_the_key_of_a_device_of_a_group_is_printed_on_its_own(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        assert (await skerry(hub, "create", "line", "--group")).exit_code == 0
        key = (await skerry(hub, "show", "line", "--device-key", "press-7")).output.strip()
        whole = await hub.service.enrollment_attestation("line", group=True)
        assert key == derived_key(whole["symmetricKey"]["primaryKey"], "press-7")
        await registered(hub, "press-7", key)
        shown = json.loads((await skerry(hub, "show", "line", "--group")).output)
        assert [one["deviceId"] for one in shown["registrations"]] == ["press-7"]


async def test_the_list_tells_who_was_refused_and_why(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        stranger = await token(hub, "stranger", base64.b64encode(b"k" * 32).decode())
        with pytest.raises(NotAuthenticated):
            async with provisioning(hub, "stranger", stranger):
                pass
        last = (await skerry(hub, "list")).output.splitlines()[-1]
        assert "stranger" in last
        assert "it is not enrolled" in last


async def test_mistakes_are_told(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        for words in (
            ["create", "a b"],
            ["create", "a", "--tags", "{"],
            ["create", "g", "--group", "--device-id", "x"],
        ):
            assert isinstance((await skerry(hub, *words)).exception, InvalidInput), words
        assert isinstance((await skerry(hub, "show", "nobody")).exception, NotFound)


async def test_devices_are_enrolled_by_certificate(tmp_path: Path) -> None:
    clock = SystemClock()
    line, own = Authority.create("line", clock), self_signed("cam-1", clock)
    line.save(tmp_path / "line")
    (tmp_path / "cam.pem").write_text(own.cert_chain_pem)
    async with running_hub(tmp_path / "hub") as hub:
        authority = str(tmp_path / "line" / "ca.pem")
        made = await skerry(hub, "create", "line", "--group", "--certificate-path", authority)
        assert made.exit_code == 0, made.output
        made = await skerry(hub, "create", "cam-1", "--certificate-path", str(tmp_path / "cam.pem"))
        assert made.exit_code == 0, made.output
        for name, certificate in (("cam-1", own), ("press-7", line.issue_client("press-7"))):
            async with provisioning(hub, name, certificate=certificate) as device:
                assert (await device.register())[1]["status"] == "assigned"
        await hub.service.put_certificate("line", line.certificate_pem, verified=True)
        assert (await skerry(hub, "create", "all", "--group", "--ca-name", "line")).exit_code == 0
        shown = json.loads((await skerry(hub, "show", "all", "--group")).output)["attestation"]
        assert shown["x509"]["caReferences"]["primary"] == "line"
        both = await skerry(hub, "create", "x", "--ca-name", "line", "--certificate-path", authority)
        assert isinstance(both.exception, InvalidInput)
        missing = await skerry(hub, "create", "x", "--certificate-path", str(tmp_path / "none"))
        assert isinstance(missing.exception, NotFound)
