"""Images and artifacts to and from a real registry, ours: every byte counted, every cut survived."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from skerry.errors import Damaged, InvalidInput, NotAllowed, NotAuthenticated, NotFound, Unavailable
from skerry.oci.digest import Digest, digest_of
from skerry.oci.image import Image, assemble
from skerry.oci.layer import File
from skerry.oci.layout import blob_path, read_layout, write_layout
from skerry.oci.registry import pull as pulling
from skerry.oci.registry.credentials import Login
from skerry.oci.registry.pull import find, pull
from skerry.oci.registry.push import push
from skerry.oci.registry.session import Registry
from skerry.oci.registry.transfer import Moved, Watch, unwatched
from skerry.oci.unpack import unpack
from tests.unit.hub.containers.client import client
from tests.unit.hub.running import RunningHub, key_of
from tests.unit.oci.builders import RUN, stored
from tests.unit.oci.registry.broken_line import BrokenLine
from tests.unit.oci.registry.conftest import Connect


def layout_of(place: Path, *contents: bytes, architecture: str = "amd64") -> Image:
    """An image with one layer for each of ``contents``, as a layout at ``place``."""
    blobs = place.parent / "blobs"
    layers = [
        stored(blobs, [File(f"data/{number}", data)], f"layer {number}")
        for number, data in enumerate(contents)
    ]
    image = assemble(layers, RUN, architecture)

    def blob(digest: Digest) -> Path:
        return blobs / digest.hex

    write_layout(place, image, "test:1", blob)
    return image


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


async def pulled(
    registry: Registry, place: Path, reference: str = "1", watch: Watch = unwatched
) -> tuple[Image, int]:
    """The image that was pulled, and how many bytes that took."""
    _, tally = await pull(
        registry,
        "solar/cnn",
        reference,
        place / "layout",
        place / "kept",
        name="solar/cnn:1",
        architecture="amd64",
        watch=watch,
    )
    return read_layout(place / "layout"), tally.bytes_moved


async def test_an_image_goes_there_and_comes_back_the_same(connect: Connect, tmp_path: Path) -> None:
    image = layout_of(tmp_path / "image", b"base", b"model")
    seen: list[Moved] = []
    async with connect() as registry:
        done = await push(registry, "solar/cnn", "1", [tmp_path / "image"], watch=seen.append)
        assert (done.digest, done.tally.bytes_skipped) == (image.manifest_digest, 0)
        assert {moved.digest for moved in seen} >= {layer.descriptor.digest for layer in image.layers}
        back, _ = await pulled(registry, tmp_path / "back")
    assert back.manifest == image.manifest
    unpack(tmp_path / "back/layout", tmp_path / "root")
    assert (tmp_path / "root/data/1").read_bytes() == b"model"


async def test_a_second_push_after_a_change_moves_only_the_layer_that_changed(
    hub: RunningHub, connect: Connect, tmp_path: Path
) -> None:
    base = noise(300_000, 1)
    layout_of(tmp_path / "one", base, b"model one")
    second = layout_of(tmp_path / "two", base, b"model two")
    async with connect() as registry:
        first = await push(registry, "solar/cnn", "1", [tmp_path / "one"])
        assert first.tally.bytes_moved > 300_000
        before = stored_bytes(hub)
        done = await push(registry, "solar/cnn", "2", [tmp_path / "two"])
        changed = second.layers[1].descriptor.size + len(second.config) + len(second.manifest)
        assert (done.tally.bytes_moved, done.tally.blobs_skipped) == (changed, 1)
        assert stored_bytes(hub) - before == changed
        again = await push(registry, "solar/cnn", "2", [tmp_path / "two"])
        assert (again.tally.bytes_moved, again.tally.blobs_moved) == (0, 0)
        # Another repository: the registry finds the blobs by itself.
        other = await push(registry, "solar/other", "1", [tmp_path / "two"])
        assert other.tally.bytes_moved == len(second.manifest)
        _, first_pull = await pulled(registry, tmp_path / "back", "1")
        _, second_pull = await pulled(registry, tmp_path / "back", "2")
        assert (first_pull > 300_000, second_pull < 2_000) == (True, True)


def stored_bytes(hub: RunningHub) -> int:
    return sum(path.stat().st_size for path in (hub.data_dir / "containers/blobs").iterdir())


async def test_a_push_goes_on_after_every_cut(hub: RunningHub, connect: Connect, tmp_path: Path) -> None:
    image = layout_of(tmp_path / "image", noise(4_000_000, 2))
    line = BrokenLine(hub.addresses.https_port, [1_500_000, 900_000, 4_000, 700_000, 30_000])
    async with line.running(), connect(address=f"localhost:{line.port}") as registry:
        await push(registry, "solar/cnn", "1", [tmp_path / "image"])
        assert line.breaks == 5
    async with client(hub) as c:
        digest = image.layers[0].descriptor.digest
        answer = await c.ask("GET", f"/v2/solar/cnn/blobs/{digest}")
        assert digest_of(answer.content) == digest


async def test_a_pull_goes_on_after_every_cut_and_takes_no_byte_twice(
    hub: RunningHub, connect: Connect, tmp_path: Path
) -> None:
    image = layout_of(tmp_path / "image", noise(4_000_000, 3))
    async with connect() as registry:
        await push(registry, "solar/cnn", "1", [tmp_path / "image"])
    line = BrokenLine(hub.addresses.https_port, [1_000_000, 900_000, 30_000, 800_000])
    seen: list[int] = []

    def watch(moved: Moved) -> None:
        if moved.digest == image.layers[0].descriptor.digest:
            seen.append(moved.done)

    async with line.running(), connect(address=f"localhost:{line.port}") as registry:
        back, _ = await pulled(registry, tmp_path / "back", watch=watch)
    assert back.manifest == image.manifest
    assert line.breaks == 4
    assert seen == sorted(set(seen))  # forward only: nothing was fetched again


async def test_an_interrupted_pull_leaves_what_came_for_the_next(
    hub: RunningHub, connect: Connect, tmp_path: Path
) -> None:
    layer = layout_of(tmp_path / "image", noise(3_000_000, 4)).layers[0].descriptor
    async with connect() as registry:
        await push(registry, "solar/cnn", "1", [tmp_path / "image"])
        kept = tmp_path / "back/kept"
        kept.mkdir(parents=True)
        part = kept / f"{layer.digest.hex}.part"
        part.write_bytes(blob_path(tmp_path / "image", layer.digest).read_bytes()[:2_900_000])
        firsts: list[int] = []
        await pulled(
            registry,
            tmp_path / "back",
            watch=lambda moved: firsts.append(moved.done) if moved.digest == layer.digest else None,
        )
    assert firsts[0] > 2_900_000


async def test_rest_of_another_blob_is_thrown_away_and_fetched_again(
    connect: Connect, tmp_path: Path
) -> None:
    image = layout_of(tmp_path / "image", noise(100_000, 5))
    async with connect() as registry:
        await push(registry, "solar/cnn", "1", [tmp_path / "image"])
        kept = tmp_path / "back/kept"
        kept.mkdir(parents=True)
        (kept / f"{image.layers[0].descriptor.digest.hex}.part").write_bytes(b"x" * 50_000)
        back, _ = await pulled(registry, tmp_path / "back")
    assert back.manifest == image.manifest


async def test_a_registry_that_gives_other_bytes_is_refused(
    hub: RunningHub, connect: Connect, tmp_path: Path
) -> None:
    image = layout_of(tmp_path / "image", noise(100_000, 6))
    layer = image.layers[0].descriptor
    async with connect() as registry:
        await push(registry, "solar/cnn", "1", [tmp_path / "image"])
        stored_layer = hub.data_dir / "containers/blobs" / layer.digest.hex
        stored_layer.write_bytes(noise(layer.size, 7))
        with pytest.raises(Damaged, match=str(layer.digest)):
            await pulled(registry, tmp_path / "back")
        assert not (tmp_path / "back/layout").exists()
        (hub.data_dir / "containers/blobs" / image.manifest_digest.hex).write_bytes(b"{}")
        with pytest.raises(Unavailable, match="500"):
            await find(registry, "solar/cnn", "1")


async def test_images_of_several_platforms_become_one_index(connect: Connect, tmp_path: Path) -> None:
    amd = layout_of(tmp_path / "amd64", b"amd64")
    arm = layout_of(tmp_path / "arm64", b"arm64", architecture="arm64")
    async with connect() as registry:
        done = await push(registry, "solar/cnn", "1", [tmp_path / "amd64", tmp_path / "arm64"])
        for architecture, image in (("amd64", amd), ("arm64", arm)):
            found = await find(registry, "solar/cnn", "1", architecture)
            assert found.descriptor.digest == image.manifest_digest
        assert (await find(registry, "solar/cnn", done.digest, "arm64")).data == arm.manifest
        with pytest.raises(NotFound, match="linux/amd64, linux/arm64"):
            await find(registry, "solar/cnn", "1", "riscv64")


async def test_a_layout_that_is_not_whole_is_not_pushed(connect: Connect, tmp_path: Path) -> None:
    image = layout_of(tmp_path / "image", b"one", b"two")
    blob_path(tmp_path / "image", image.layers[1].descriptor.digest).unlink()
    async with connect() as registry:
        with pytest.raises(Damaged, match="missing"):
            await push(registry, "solar/cnn", "1", [tmp_path / "image"])
        with pytest.raises(NotFound):
            await find(registry, "solar/cnn", "1")
        with pytest.raises(InvalidInput):
            await push(registry, "solar/cnn", "1", [])


async def test_a_tampered_layer_is_refused_by_the_registry(connect: Connect, tmp_path: Path) -> None:
    image = layout_of(tmp_path / "image", b"one")
    path = blob_path(tmp_path / "image", image.layers[0].descriptor.digest)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + b"x")
    async with connect() as registry:
        with pytest.raises(InvalidInput, match="DIGEST_INVALID"):
            await push(registry, "solar/cnn", "1", [tmp_path / "image"])


async def test_who_may_not_is_told_so_and_no_secret_with_it(
    hub: RunningHub, connect: Connect, tmp_path: Path
) -> None:
    layout_of(tmp_path / "image", b"one")
    document = await hub.service.create_device("pi")
    async with connect() as registry:
        await push(registry, "solar/cnn", "1", [tmp_path / "image"])
    async with connect(login=Login("pi", key_of(document))) as registry:
        await pulled(registry, tmp_path / "back")
        with pytest.raises(NotAllowed, match="may not push"):
            await push(registry, "solar/cnn", "2", [tmp_path / "image"])
    for login in (None, Login("pi", "s3cret")):
        async with connect(login=login) as registry:
            with pytest.raises(NotAuthenticated) as refused:
                await pulled(registry, tmp_path / "again")
            assert "docker login localhost" in str(refused.value)
            assert "s3cret" not in str(refused.value)
    async with connect(tls=None) as registry:
        with pytest.raises(NotAuthenticated, match="certificate"):
            await find(registry, "solar/cnn", "1")
    async with connect(tls=None, insecure=True) as registry:
        assert (await find(registry, "solar/cnn", "1")).parts.blobs


async def test_what_is_not_there_is_not_found(connect: Connect) -> None:
    async with connect() as registry:
        with pytest.raises(NotFound, match="MANIFEST_UNKNOWN"):
            await find(registry, "solar/none", "1")


def test_what_a_cleaning_leaves(tmp_path: Path) -> None:
    kept = digest_of(b"kept")
    for name in (kept.hex, digest_of(b"gone").hex, f"{kept.hex}.part"):
        (tmp_path / name).write_bytes(b"")
    pulling.clean(tmp_path, [kept])
    assert [path.name for path in tmp_path.iterdir()] == [kept.hex]
    pulling.clean(tmp_path / "none", [])
