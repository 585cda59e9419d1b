"""Files that devices upload: who may write which blob for how long, and what is kept (contract.md §2.9)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from skerry.clock import Clock, iso
from skerry.contract.file_upload import BlobName, Outcome, credentials, notice
from skerry.contract.names import DeviceId, Identity
from skerry.errors import (
    AlreadyExists,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    SkerryError,
    StorageFull,
)
from skerry.hub import command_rows, identity_rows
from skerry.hub import upload_rows as rows
from skerry.hub.feedback import Feedback
from skerry.hub.fresh import fresh_etag, fresh_key, fresh_lock
from skerry.hub.journal import Journal
from skerry.hub.upload_rows import Blob, Upload
from skerry.store.blobs import READ_BYTES, UNFINISHED, Blobs
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

# Azure's bounds: uploads of a device under way, and how long the right to one lasts.
OPEN_MAX = 10
TTL = timedelta(hours=1)
# One file; what a device of this kind sends is images, logs and support bundles.
BLOB_BYTES_MAX = 512 * 1024 * 1024
# Parts of one file before they are committed: 512 MiB in the smallest parts that clients use.
BLOCKS_MAX = 2_048
SWEEP_EVERY_S = 30.0
# Files unlinked between two turns of the loop.
SWEEP_FILES = 64
LIST_MAX = 1_000


class Uploads:
    """The uploads of one hub and its blob store. Durable when a verb returns.

    Content is kept by digest, so the same file twice takes its room once.
    """

    def __init__(
        self, database: Storage, folder: Path, journal: Journal, clock: Clock, store_bytes_max: int
    ) -> None:
        self._database = database
        self._journal = journal
        self._blobs = Blobs(folder)
        self._clock = clock
        self._bytes_max = store_bytes_max
        self._writing = 0
        self.notices = Feedback(database, clock, "file", 1)

    async def begin(self, blob: BlobName, host: str) -> dict[str, str]:
        """The credentials for one blob, which the device uploads to ``host`` by itself.

        Raises NotFound (device), NotAllowed (ten under way, or the store is full).
        """
        signature, correlation = fresh_key(), fresh_lock()
        now = self._clock.now()
        expires = iso(now + TTL)

        def work(connection: Transaction) -> None:
            rows.drop_expired(connection, iso(now))
            identity_rows.load(connection, Identity(blob.device))
            if rows.open_count(connection, blob.device) >= OPEN_MAX:
                raise NotAllowed(
                    f"{OPEN_MAX} uploads of {blob.device} are under way",
                    hint="notify those that are over, or wait an hour",
                    code_name="DeviceMaximumActiveFileUploadLimitExceeded",
                )
            if rows.used_bytes(connection) >= self._bytes_max:
                raise NotAllowed(
                    f"uploaded files take up {self._bytes_max} bytes",
                    hint="delete some at the hub: skerry uploads delete",
                    code_name="IotHubQuotaExceeded",
                )
            rows.insert(connection, Upload(correlation, blob, host, _digest(signature), expires))

        await self._database.write(work)
        log.info("%s may upload %r", blob.device, blob.name)
        return credentials(blob, correlation, host, expires, signature)

    async def finish(self, device: DeviceId, outcome: Outcome) -> None:
        """The device says what became of its upload: the right to it ends, services hear of a success.

        Raises NotFound (no such upload), InvalidInput (a success without a file).
        """
        now = self._clock.now()

        def work(connection: Transaction) -> None:
            upload = rows.load(connection, device, outcome.correlation)
            blob = rows.find_blob(connection, str(upload.blob))
            written = blob is not None and blob.correlation == upload.correlation
            if outcome.success and (blob is None or not written):
                raise InvalidInput(
                    "nothing was uploaded",
                    hint="PUT the file first",
                    code_name="InvalidBlobState",
                    field="blobName",
                )
            rows.end(connection, upload.correlation)
            if outcome.success and blob is not None:
                said = notice(upload.blob, upload.host, blob.modified, blob.size, iso(now))
                command_rows.insert_feedback(connection, "file", said, now)

        await self._database.write(work)
        self.notices.arrived()
        log.info("upload of %s %s", device, "done" if outcome.success else f"failed: {outcome.description!r}")

    def authorize(self, blob: BlobName, signature: str) -> Upload:
        """The upload under way that this token is of; raises NotAuthenticated."""
        now = iso(self._clock.now())
        for upload in self._database.read_now(lambda connection: rows.by_blob(connection, blob)):
            if hmac.compare_digest(upload.signature, _digest(signature)) and upload.expires > now:
                return upload
        raise NotAuthenticated("the token is not of this blob, or has ended", reason="signature")

    async def write(
        self, upload: Upload, content: AsyncIterable[bytes], *, content_type: str, md5: str | None, new: bool
    ) -> Blob:
        """Write the blob; ``md5`` (base64) has to be its, ``new``: only if there is none.

        Raises AlreadyExists, InvalidInput (another md5), TooLarge, StorageFull, NotFound (over meanwhile).
        """
        if new and self.find(upload.blob) is not None:
            raise AlreadyExists("the blob exists already", code_name="BlobAlreadyExists")
        with self._keeping():
            digest, size, found = await self._store(content, md5)
            blob = Blob(
                str(upload.blob),
                upload.correlation,
                digest,
                size,
                found,
                content_type,
                fresh_etag(),
                iso(self._clock.now()),
            )
            await self._database.write(lambda connection: rows.save_blob(connection, blob))
        log.info("%s uploaded %r, %d bytes", upload.blob.device, upload.blob.name, size)
        return blob

    async def write_block(
        self, upload: Upload, block: str, content: AsyncIterable[bytes], *, md5: str | None
    ) -> str:
        """Stage a part of the blob; its md5. Raises as ``write``, NotAllowed (too many)."""
        with self._keeping():
            digest, size, found = await self._store(content, md5)

            def work(connection: Transaction) -> None:
                if rows.block_count(connection, upload.correlation) >= BLOCKS_MAX:
                    raise NotAllowed(f"{BLOCKS_MAX} blocks are staged", code_name="BlockCountExceedsLimit")
                rows.load(connection, upload.blob.device, upload.correlation)
                rows.save_block(connection, upload.correlation, block, digest, size)

            await self._database.write(work)
        return found

    async def commit(
        self, upload: Upload, blocks: Sequence[str], *, content_type: str, new: bool = False
    ) -> Blob:
        """Make the blob of staged parts; raises InvalidInput (one is missing), and as ``write``."""
        digests = await self._database.read(lambda c: rows.blocks(c, upload.correlation, blocks))
        return await self.write(upload, self._joined(digests), content_type=content_type, md5=None, new=new)

    def find(self, blob: BlobName) -> Blob | None:
        """What is known of a blob that is there."""
        return self._database.read_now(lambda connection: rows.find_blob(connection, str(blob)))

    async def open(self, blob: BlobName) -> tuple[Blob, Path]:
        """A blob with the file its content is in; raises NotFound."""
        known = self.find(blob)
        if known is None:
            raise NotFound(f"there is no blob {blob}", code_name="BlobNotFound")
        return known, self._blobs.path(known.digest)

    async def list(self, device: str | None = None, after: str = "") -> list[dict[str, Any]]:
        """Blobs by name, at most a thousand after ``after``."""
        found = await self._database.read(lambda c: rows.blobs(c, device, after, LIST_MAX))
        return [
            {
                "blobName": blob.name,
                "bytes": blob.size,
                "contentType": blob.content_type,
                "contentMd5": blob.md5,
                "lastUpdatedTime": blob.modified,
            }
            for blob in found
        ]

    async def delete(self, blob: BlobName) -> None:
        """Remove a blob; raises NotFound."""

        def work(connection: Transaction) -> None:
            if not rows.delete_blob(connection, str(blob)):
                raise NotFound(f"there is no blob {blob}", code_name="BlobNotFound")
            self._journal.acted(connection, "upload.delete", str(blob))

        await self._database.write(work)
        log.info("deleted the uploaded file %s", blob)

    def prepare(self) -> None:
        """Before anything is served: remove what a crash left half written."""
        for path in self._blobs.folder.glob(f"*{UNFINISHED}"):
            path.unlink(missing_ok=True)

    async def sweep(self) -> int:
        """End uploads past their time and remove content nobody refers to; how many files went."""
        now = iso(self._clock.now())
        await self._database.write(lambda connection: rows.drop_expired(connection, now))
        referred = await self._database.read(rows.digests)
        stored = [digest for digest in await self._blobs.digests() if digest not in referred]
        removed = 0
        for digest in stored[:SWEEP_FILES]:
            # Looked at again without a wait before the file goes: a write may just have made it its own.
            if self._writing == 0 and not self._refers(digest):
                self._blobs.path(digest).unlink(missing_ok=True)
                removed += 1
        return removed

    def _refers(self, digest: str) -> bool:
        return self._database.read_now(lambda connection: rows.refers(connection, digest))

    async def keep_swept(self) -> None:
        """Sweep now and every half minute, for ever."""
        while True:
            try:
                await self.sweep()
            except SkerryError as failed:
                log.error("uploads could not be swept: %s", failed)
            await self._clock.sleep(SWEEP_EVERY_S)

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        """While this lasts no content is removed: what was just written is not referred to yet."""
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1

    async def _store(self, content: AsyncIterable[bytes], md5: str | None) -> tuple[str, int, str]:
        used = await self._database.read(rows.used_bytes)
        if used >= self._bytes_max:
            raise StorageFull("the store for uploaded files is full", hint="delete some at the hub")
        measure = _Measure(content)
        bound = min(BLOB_BYTES_MAX, self._bytes_max - used)
        digest = await self._blobs.put_stream(measure, bytes_max=bound)
        if md5 is not None and md5 != measure.md5:
            raise InvalidInput(
                "Content-MD5 is not that of the content", code_name="Md5Mismatch", field="Content-MD5"
            )
        return digest, measure.size, measure.md5

    async def _joined(self, digests: Sequence[str]) -> AsyncIterator[bytes]:
        for digest in digests:
            path = self._blobs.path(digest)
            size = (await asyncio.to_thread(path.stat)).st_size
            for start in range(0, size, READ_BYTES):
                yield await asyncio.to_thread(_slice, path, start)


class _Measure:
    """Passes content on and knows its size and md5, which Azure's clients check it by."""

    def __init__(self, content: AsyncIterable[bytes]) -> None:
        self._content = content
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._content:
            self._md5.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def md5(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()


def _slice(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(READ_BYTES)


def _digest(signature: str) -> str:
    return hashlib.sha256(signature.encode("utf-8", "surrogatepass")).hexdigest()
