"""Content-addressed files."""

import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.errors import Damaged, InvalidInput, NotFound, StorageFull, TooLarge
from skerry.store.blobs import Blobs
from skerry.store.faults import translate_os


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def test_content_is_found_by_its_digest(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    assert await blobs.digests() == []
    name = await blobs.put(b"model")
    assert name == digest(b"model")
    assert await blobs.put_stream(chunks(b"mo", b"", b"del")) == name
    assert await blobs.get(name) == b"model"
    assert (await blobs.verify(name)).read_bytes() == b"model"
    assert blobs.has(name)
    assert await blobs.digests() == [name]
    assert await blobs.delete(name)
    assert not await blobs.delete(name)
    assert not blobs.has(name)


@pytest.mark.parametrize("call", ["get", "verify"])
async def test_missing_and_damaged_blobs_are_told_apart(tmp_path: Path, call: str) -> None:
    blobs = Blobs(tmp_path)
    with pytest.raises(NotFound):
        await getattr(blobs, call)(digest(b"x"))
    name = await blobs.put(b"model")
    blobs.path(name).write_bytes(b"modem")
    with pytest.raises(Damaged, match=name):
        await getattr(blobs, call)(name)
    assert await blobs.put(b"model") == name
    assert await blobs.get(name) == b"model"


async def test_a_refused_or_broken_stream_leaves_nothing(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError("gone")

    with pytest.raises(TooLarge):
        await blobs.put_stream(chunks(b"12345", b"6"), bytes_max=5)
    with pytest.raises(Damaged):
        await blobs.put_stream(chunks(b"other"), expected=digest(b"wanted"))
    with pytest.raises(ConnectionError):
        await blobs.put_stream(broken())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "sha256:../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "A" * 64])
def test_only_digests_name_files(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput):
        Blobs(tmp_path).path(text)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_without_room_is_named_so(tmp_path: Path, code: int) -> None:
    error = translate_os(OSError(code, os.strerror(code)), tmp_path)
    assert isinstance(error, StorageFull)
    assert error.hint
