"""Blobs on their way in: files that grow until their digest is proved, also across a restart of the hub."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from skerry.clock import Clock
from skerry.errors import PreconditionFailed, SkerryError, StorageFull, Throttled, TooLarge
from skerry.hub.containers.refusals import digest_wrong, upload_unknown
from skerry.oci.digest import Digest
from skerry.store.blobs import Blobs
from skerry.store.faults import translate_os

ID = re.compile(r"[0-9a-f]{32}")
# A push sends a handful of layers at once; this serves a dozen of them side by side.
UPLOADS_MAX = 64
# The largest layer we know of (GPU libraries) is about 4 GB.
BLOB_BYTES_MAX = 8 << 30
# An upload that nobody went on with for a day is given up.
UPLOAD_LIFE_S = 86_400.0
SWEEP_EVERY_S = 3600.0


class Room:
    """The bounds on what the registry may take: its own bytes, and what has to stay free on the disk."""

    def __init__(self, folder: Path, *, free_bytes_min: int) -> None:
        self._folder = folder
        self._free_bytes_min = free_bytes_min

    def check(self, coming: int = 0) -> None:
        """StorageFull, with the numbers, when ``coming`` more bytes would leave too little."""
        free = shutil.disk_usage(self._folder).free
        if free - coming < self._free_bytes_min:
            raise StorageFull(
                f"no room for {coming} more bytes: {free} are free, {self._free_bytes_min} stay free",
                hint="free disk space at the hub, or collect garbage: skerry hub registry gc",
            )


class _Upload:
    """One of them; the hash runs along, and is made anew from the file after a restart."""

    def __init__(self, path: Path, touched: float) -> None:
        self.path = path
        self.touched = touched
        self.size = path.stat().st_size
        self.hash = hashlib.sha256()
        self.hashed = 0
        self.busy = asyncio.Lock()

    def append(self, chunk: bytes) -> None:
        try:
            with self.path.open("ab", buffering=0) as file:
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
        except OSError as error:
            # What a full disk took is cut off again: the client's next try begins where it was told.
            with self.path.open("r+b") as file:
                file.truncate(self.size)
            raise translate_os(error, self.path) from error
        if self.hashed == self.size:
            self.hash.update(chunk)
            self.hashed += len(chunk)
        self.size += len(chunk)

    def digest(self) -> str:
        with self.path.open("rb") as file:
            file.seek(self.hashed)
            while chunk := file.read(1 << 20):
                self.hash.update(chunk)
                self.hashed += len(chunk)
        return f"sha256:{self.hash.hexdigest()}"


class Uploads:
    """Begun, continued, finished or given up; what was received stays when a client goes away."""

    def __init__(self, folder: Path, blobs: Blobs, room: Room, clock: Clock) -> None:
        self._folder = folder
        self._blobs = blobs
        self._room = room
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True)
        now = clock.monotonic()
        self._open = {path.name: _Upload(path, now) for path in folder.iterdir() if ID.fullmatch(path.name)}

    def begin(self) -> str:
        """The id of a new upload. Throttled, StorageFull."""
        if len(self._open) >= UPLOADS_MAX:
            raise Throttled(f"{UPLOADS_MAX} uploads are under way", hint="try again in a while")
        self._room.check()
        upload = uuid.uuid4().hex
        path = self._folder / upload
        path.touch(0o600)
        self._open[upload] = _Upload(path, self._clock.monotonic())
        return upload

    def size(self, upload: str) -> int:
        """How many bytes are here. NotFound."""
        return self._of(upload).size

    async def append(
        self, upload: str, chunks: AsyncIterator[bytes], at: int | None = None, announced: int = 0
    ) -> int:
        """Take more bytes; the new size. They go to the end, which ``at`` has to be where it is given.

        PreconditionFailed when it is not (the client asks where to go on), TooLarge, StorageFull, Throttled
        when two clients send to one upload.
        """
        found = self._of(upload)
        if found.busy.locked():
            raise Throttled("this upload is being sent already", hint="ask for its state in a while")
        async with found.busy:
            if at is not None and at != found.size:
                raise PreconditionFailed(f"the upload goes on at {found.size}, not {at}", size=found.size)
            self._room.check(announced)
            async for chunk in chunks:
                # Docker does not announce how much it sends.
                self._check_room(upload, len(chunk))
                if found.size + len(chunk) > BLOB_BYTES_MAX:
                    raise TooLarge(f"the blob is over {BLOB_BYTES_MAX} bytes", bytes_max=BLOB_BYTES_MAX)
                await asyncio.to_thread(found.append, chunk)
            found.touched = self._clock.monotonic()
            return found.size

    async def finish(self, upload: str, digest: Digest) -> int:
        """Make it the blob ``digest``; its size. InvalidInput when its content is another: it is lost."""
        found = self._of(upload)
        async with found.busy:
            actual = await asyncio.to_thread(found.digest)
            if actual != digest:
                self._drop(upload)
                raise digest_wrong(digest, actual)
            await self._blobs.adopt(found.path, digest)
            del self._open[upload]
            return found.size

    def _check_room(self, upload: str, coming: int) -> None:
        try:
            self._room.check(coming)
        except StorageFull:
            # What came would keep the disk full for whoever else needs it.
            self._drop(upload)
            raise

    def cancel(self, upload: str) -> None:
        """Forget it with what was received. NotFound."""
        self._of(upload)
        self._drop(upload)

    async def keep_swept(self) -> None:
        """Give up what nobody goes on with; never returns."""
        while True:
            now = self._clock.monotonic()
            for upload, found in list(self._open.items()):
                if not found.busy.locked() and now - found.touched > UPLOAD_LIFE_S:
                    self._drop(upload)
            await self._clock.sleep(SWEEP_EVERY_S)

    def _of(self, upload: str) -> _Upload:
        found = self._open.get(upload)
        if found is None:
            raise upload_unknown(upload)
        return found

    def _drop(self, upload: str) -> None:
        self._open.pop(upload).path.unlink(missing_ok=True)


def size_of(error: SkerryError) -> int | None:
    """Where an upload goes on, out of the error that refused a wrong place."""
    found = error.fields.get("size")
    return found if isinstance(found, int) else None
