"""The images of this device: pulled beside everything else, removed when nothing needs them any more."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partial

from skerry.clock import Clock
from skerry.contract.manifest import RegistryCredentials
from skerry.edge.agent.background import Background
from skerry.edge.agent.state import UNKNOWN_IMAGE, Image, Wanted
from skerry.edge.engine.port import Engine, Observed
from skerry.errors import SkerryError, StorageFull
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

IMAGES = "images"
# As Azure IoT Edge's image_garbage_collection: a week unused. Until then a way back needs no network.
KEEP_S = 7 * 86_400.0
# "Still needed" is written this often; a record per look would wear out an SD card.
TOUCH_EVERY_S = 3600.0
# The registry that is meant when a reference names none, under the names people give it.
DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


class Images:
    """What is known of each image; only images that were pulled by this agent are ever removed."""

    def __init__(
        self,
        engine: Engine,
        documents: Documents,
        background: Background,
        clock: Clock,
        *,
        keep_s: float = KEEP_S,
    ) -> None:
        self._engine = engine
        self._documents = documents
        self._background = background
        self._clock = clock
        self._keep_s = keep_s
        self._needed_at: dict[str, float] = {}
        self._crowded = False
        self.known: dict[str, Image] = {}

    def load(self) -> None:
        """What earlier runs pulled."""
        self._needed_at = dict(self._documents.get(IMAGES) or {})

    def retry_now(self) -> None:
        """Somebody changed what is wanted: what failed before may well work now."""
        self.known = {name: Image(i.present, i.pulling, i.pulled) for name, i in self.known.items()}

    async def look(self, wanted: Iterable[Wanted], observed: Mapping[str, Observed], *, proven: bool) -> None:
        """See which images are here, of modules that are to be made.

        A deployment that has worked is brought back from what is here, without asking a registry.
        """
        for module in wanted:
            seen = observed.get(module.name)
            if seen is None or seen.spec_digest != module.run.digest or seen.status == "dead":
                present = await self._engine.has_image(module.run.image)
                image = self.known.get(module.run.image, UNKNOWN_IMAGE)
                pulled = image.pulled or (proven and present)
                self.known[module.run.image] = Image(present, image.pulling, pulled, image.failed)

    def start_pull(self, reference: str, credentials: Iterable[RegistryCredentials]) -> None:
        """Begin to pull, beside everything else; the result is in ``known`` when the agent is woken."""
        login = credentials_for(reference, credentials)
        self._background.start(f"pull {reference}", partial(self._pull, reference, login))

    async def collect(self, needed: frozenset[str], now: float) -> None:
        """Remove what nothing has needed for long, or at all when the last pull found no room."""
        before = dict(self._needed_at)
        for reference in needed & self._needed_at.keys():
            if not 0 <= now - self._needed_at[reference] < TOUCH_EVERY_S:
                self._needed_at[reference] = now
        for reference, at in before.items():
            old = self._crowded or now - at >= self._keep_s
            if old and reference not in needed and not self.known.get(reference, UNKNOWN_IMAGE).pulling:
                await self._remove(reference)
        self._crowded = False
        if before != self._needed_at:
            await self._save()

    async def _remove(self, reference: str) -> None:
        try:
            await self._engine.remove_image(reference)
        except SkerryError as error:
            log.info("image %s stays: %s", reference, error)
            return
        self._needed_at.pop(reference, None)
        self.known.pop(reference, None)
        log.info("image %s removed, nothing needs it any more", reference)

    async def _pull(self, reference: str, login: RegistryCredentials | None) -> None:
        image = self.known.get(reference, UNKNOWN_IMAGE)
        self.known[reference] = Image(image.present, True, image.pulled, image.failed)
        log.info("pull %s", reference)
        try:
            await self._engine.pull(reference, login)
        except SkerryError as error:
            log.warning("could not pull %s: %s", reference, error)
            self._crowded = self._crowded or isinstance(error, StorageFull)
            # The tally as it is now: a newer deployment may have forgotten what failed before.
            failed = self.known[reference].failed.again(
                self._clock.now().timestamp(), str(error), type(error).__name__
            )
            self.known[reference] = Image(image.present, False, image.pulled, failed)
        else:
            self.known[reference] = Image(present=True, pulled=True)
            self._needed_at[reference] = self._clock.now().timestamp()
            await self._save()

    async def _save(self) -> None:
        try:
            await self._documents.put(IMAGES, self._needed_at)
        except StorageFull as error:
            log.warning("which images were pulled is not on disk: %s", error)


def credentials_for(reference: str, credentials: Iterable[RegistryCredentials]) -> RegistryCredentials | None:
    """The login for the registry of an image; ``host/team`` wins over ``host``."""
    head, slash, rest = reference.partition("/")
    named = slash and (head == "localhost" or "." in head or ":" in head)
    hosts = (head.lower(),) if named else DOCKER_HUB
    path = rest if named else reference

    def fits(address: str) -> bool:
        host, _, below = address.partition("/")
        inside = not below or below in ("v1", "v2") or path == below or path.startswith(below + "/")
        return inside and (host.lower() in hosts or (host.lower() in DOCKER_HUB and hosts[0] in DOCKER_HUB))

    fitting = [one for one in credentials if fits(_bare(one.address))]
    return max(fitting, key=lambda one: len(_bare(one.address)), default=None)


def _bare(address: str) -> str:
    return address.partition("://")[2].strip("/") if "://" in address else address.strip("/")
