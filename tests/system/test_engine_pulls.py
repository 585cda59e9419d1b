"""Every engine pulls from the hub's registry with the device's identity, and runs what it pulled."""

from __future__ import annotations

import asyncio
import os
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.clock import SystemClock
from skerry.contract.manifest import RegistryCredentials
from skerry.edge.engine.choose import choose_engine
from skerry.edge.engine.docker import DockerEngine
from skerry.edge.engine.process import ProcessEngine
from skerry.edge.engine.registries import OwnRegistry, Registries
from skerry.errors import NotAuthenticated, NotFound, Unavailable
from skerry.oci.layout import read_layout
from skerry.oci.registry.credentials import Login
from skerry.oci.registry.push import push
from skerry.oci.registry.session import Registry
from skerry.service.certificates import self_signed
from skerry.service.tls import client_context, load_certificate
from tests.support.engines import SCRIPT, Open, lines, spec, until, until_logged
from tests.support.shell_image import write_shell_image
from tests.unit.hub.certified import self_signed_by, thumbprint
from tests.unit.hub.containers.client import policy_login
from tests.unit.hub.running import RunningHub, key_of, running_hub
from tests.unit.oci.registry.broken_line import BrokenLine

# A base that no other image in a shared Docker Engine has: its layers must come from the registry.
FILLER = os.urandom(200_000)

pytestmark = pytest.mark.system


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=0) as running:
        yield running


@pytest.fixture
async def line(hub: RunningHub) -> AsyncIterator[BrokenLine]:
    """The way to the registry, which counts what goes over it."""
    async with BrokenLine(hub.addresses.https_port, []).running() as line:
        yield line


@pytest.fixture
async def device(hub: RunningHub, line: BrokenLine) -> RegistryCredentials:
    """What the device logs in with."""
    document = await hub.service.create_device("pi", edge=True)
    return RegistryCredentials(f"127.0.0.1:{line.port}", "pi", hub.device_token(document))


@pytest.fixture
def registries(hub: RunningHub, device: RegistryCredentials) -> Registries:
    own = OwnRegistry(device.address, "", lambda: client_context(hub.ca_pem), lambda: device)
    return Registries(clock=SystemClock(), jitter=lambda: 0.0, own=own)


async def pushed(
    hub: RunningHub, place: Path, tag: str, script: str, filler: bytes = FILLER, host: str = ""
) -> str:
    """An image of the shell that runs ``script``, in the hub's registry; its digest."""
    layout = write_shell_image(place, f"pushed:{tag}", script=script, filler=filler)
    async with Registry(
        host or f"localhost:{hub.addresses.https_port}",
        clock=SystemClock(),
        jitter=lambda: 0.0,
        login=Login(*policy_login(hub, "iothubowner")),
        tls=client_context(hub.ca_pem),
    ) as registry:
        done = await push(registry, "solar/shell", tag, [layout])
    assert done.digest == read_layout(layout).manifest_digest
    return done.digest


async def test_an_image_is_pulled_by_digest_and_runs(
    open_engine: Open, hub: RunningHub, line: BrokenLine, tmp_path: Path
) -> None:
    digest = await pushed(hub, tmp_path / "pushed", "1", SCRIPT)
    image = f"127.0.0.1:{line.port}/solar/shell@{digest}"
    engine = await open_engine()
    assert not await engine.has_image(image)
    try:
        await engine.pull(image)  # the device's own login: the deployment gives none
        assert await engine.has_image(image)
        await engine.create(spec(image=image))
        await engine.start("shell")
        await until_logged(engine, b"hello device")
        await engine.stop("shell", 5)
        assert (await until(engine, lambda m: m.status == "exited")).image == image
        # A restarted agent finds it without asking anybody.
        before = line.bytes
        again = await open_engine()
        assert await again.has_image(image)
        await again.start("shell")
        async with asyncio.timeout(15):
            while (await lines(again)).count(b"hello device") < 2:
                await asyncio.sleep(0.05)
        assert line.bytes == before
    finally:
        await engine.remove("shell")
        await engine.remove_image(image)
    assert not await engine.has_image(image)


async def test_the_next_version_brings_only_what_changed(
    open_engine: Open, hub: RunningHub, line: BrokenLine, tmp_path: Path
) -> None:
    filler = os.urandom(200_000)
    first, second = [
        f"127.0.0.1:{line.port}/solar/shell@{await pushed(hub, tmp_path / tag, tag, script, filler)}"
        for tag, script in (("1", SCRIPT), ("2", SCRIPT.replace("hello", "good day")))
    ]
    engine = await open_engine()
    try:
        await engine.pull(first)
        whole, before = line.bytes, line.bytes
        await engine.pull(second)
        changed = line.bytes - before
        if engine.name != "podman":  # it does not believe the registry, so we pull for it: all of it
            assert changed < whole / 20
        await engine.create(spec(image=second))
        await engine.start("shell")
        await until_logged(engine, b"good day device")
    finally:
        await engine.remove("shell")
        for image in (first, second):
            await engine.remove_image(image)


