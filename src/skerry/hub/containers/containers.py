"""The registry's verbs: push, pull, list, delete, collect; what the HTTP front and the hub call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from skerry.clock import Clock
from skerry.errors import Damaged, InvalidInput, TooLarge
from skerry.hub.containers.catalog import Catalog, Manifest
from skerry.hub.containers.refusals import blob_unknown, digest_wrong
from skerry.hub.containers.schema import CONTAINERS_MIGRATIONS
from skerry.hub.containers.uploads import Room, Uploads
from skerry.oci.digest import Digest, digest_of
from skerry.oci.parts import parts_of
from skerry.oci.reference import REPOSITORY, TAG
from skerry.oci.validate import DOCUMENT_BYTES_MAX
from skerry.store.blobs import Blobs
from skerry.store.database import Database

log = logging.getLogger(__name__)

FOLDER = "containers"
# distribution/reference NameTotalLengthMax, less a host name of usual length.
NAME_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Containers:
    """One hub's repositories."""

    catalog: Catalog
    blobs: Blobs
    uploads: Uploads
    room: Room
    database: Database
    # When a blob was last said to be here (monotonic): whoever was told may count on it for a while.
    told: dict[str, float]
    clock: Clock

    @classmethod
    @asynccontextmanager
    async def open(cls, data_dir: Path, free_bytes_min: int, clock: Clock) -> AsyncIterator[Containers]:
        """The registry below a hub's data folder. Raises Damaged, StorageFull, Unavailable."""
        folder = data_dir / FOLDER
        database = await Database.open(folder / "catalog.db", CONTAINERS_MIGRATIONS)
        try:
            blobs, room = Blobs(folder / "blobs"), Room(folder, free_bytes_min=free_bytes_min)
            uploads = Uploads(folder / "uploads", blobs, room, clock)
            yield cls(Catalog(database, clock), blobs, uploads, room, database, {}, clock)
        finally:
            await database.close()

    def blob(self, repository: str, digest: Digest) -> tuple[Path, int]:
        """Where a blob lies, and its size. NotFound."""
        size = self.catalog.blob_size(repository, digest)
        if size is None or not self.blobs.has(digest):
            raise blob_unknown(digest, repository)
        self.told[digest] = self.clock.monotonic()
        return self.blobs.path(digest), size

    async def finish(self, repository: str, upload: str, digest: Digest) -> None:
        """Make an upload a blob of the repository. NotFound, InvalidInput, StorageFull."""
        self.told[digest] = self.clock.monotonic()
        size = await self.uploads.finish(upload, digest)
        await self.catalog.link(repository, digest, size)

    async def mount(self, repository: str, digest: Digest, source: str) -> bool:
        """Let the repository have a blob of another one; False when that one has none such."""
        size = self.catalog.blob_size(source, digest)
        if size is None or not self.blobs.has(digest):
            return False
        self.told[digest] = self.clock.monotonic()
        await self.catalog.link(repository, digest, size)
        return True

    async def put_manifest(
        self, repository: str, reference: str, data: bytes, media_type: str | None, by: str
    ) -> tuple[Digest, Digest | None]:
        """Store a manifest under a tag or its digest; its digest, and that of what it is attached to.

        InvalidInput when it is malformed, is not what ``reference`` says or names what is not here.
        """
        if len(data) > DOCUMENT_BYTES_MAX:
            raise TooLarge(f"a manifest of over {DOCUMENT_BYTES_MAX} bytes", bytes_max=DOCUMENT_BYTES_MAX)
        digest = digest_of(data)
        if ":" in reference and reference != digest:
            raise digest_wrong(reference, digest)
        tag = None if ":" in reference else checked_tag(reference)
        try:
            parts = parts_of(data, media_type)
        except Damaged as exc:
            raise InvalidInput(exc.what, hint=exc.hint, code_name="MANIFEST_INVALID") from exc
        self.room.check(len(data))
        self.told[digest] = self.clock.monotonic()
        await self.blobs.put(data)
        await self.catalog.put(repository, digest, len(data), parts, tag, by)
        log.info("%s pushed %s%s %s", by, repository, f":{tag}" if tag else "", digest)
        return digest, parts.subject

    async def delete(self, repository: str, reference: str, by: str) -> None:
        """Remove a tag, or by digest a manifest with its tags; its blobs stay until garbage is collected."""
        await self.catalog.delete(repository, reference)
        log.info("%s deleted %s %s", by, repository, reference)

    async def listing(self) -> dict[str, object]:
        """Every tag and untagged manifest with its size, and how many bytes the blobs take together."""
        return {"images": await self.catalog.listing(), "bytes": await asyncio.to_thread(self._stored_bytes)}

    def _stored_bytes(self) -> int:
        folder = self.blobs.folder
        return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0

    async def manifest(self, repository: str, reference: str) -> tuple[Manifest, bytes]:
        """A manifest and its bytes, verified. NotFound, Damaged."""
        found = self.catalog.manifest(repository, reference)
        return found, await self.blobs.get(found.digest)


def checked_repository(name: str) -> str:
    """A legal repository name, or InvalidInput."""
    if len(name) > NAME_CHARACTERS_MAX or not REPOSITORY.fullmatch(name):
        raise InvalidInput(
            f"not a repository name: {name[:NAME_CHARACTERS_MAX]!r}",
            hint="lower-case words joined by . _ - and /",
            code_name="NAME_INVALID",
        )
    return name


def checked_tag(tag: str) -> str:
    """A legal tag, or InvalidInput."""
    if not TAG.fullmatch(tag):
        raise InvalidInput(f"not a tag: {tag[:200]!r}", code_name="MANIFEST_INVALID")
    return tag


def checked_digest(text: str) -> Digest:
    """A legal digest, or InvalidInput."""
    try:
        return Digest(text)
    except InvalidInput as exc:
        raise InvalidInput(exc.what, hint=exc.hint, code_name="DIGEST_INVALID") from exc
