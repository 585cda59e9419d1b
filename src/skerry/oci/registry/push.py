"""An image, an index of images or an artifact, out of OCI layouts into a registry."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import httpx

from skerry.errors import Damaged, InvalidInput, NotFound, PreconditionFailed, Unavailable
from skerry.oci.digest import Digest, digest_of
from skerry.oci.image import OCI_INDEX, Descriptor, canonical_json
from skerry.oci.layout import blob_path, manifest_descriptor, read_blob
from skerry.oci.parts import INDEXES, Parts, parts_of
from skerry.oci.registry.session import Registry
from skerry.oci.registry.transfer import TOGETHER, Moved, Tally, Watch, unwatched
from skerry.oci.validate import document

READ_BYTES = 1 << 20
# Up to this a blob goes in one request, without asking where to go on.
SMALL_BYTES_MAX = 1 << 20
RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,15})")
OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What is in the registry now, under which digest, and what that took."""

    digest: Digest
    media_type: str
    tally: Tally


async def push(
    registry: Registry,
    repository: str,
    reference: str,
    layouts: Sequence[Path],
    *,
    mount_from: str = "",
    watch: Watch = unwatched,
) -> Pushed:
    """Push what the layouts hold under ``reference`` (a tag, or ""); several become one index.

    Blobs that are there are not sent; one that ``mount_from`` has, another repository, is mounted. Raises
    Damaged for a layout that is not whole, and what the registry's refusals mean.
    """
    if not layouts:
        raise InvalidInput("there is nothing to push")
    pusher = _Pusher(registry, repository, mount_from, watch)
    tops = [manifest_descriptor(layout) for layout in layouts]
    if len(layouts) == 1:
        await pusher.document(layouts[0], tops[0], reference)
        return Pushed(tops[0].digest, tops[0].media_type, pusher.tally)
    for layout, top in zip(layouts, tops, strict=True):
        await pusher.document(layout, top, "")
    index = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [_entry(layout, top) for layout, top in zip(layouts, tops, strict=True)],
        }
    )
    digest = digest_of(index)
    await pusher.put(Descriptor(OCI_INDEX, digest, len(index)), index, reference)
    return Pushed(digest, OCI_INDEX, pusher.tally)


class _Pusher:
    """One push: everything a manifest names before the manifest."""

    def __init__(self, registry: Registry, repository: str, mount_from: str, watch: Watch) -> None:
        self._registry = registry
        self._repository = repository
        self._mount_from = mount_from
        self._watch = watch
        self._scope = f"repository:{repository}:pull,push"
        self._seen: set[Digest] = set()
        self.tally = Tally()

    async def document(self, layout: Path, top: Descriptor, reference: str) -> None:
        data = await asyncio.to_thread(read_blob, layout, top.digest)
        parts = parts_of(data, top.media_type)
        for child in parts.children:
            await self.document(layout, child.descriptor, "")
        await self._blobs(layout, parts)
        await self.put(top, data, reference)

    async def put(self, top: Descriptor, data: bytes, reference: str) -> None:
        """The manifest itself, unless exactly it is there under its tag."""
        path = f"{self._repository}/manifests/{reference or top.digest}"
        if await self._has_manifest(path, top):
            self._skip(top)
            return

        async def body() -> AsyncIterator[bytes]:
            yield data

        headers = {"Content-Type": top.media_type, "Content-Length": str(len(data))}
        await self._registry.retried(
            f"push {path}",
            partial(self._registry.ask, "PUT", path, self._scope, headers=headers, body=body),
        )
        self.tally.moved(len(data))
        self._watch(Moved(top.digest, len(data), len(data)))

    async def _blobs(self, layout: Path, parts: Parts) -> None:
        turn = asyncio.Semaphore(TOGETHER)
        wanted = [blob for blob in dict.fromkeys(parts.blobs) if blob.digest not in self._seen]
        self._seen.update(blob.digest for blob in wanted)

        async def one(blob: Descriptor) -> None:
            async with turn:
                await self._blob(blob_path(layout, blob.digest), blob)

        tasks = [asyncio.create_task(one(blob)) for blob in wanted]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _blob(self, path: Path, blob: Descriptor) -> None:
        _check_file(path, blob)
        if await self._has_blob(blob):
            self._skip(blob)
            return
        begun = await self._registry.retried(f"push {blob.digest}", partial(self._begin, blob))
        if begun is None:
            self._skip(blob)
            return
        await self._registry.retried(f"push {blob.digest}", _Upload(self, path, blob, begun).go_on)
        self.tally.moved(blob.size)

    async def _begin(self, blob: Descriptor) -> str | None:
        """Where to send the blob; None when the registry mounted it from elsewhere."""
        mount = {"mount": str(blob.digest)} | ({"from": self._mount_from} if self._mount_from else {})
        path = f"{self._repository}/blobs/uploads/"
        scope = self._scope + (f" repository:{self._mount_from}:pull" if self._mount_from else "")
        answer = await self._registry.ask("POST", path, scope, params=mount)
        return None if answer.status_code == 201 else location(answer)

    async def _has_blob(self, blob: Descriptor) -> bool:
        return await self._is_there(f"{self._repository}/blobs/{blob.digest}")

    async def _has_manifest(self, path: str, top: Descriptor) -> bool:
        headers = {"Accept": top.media_type}
        answer = await self._registry.retried(
            path,
            partial(self._registry.ask, "HEAD", path, self._scope, headers=headers, allowed=(404,)),
        )
        return answer.is_success and answer.headers.get("docker-content-digest") == top.digest

    async def _is_there(self, path: str) -> bool:
        answer = await self._registry.retried(
            path, partial(self._registry.ask, "HEAD", path, self._scope, allowed=(404,))
        )
        return answer.is_success

    def _skip(self, blob: Descriptor) -> None:
        self.tally.skipped(blob.size)
        self._watch(Moved(blob.digest, blob.size, blob.size, skipped=True))

    async def again(self, blob: Descriptor) -> str:
        """A new upload in the place of one that the registry has forgotten."""
        answer = await self._registry.ask("POST", f"{self._repository}/blobs/uploads/", self._scope)
        del blob
        return location(answer)

    async def send(
        self, method: str, place: str, headers: dict[str, str], path: Path, start: int, blob: Descriptor
    ) -> httpx.Response:
        """Bytes of the file from ``start`` to its end."""

        async def body() -> AsyncIterator[bytes]:
            done = start
            with path.open("rb") as file:
                file.seek(start)
                while chunk := await asyncio.to_thread(file.read, READ_BYTES):
                    yield chunk
                    done += len(chunk)
                    self._watch(Moved(blob.digest, min(done, blob.size), blob.size))

        about = {"Content-Type": OCTETS, "Content-Length": str(blob.size - start), **headers}
        return await self._registry.ask(method, place, self._scope, headers=about, body=body)

    async def state(self, place: str) -> httpx.Response:
        return await self._registry.ask("GET", place, self._scope, allowed=(404,))

    async def finish(self, place: str) -> None:
        await self._registry.ask("PUT", place, self._scope)