async def test_logins_of_the_deployment_are_used_and_wrong_ones_said(
    open_engine: Open, hub: RunningHub, line: BrokenLine, tmp_path: Path
) -> None:
    await pushed(hub, tmp_path / "pushed", "1", SCRIPT)
    other = await hub.service.create_device("other", edge=True)
    image = f"127.0.0.1:{line.port}/solar/shell:1"
    engine = await open_engine()
    try:
        with pytest.raises(NotAuthenticated) as refused:
            await engine.pull(image, RegistryCredentials(f"127.0.0.1:{line.port}", "other", "s3cret"))
        assert "s3cret" not in str(refused.value)
        with pytest.raises(NotFound):
            await engine.pull(f"127.0.0.1:{line.port}/solar/none:1")
        await engine.pull(image, RegistryCredentials(f"127.0.0.1:{line.port}", "other", key_of(other)))
        assert await engine.has_image(image)
    finally:
        await engine.remove_image(image)


async def test_processes_keep_no_layers_and_go_on_after_cuts(
    hub: RunningHub, registries: Registries, device: RegistryCredentials, tmp_path: Path
) -> None:
    await pushed(hub, tmp_path / "pushed", "1", SCRIPT)
    cut = BrokenLine(hub.addresses.https_port, [400_000, 300_000, 9_000])
    async with cut.running():
        address = f"127.0.0.1:{cut.port}"
        own = OwnRegistry(address, "", lambda: client_context(hub.ca_pem), lambda: device)
        engine = ProcessEngine(
            state_dir=tmp_path / "state",
            images_dir=tmp_path / "images",
            bwrap=None,
            clock=SystemClock(),
            registries=Registries(clock=SystemClock(), jitter=lambda: 0.0, own=own),
        )
        await engine.pull(f"{address}/solar/shell:1")
        assert cut.breaks == 3
        assert await engine.has_image(f"{address}/solar/shell:1")
        await engine.close()
    kept = sum(path.stat().st_size for path in (tmp_path / "state/pulled").rglob("*") if path.is_file())
    assert kept < 10_000  # manifest and config; the layers are unpacked


@pytest.mark.parametrize("kind", ["docker", "process"])
async def test_a_device_without_a_key_pulls_with_its_certificate(
    kind: str, hub: RunningHub, tmp_path: Path
) -> None:
    own = self_signed("cert", SystemClock())
    await hub.service.create_device("cert", edge=True, authentication=self_signed_by(thumbprint(own)))
    address = f"localhost:{hub.addresses.https_port}"
    image = f"{address}/solar/shell@{await pushed(hub, tmp_path / 'pushed', '1', SCRIPT)}"

    def tls() -> ssl.SSLContext:
        context = client_context(hub.ca_pem)
        load_certificate(context, own.cert_chain_pem, own.key_pem)
        return context

    mine = OwnRegistry(address, "", tls, lambda: RegistryCredentials(address, "cert", ""))
    engine = await choose_engine(
        kind,
        images_dir=tmp_path / "images",
        state_dir=tmp_path / "state",
        device=f"test-{uuid.uuid4().hex[:8]}",
        registries=Registries(clock=SystemClock(), jitter=lambda: 0.0, own=mine),
    )
    try:
        await engine.pull(image)
        assert await engine.has_image(image)
    finally:
        await engine.remove_image(image)
        await engine.close()


async def test_docker_gets_an_image_of_a_registry_it_does_not_believe(tmp_path: Path) -> None:
    """Beyond loopback Docker wants a certificate of an authority it knows; the device knows its hub's."""
    engine = await DockerEngine.connect(device="x", images_dir=tmp_path / "images")
    address = engine.gateway_address()  # this machine, but not by loopback
    await engine.close()
    async with running_hub(
        tmp_path / "hub", containers_free_bytes_min=0, bind=address, host_name=address
    ) as hub:
        document = await hub.service.create_device("pi", edge=True)
        host = f"{address}:{hub.addresses.https_port}"
        image = f"{host}/solar/shell@{await pushed(hub, tmp_path / 'pushed', '1', SCRIPT, host=host)}"
        login = RegistryCredentials(host, "pi", key_of(document))
        mine = OwnRegistry(host, "", lambda: client_context(hub.ca_pem), lambda: login)
        for trusting in (None, Registries(clock=SystemClock(), jitter=lambda: 0.0, own=mine)):
            engine = await DockerEngine.connect(
                device="x", images_dir=tmp_path / "images", registries=trusting, pulled=tmp_path / "pulled"
            )
            try:
                if trusting is None:
                    with pytest.raises(Unavailable, match="x509"):
                        await engine.pull(image, login)
                else:
                    await engine.pull(image)
                    assert await engine.has_image(image)
            finally:
                await engine.remove_image(image)
                await engine.close()
