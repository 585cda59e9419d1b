"""Images that this device pulled itself: layouts by their whole reference, layers while they are needed."""

from __future__ import annotations

import asyncio
import errno
import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from weakref import WeakValueDictionary

from skerry.contract.manifest import RegistryCredentials
from skerry.edge.engine.registries import Registries, architecture
from skerry.edge.engine.space import GROWTH, check_room
from skerry.errors import StorageFull, Unsupported
from skerry.oci import validate
from skerry.oci.digest import Digest
from skerry.oci.image import Image, Layer
from skerry.oci.layout import DEFAULT_TAG, blob_path, find_layout, read_layout
from skerry.oci.reference import parse_reference
from skerry.oci.registry.place import place_of
from skerry.oci.registry.pull import PART, Found, fetch, find, write_pulled
from skerry.oci.registry.session import Registry

log = logging.getLogger(__name__)

# A deployment whose pull did not get on for so long is not coming back.
PART_LIFE_S = 7 * 86_400.0
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Which layers of an image are to be fetched: those that are not here in the form that runs.
Lacking = Callable[[Image], Iterable[Layer]]


class PulledImages:
    """Below ``folder``: ``layouts/<name>/<tag or digest>`` and, while something is pulled, ``blobs``.

    What came before a cut, a restart or a power loss is not fetched again.
    """

    def __init__(self, folder: Path, registries: Registries) -> None:
        self._layouts = folder / "layouts"
        self._blobs = folder / "blobs"
        self._registries = registries
        self._under_way = 0
        # Images share layers; two pulls at once fetch each of them once. Weak: a lock lives while it is held.
        self._locks: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    def layout(self, image: str) -> Path | None:
        """The layout of an image that was pulled; its layers may have served their purpose and be gone."""
        path = self._path(image)
        return path if (path / "index.json").is_file() else None

    def is_elsewhere(self, image: str, images: Path) -> bool:
        """Whether the image is in a registry that its name tells, and not in the folder ``images``.

        A bare name means a layout on this device: nobody is asked for it who happens to have one.
        """
        return parse_reference(image).registry is not None and find_layout(images, image) is None

    async def pull(self, image: str, given: RegistryCredentials | None, lacking: Lacking) -> Path:
        """Have the image's layout with the layers that ``lacking`` wants.

        NotFound, NotAuthenticated, Unavailable, Damaged, StorageFull, Unsupported (another architecture).
        """
        place = place_of(parse_reference(image))
        login = self._registries.login(image, given)
        self._under_way += 1
        try:
            async with self._registries.session(place.host, login) as registry:
                found = await find(registry, place.repository, place.reference, architecture())
                await self._fetch(registry, place.repository, found, image, lacking)
            path = self._path(image)
            await asyncio.to_thread(write_pulled, path, found, self._blobs, image)
        except OSError as exc:
            if exc.errno not in NO_ROOM:
                raise
            raise StorageFull(f"no room for image {image} at {self._blobs}", image=image) from exc
        finally:
            self._under_way -= 1
        return path

    def done(self, image: str) -> None:
        """The image is where it runs from: its layers take no room here any more."""
        layout = self.layout(image)
        if layout is not None:
            for layer in read_layout(layout).layers:
                blob_path(layout, layer.descriptor.digest).unlink(missing_ok=True)
        if self._under_way == 0:
            for blob in self._blobs.iterdir() if self._blobs.is_dir() else ():
                if not self._goes_on(blob):
                    blob.unlink(missing_ok=True)

    def forget(self, image: str) -> None:
        """Remove the layout, and what is left of pulls that never ended."""
        shutil.rmtree(self._path(image), ignore_errors=True)
        if self._under_way == 0:
            shutil.rmtree(self._blobs, ignore_errors=True)

    def _goes_on(self, blob: Path) -> bool:
        """Whether it is the beginning of a layer that a pull may still want."""
        age_s = self._registries.clock.now().timestamp() - blob.stat().st_mtime
        return blob.name.endswith(PART) and age_s < PART_LIFE_S

    async def _fetch(
        self, registry: Registry, repository: str, found: Found, image: str, lacking: Lacking
    ) -> None:
        config = found.parts.blobs[0]
        await fetch(registry, repository, found, self._blobs, wanted=lambda _: [config], alone=self._alone)
        data = await asyncio.to_thread((self._blobs / config.digest.hex).read_bytes)
        checked = validate.image(found.data, data)
        if checked.architecture != architecture():
            raise Unsupported(
                f"image {image} is for {checked.architecture}, this device is {architecture()}", image=image
            )
        layers = [layer.descriptor for layer in await asyncio.to_thread(lambda: list(lacking(checked)))]
        check_room(image, sum(layer.size for layer in layers) * (1 + GROWTH), self._blobs)
        tally = await fetch(
            registry, repository, found, self._blobs, wanted=lambda _: layers, alone=self._alone
        )
        log.info("image %s: %d bytes in %d layers pulled", image, tally.bytes_moved, tally.blobs_moved)

    def _alone(self, digest: Digest) -> asyncio.Lock:
        return self._locks.setdefault(digest, asyncio.Lock())

    def _path(self, image: str) -> Path:
        reference = parse_reference(image)
        mark = reference.digest.hex if reference.digest is not None else reference.tag or DEFAULT_TAG
        return self._layouts / reference.name / mark
