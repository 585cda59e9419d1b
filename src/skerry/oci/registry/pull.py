"""An image or an artifact out of a registry into an OCI layout, verified, going on after every cut."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skerry.errors import Damaged, NotFound, Unavailable
from skerry.oci.digest import Digest, digest_of
from skerry.oci.files import link_or_copy, whole_directory
from skerry.oci.image import OCI_INDEX, REF_NAME, Descriptor, canonical_json
from skerry.oci.layout import blob_path
from skerry.oci.parts import DOCUMENTS, Child, Parts, parts_of
from skerry.oci.registry.session import Registry
from skerry.oci.registry.transfer import TOGETHER, Moved, Tally, Watch, unwatched
from skerry.oci.validate import DOCUMENT_BYTES_MAX

ACCEPT = ", ".join(DOCUMENTS)
PART = ".part"
# A registry that gives other bytes than it names is asked once more, not for ever.
DAMAGED_MAX = 2


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest of a registry: the exact bytes, what it points at, and the digest it was asked for by."""

    descriptor: Descriptor
    data: bytes
    parts: Parts


# Which of a manifest's blobs are wanted; all but the config may be here already in another form.
Wanted = Callable[[Parts], Iterable[Descriptor]]
# Held while a blob is fetched, by whoever pulls several images into one folder.
Alone = Callable[[Digest], AbstractAsyncContextManager[object]]


async def find(registry: Registry, repository: str, reference: str, architecture: str | None = None) -> Found:
    """The manifest under a tag or digest; of an index the one for ``architecture`` (Linux).

    NotFound names the platforms there are. Without ``architecture`` an index is Damaged's or NotFound's case.
    """
    found = await _document(registry, repository, reference, None)
    if not found.parts.children:
        return found
    child = _choose(found.parts.children, architecture, f"{registry.host}/{repository}")
    return await _document(registry, repository, child.descriptor.digest, child.descriptor)


