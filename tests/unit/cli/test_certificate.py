"""``skerry certificate`` and X.509 devices of ``skerry device create``, against a running hub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from skerry.cli.main import skerry_command
from skerry.clock import SystemClock
from skerry.errors import InvalidInput, NotFound
from skerry.service.certificates import Authority
from tests.unit.hub.certified import client_with
from tests.unit.hub.running import RunningHub, connected, running_hub

CLOCK = SystemClock()


async def skerry(hub: RunningHub, *words: str) -> Result:
    """A command as a person gives it, in a thread, since it runs a loop of its own."""
    where = ["--hub-dir", str(hub.data_dir), "--hub-port", str(hub.addresses.https_port)]
    return await asyncio.to_thread(CliRunner().invoke, skerry_command, [*words, *where])


async def test_an_authority_is_proved_and_its_device_connects(tmp_path: Path) -> None:
    root = Authority.create("plant", CLOCK)
    root.save(tmp_path / "plant")
    proof = tmp_path / "proof.pem"
    async with running_hub(tmp_path / "hub") as hub:
        made = await skerry(hub, "certificate", "create", "plant", str(tmp_path / "plant" / "ca.pem"))
        assert "next: skerry certificate generate-verification-code plant" in made.output
        code = (await skerry(hub, "certificate", "generate-verification-code", "plant")).output.strip()
        proof.write_text(root.issue_client(code).cert_chain_pem)
        assert "plant is verified" in (await skerry(hub, "certificate", "verify", "plant", str(proof))).output
        made = await skerry(hub, "device", "create", "press-7", "--auth-method", "x509_ca")
        assert made.output == "press-7 created, enabled\n"
        async with connected(client_with(hub, "press-7", root.issue_client("press-7"))):
            pass
        (shown,) = json.loads((await skerry(hub, "certificate", "list", "--output", "json")).output)
        assert shown["properties"]["isVerified"] is True
        assert (await skerry(hub, "certificate", "list")).output.splitlines()[1].endswith("verified")
        assert (await skerry(hub, "certificate", "delete", "plant")).output == "plant removed\n"


async def test_a_device_is_registered_by_its_thumbprint(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub") as hub:
        prints = ["--primary-thumbprint", "A" * 40]
        await skerry(hub, "device", "create", "dev", "--auth-method", "x509_thumbprint", *prints)
        shown = (await hub.service.device("dev"))["authentication"]
        assert (shown["type"], shown["x509Thumbprint"]["primaryThumbprint"]) == ("selfSigned", "A" * 40)
        wrong = await skerry(hub, "device", "create", "dev-2", *prints)
        assert isinstance(wrong.exception, InvalidInput)
        missing = await skerry(hub, "certificate", "create", "x", str(tmp_path / "none.pem"))
        assert isinstance(missing.exception, NotFound)
