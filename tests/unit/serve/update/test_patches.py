"""An update that comes as a patch: completed from what the device has, checked like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.errors import NotFound
from skerry.model.diff import diff
from skerry.package.manifest import Package
from skerry.serve.update.wish import Wish
from tests.unit.serve.support import make_package
from tests.unit.serve.update.packages import sharp_package
from tests.unit.serve.update.test_updates import module
from tests.unit.serve.update.web import File, Web, web_server


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


def patch_between(old: Path, new: Path) -> bytes:
    return diff(Package.open(old), Package.open(new)).patch


async def test_a_patch_is_completed_from_the_images_own_and_then_from_the_shelf(
    tmp_path: Path, web: Web
) -> None:
    make_package(tmp_path / "own")
    second = sharp_package(tmp_path / "second", 4.0)
    third = sharp_package(tmp_path / "third", 3.0)
    web.files["/2"] = File(patch_between(tmp_path / "own", tmp_path / "second"))
    web.files["/3"] = File(patch_between(tmp_path / "second", tmp_path / "third"))
    async with module(tmp_path) as running:
        await running.updates.activate(Wish(package=second, url=web.url("/2")))
        assert running.serves == second
        await running.updates.activate(Wish(package=third, url=web.url("/3")))
        assert running.serves == third
    async with module(tmp_path) as again:
        assert again.serves == third


async def test_a_patch_for_what_is_not_here_is_refused_and_nothing_changes(tmp_path: Path, web: Web) -> None:
    make_package(tmp_path / "own")
    sharp_package(tmp_path / "second", 4.0)
    third = sharp_package(tmp_path / "third", 3.0)
    web.files["/3"] = File(patch_between(tmp_path / "second", tmp_path / "third"))
    async with module(tmp_path) as running:
        before = running.serves
        with pytest.raises(NotFound, match="which is not on this device"):
            await running.updates.activate(Wish(package=third, url=web.url("/3")))
        assert running.serves == before
        assert not list((tmp_path / "state").rglob("*.unpacked"))
