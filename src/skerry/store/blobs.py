"""Files kept under the digest of their content."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterable
from pathlib import Path
from typing import IO

from skerry.errors import Damaged, InvalidInput, NotFound, TooLarge
from skerry.store.faults import DAMAGED_HINT, translate_os

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
READ_BYTES = 1024 * 1024
UNFINISHED = ".part"


class Blobs:
    """A folder of files named by their sha256; what is there is whole, whatever crashed while writing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def put(self, data: bytes) -> str:
        """Store ``data`` durably; its digest ``sha256:…``. Raises StorageFull."""
        return await asyncio.to_thread(self._put, data)

    async def put_stream(
        self, chunks: AsyncIterable[bytes], *, expected: str | None = None, bytes_max: int | None = None
    ) -> str:
        """Store what the stream gives, never holding more than a chunk; its digest.

        Raises TooLarge over ``bytes_max``, Damaged when the content is not ``expected``, StorageFull.
        """
        file = await asyncio.to_thread(self._begin)
        try:
            digest, size = hashlib.sha256(), 0
            async for chunk in chunks:
                size += len(chunk)
                if bytes_max is not None and size > bytes_max:
                    raise TooLarge(f"the file is over {bytes_max} bytes", bytes_max=bytes_max)
                digest.update(chunk)
                await asyncio.to_thread(self._write, file, chunk)
            name = f"sha256:{digest.hexdigest()}"
            if expected is not None and name != expected:
                raise Damaged(f"the content is {name}, not {expected}", hint="fetch it again")
            await asyncio.to_thread(self._keep, file, name)
        finally:
            await asyncio.to_thread(_discard, file)
        return name

    async def adopt(self, path: Path, digest: str) -> None:
        """Take over a finished file of the same disk whose content the caller proved to be ``digest``."""
        await asyncio.to_thread(self._adopt, path, digest)

    async def get(self, digest: str) -> bytes:
        """The content, checked against its digest. Raises NotFound, Damaged."""
        return await asyncio.to_thread(self._get, digest)

    async def verify(self, digest: str) -> Path:
        """The file's path after reading it through. Raises NotFound, Damaged."""
        return await asyncio.to_thread(self._verify, digest)

    def path(self, digest: str) -> Path:
        """Where the blob lies, or would lie. Raises InvalidInput for anything but ``sha256:<64 hex>``."""
        if not DIGEST.fullmatch(digest):
            raise InvalidInput(f"not a digest: {digest}", hint="sha256: and 64 lower-case hex digits")
        return self.folder / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        """Whether the blob is there (not whether it still reads back)."""
        return self.path(digest).is_file()

    async def delete(self, digest: str) -> bool:
        """Whether there was one to delete."""
        return await asyncio.to_thread(self._delete, digest)

    async def digests(self) -> list[str]:
        """All blobs, sorted."""
        return await asyncio.to_thread(self._digests)

    def _put(self, data: bytes) -> str:
        name = f"sha256:{hashlib.sha256(data).hexdigest()}"
        file = self._begin()
        try:
            self._write(file, data)
            self._keep(file, name)
        finally:
            _discard(file)
        return name

    def _begin(self) -> IO[bytes]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return tempfile.NamedTemporaryFile(dir=self.folder, suffix=UNFINISHED, delete=False, buffering=0)
        except OSError as error:
            raise translate_os(error, self.folder) from error

    def _write(self, file: IO[bytes], data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            raise translate_os(error, self.folder) from error

    def _keep(self, file: IO[bytes], digest: str) -> None:
        """Make it durable, then visible, then make the name durable."""
        try:
            os.fsync(file.fileno())
            os.replace(file.name, self.path(digest))
            _sync_folder(self.folder)
        except OSError as error:
            raise translate_os(error, self.folder) from error

    def _adopt(self, path: Path, digest: str) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(path, self.path(digest))
            _sync_folder(self.folder)
        except OSError as error:
            raise translate_os(error, self.folder) from error

    def _get(self, digest: str) -> bytes:
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise _missing(digest) from error
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise _damaged(path, digest)
        return data

    def _verify(self, digest: str) -> Path:
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise _missing(digest) from error
        if f"sha256:{found}" != digest:
            raise _damaged(path, digest)
        return path

    def _delete(self, digest: str) -> bool:
        try:
            self.path(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def _digests(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        names = (f"sha256:{path.name}" for path in self.folder.iterdir())
        return sorted(name for name in names if DIGEST.fullmatch(name))


def _discard(file: IO[bytes]) -> None:
    file.close()
    Path(file.name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _missing(digest: str) -> NotFound:
    return NotFound(f"no blob {digest}", digest=digest)


def _damaged(path: Path, digest: str) -> Damaged:
    return Damaged(f"{path} is not {digest}", hint=DAMAGED_HINT, path=str(path), digest=digest)