class _Upload:
    """One blob on its way, that goes on after a cut where the registry says it is."""

    def __init__(self, pusher: _Pusher, path: Path, blob: Descriptor, place: str) -> None:
        self._pusher = pusher
        self._path = path
        self._blob = blob
        self._place = place
        self._cut = False

    async def go_on(self) -> None:
        try:
            await self._go_on()
        except NotFound:
            # Forgotten by the registry, perhaps restarted without its unfinished uploads.
            self._place = await self._pusher.again(self._blob)
            self._cut = True
            raise Unavailable(f"the upload of {self._blob.digest} was lost", hint="it begins anew") from None
        except PreconditionFailed as exc:
            self._cut = True
            raise Unavailable(exc.what) from exc
        except Unavailable:
            self._cut = True
            raise

    async def _go_on(self) -> None:
        blob, start = self._blob, 0
        if self._cut:
            answer = await self._pusher.state(self._place)
            if answer.status_code == 404:
                raise NotFound("the upload is not there any more")
            start = received(answer)
            self._place = answer.headers.get("location") or self._place
        if start == 0 and blob.size <= SMALL_BYTES_MAX:
            await self._pusher.send("PUT", self._finishing(), {}, self._path, 0, blob)
            return
        if start < blob.size:
            headers = {"Content-Range": f"{start}-{blob.size - 1}"} if start else {}
            answer = await self._pusher.send("PATCH", self._place, headers, self._path, start, blob)
            self._place = location(answer)
        await self._pusher.finish(self._finishing())

    def _finishing(self) -> str:
        joint = "&" if "?" in self._place else "?"
        return self._place + joint + urlencode({"digest": self._blob.digest})


def location(answer: httpx.Response) -> str:
    """Where an upload goes on. Unavailable when the registry does not say."""
    place = answer.headers.get("location", "")
    if not place:
        raise Unavailable("the registry does not say where to upload")
    return str(answer.url.join(place)) if not place.startswith("/") else place


def received(answer: httpx.Response) -> int:
    """How many bytes the registry has: its range, both ends inclusive."""
    if answer.headers.get("skerry-upload-size", "").isdigit():
        return int(answer.headers["skerry-upload-size"])
    match = RANGE.fullmatch(answer.headers.get("range", "0-0"))
    last = int(match[1]) if match is not None else 0
    return last + 1 if last else 0


def _check_file(path: Path, blob: Descriptor) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError as exc:
        raise Damaged("a blob is missing from the image layout", digest=blob.digest, path=str(path)) from exc
    if size != blob.size:
        raise Damaged("a blob of the image layout has another size", digest=blob.digest, path=str(path))


def _entry(layout: Path, top: Descriptor) -> dict[str, object]:
    """A manifest as an index lists it, with the platform that its config names."""
    if top.media_type in INDEXES:
        raise InvalidInput("an index cannot be part of another one here", path=str(layout))
    config = parts_of(read_blob(layout, top.digest), top.media_type).blobs[0]
    found = document(read_blob(layout, config.digest), "image config")
    about = {name: found[name] for name in ("architecture", "os", "variant") if found.get(name)}
    if not {"architecture", "os"} <= about.keys():
        raise InvalidInput("only images of named platforms can be pushed together", path=str(layout))
    return {**top.to_json(), "platform": about}