async def fetch(
    registry: Registry,
    repository: str,
    found: Found,
    blobs: Path,
    *,
    wanted: Wanted = lambda parts: parts.blobs,
    watch: Watch = unwatched,
    alone: Alone = lambda _: nullcontext(),
) -> Tally:
    """Have the wanted blobs in the folder ``blobs``, named by their digests in hex; what is there is kept.

    Raises Damaged when the registry gives something else, StorageFull's cause as OSError.
    """
    tally, turn = Tally(), asyncio.Semaphore(TOGETHER)
    await asyncio.to_thread(blobs.mkdir, parents=True, exist_ok=True)

    async def one(blob: Descriptor) -> None:
        target = blobs / blob.digest.hex
        async with alone(blob.digest):
            if await asyncio.to_thread(_is_whole, target, blob):
                tally.skipped(blob.size)
                watch(Moved(blob.digest, blob.size, blob.size, skipped=True))
                return
            async with turn:
                await _Download(registry, repository, blob, target, watch).run()
            tally.moved(blob.size)

    tasks = [asyncio.create_task(one(blob)) for blob in dict.fromkeys(wanted(found.parts))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tally


async def pull(
    registry: Registry,
    repository: str,
    reference: str,
    layout: Path,
    blobs: Path,
    *,
    name: str,
    architecture: str | None = None,
    watch: Watch = unwatched,
) -> tuple[Found, Tally]:
    """The image as a layout at ``layout``, called ``name``; what ``blobs`` has is not fetched again."""
    found = await find(registry, repository, reference, architecture)
    tally = await fetch(registry, repository, found, blobs, watch=watch)
    await asyncio.to_thread(write_pulled, layout, found, blobs, name)
    return found, tally


def write_pulled(layout: Path, found: Found, blobs: Path, name: str) -> None:
    """A layout of the manifest and of those of its blobs that are in ``blobs``, whole or not at all."""
    with whole_directory(layout) as work:
        place = work / "blobs" / "sha256"
        place.mkdir(parents=True)
        for blob in dict.fromkeys(found.parts.blobs):
            if (blobs / blob.digest.hex).exists():
                link_or_copy(blobs / blob.digest.hex, blob_path(work, blob.digest))
        blob_path(work, found.descriptor.digest).write_bytes(found.data)
        entry = {**found.descriptor.to_json(), "annotations": {REF_NAME: name}}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        (work / "oci-layout").write_bytes(canonical_json({"imageLayoutVersion": "1.0.0"}))
        (work / "index.json").write_bytes(canonical_json(index))


async def _document(
    registry: Registry, repository: str, reference: str, expected: Descriptor | None
) -> Found:
    path = f"{repository}/manifests/{reference}"
    scope = f"repository:{repository}:pull"
    headers = {"Accept": ACCEPT}
    answer = await registry.retried(path, partial(registry.ask, "GET", path, scope, headers=headers))
    data = answer.content
    if len(data) > DOCUMENT_BYTES_MAX:
        raise Damaged(f"{path} is over {DOCUMENT_BYTES_MAX} bytes", registry=registry.host)
    digest = digest_of(data)
    named = reference if ":" in reference else answer.headers.get("docker-content-digest", digest)
    if digest != named:
        raise Damaged(f"{registry.host} gives {digest} for {path}, not {named}", registry=registry.host)
    said = answer.headers.get("content-type", "").partition(";")[0].strip()
    kind = expected.media_type if expected is not None else said
    parts = parts_of(data, kind if kind in DOCUMENTS else None)
    return Found(Descriptor(parts.media_type, digest, len(data)), data, parts)


def _choose(children: Iterable[Child], architecture: str | None, where: str) -> Child:
    offered = [child for child in children if child.os in ("", "linux") and child.architecture != "unknown"]
    fitting = [child for child in offered if child.architecture in ("", architecture)]
    if not fitting or architecture is None:
        names = sorted({f"{child.os}/{child.architecture}" for child in offered})
        raise NotFound(
            f"{where} is for {', '.join(names) or 'no platform of Linux'}",
            hint=f"wanted: linux/{architecture}" if architecture else "name a platform",
        )
    # arm64 is "v8" or unsaid; the first fits (image-spec, image-index.md).
    return fitting[0]


def _is_whole(path: Path, blob: Descriptor) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == blob.digest.hex
    except OSError:
        return False


class _Download:
    """One blob on its way: a file ``….part`` beside its place, that grows until its digest is proved."""

    def __init__(
        self, registry: Registry, repository: str, blob: Descriptor, target: Path, watch: Watch
    ) -> None:
        self._registry = registry
        self._path = f"{repository}/blobs/{blob.digest}"
        self._scope = f"repository:{repository}:pull"
        self._blob = blob
        self._target = target
        self._part = target.with_name(target.name + PART)
        self._watch = watch

    async def run(self) -> None:
        for attempt in range(1, DAMAGED_MAX + 1):
            await self._whole_size()
            if await asyncio.to_thread(_is_whole, self._part, self._blob):
                await asyncio.to_thread(self._keep)
                return
            self._part.unlink(missing_ok=True)
            if attempt == DAMAGED_MAX:
                raise Damaged(
                    f"{self._registry.host} gives other bytes than {self._blob.digest}",
                    hint="the registry's storage or something on the way is broken",
                    digest=self._blob.digest,
                )

    async def _whole_size(self) -> None:
        """A line that breaks again and again still gets there, as long as every try brings something."""
        if self._size() > self._blob.size:
            self._part.unlink()
        self._part.touch()
        while (before := self._size()) < self._blob.size:
            try:
                await self._registry.retried(f"pull {self._blob.digest}", self._go_on)
            except Unavailable:
                if self._size() <= before:
                    raise

    async def _go_on(self) -> None:
        size = self._size()
        headers = {"Range": f"bytes={size}-", "Accept-Encoding": "identity"} if size else {}
        headers = headers or {"Accept-Encoding": "identity"}
        async with self._registry.stream(
            "GET", self._path, self._scope, headers=headers, allowed=(416,)
        ) as answer:
            if answer.status_code == 416 or (size and answer.status_code != 206):
                # This registry does not go on in the middle.
                self._part.unlink(missing_ok=True)
                size = 0
                if answer.status_code == 416:
                    raise Unavailable(f"{self._registry.host} does not give the rest of {self._blob.digest}")
            with self._part.open("ab", buffering=0) as file:
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
                    if size > self._blob.size:
                        raise Damaged(
                            f"{self._blob.digest} is longer than its manifest says", digest=self._blob.digest
                        )
                    file.write(chunk)
                    self._watch(Moved(self._blob.digest, size, self._blob.size))
        if size < self._blob.size:
            raise Unavailable(f"{self._registry.host} broke off at {size} of {self._blob.size} bytes")

    def _size(self) -> int:
        with suppress(FileNotFoundError):
            return self._part.stat().st_size
        return 0

    def _keep(self) -> None:
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self._part, self._target)


def clean(blobs: Path, kept: Iterable[Digest]) -> None:
    """Remove the blobs that are not in ``kept``, and what is left of broken pulls."""
    names = {digest.hex for digest in kept}
    for path in blobs.iterdir() if blobs.is_dir() else ():
        if path.name not in names:
            path.unlink(missing_ok=True)
