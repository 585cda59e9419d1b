"""Blobs on their way in, without HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.clock import ManualClock
from skerry.errors import NotFound, StorageFull, Throttled
from skerry.hub.containers.uploads import SWEEP_EVERY_S, UPLOAD_LIFE_S, Room, Uploads
from skerry.oci.digest import digest_of
from skerry.service.lifecycle import Supervisor
from skerry.store.blobs import Blobs


class SmallDisk(Room):
    """Has room for so many bytes."""

    def __init__(self, folder: Path, left: int) -> None:
        super().__init__(folder, free_bytes_min=0)
        self.left = left

    def check(self, coming: int = 0) -> None:
        if coming > self.left:
            raise StorageFull("full")
        self.left -= coming


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def uploads(folder: Path, clock: ManualClock, room: int = 1 << 30) -> Uploads:
    return Uploads(folder / "uploads", Blobs(folder / "blobs"), SmallDisk(folder, room), clock)


async def test_a_push_that_fills_the_disk_on_its_way_is_ended_and_what_came_is_gone(tmp_path: Path) -> None:
    under_test = uploads(tmp_path, ManualClock(), room=10)
    upload = under_test.begin()
    with pytest.raises(StorageFull):
        await under_test.append(upload, pieces(b"12345", b"67890", b"x"))
    assert list((tmp_path / "uploads").iterdir()) == []
    with pytest.raises(NotFound):
        under_test.size(upload)


async def test_two_clients_do_not_send_to_one_upload(tmp_path: Path) -> None:
    under_test = uploads(tmp_path, ManualClock())
    upload = under_test.begin()

    async def meanwhile() -> AsyncIterator[bytes]:
        yield b"one"
        with pytest.raises(Throttled):
            await under_test.append(upload, pieces(b"two"))
        yield b" more"

    assert await under_test.append(upload, meanwhile()) == 8
    assert await under_test.finish(upload, digest_of(b"one more")) == 8
    assert (tmp_path / "blobs" / digest_of(b"one more").hex).read_bytes() == b"one more"


async def test_what_nobody_goes_on_with_is_given_up_after_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    under_test = uploads(tmp_path, clock)
    old, young = under_test.begin(), ""
    async with Supervisor(clock) as supervisor:
        supervisor.start("sweep", under_test.keep_swept)
        await clock.advance(UPLOAD_LIFE_S / 2)
        young = under_test.begin()
        await clock.advance(UPLOAD_LIFE_S / 2 + 2 * SWEEP_EVERY_S)
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [young]
    with pytest.raises(NotFound):
        under_test.size(old)


async def test_uploads_are_found_again_after_a_restart(tmp_path: Path) -> None:
    upload = (before := uploads(tmp_path, ManualClock())).begin()
    await before.append(upload, pieces(b"first, "))
    after = uploads(tmp_path, ManualClock())
    assert after.size(upload) == 7
    await after.append(upload, pieces(b"second"), at=7)
    await after.finish(upload, digest_of(b"first, second"))
