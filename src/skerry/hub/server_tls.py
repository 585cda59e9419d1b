"""The TLS of the hub's listeners: given certificate files or its own, taken anew when they change."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from pathlib import Path

from skerry.clock import Clock
from skerry.errors import SkerryError, Unsupported
from skerry.hub import certificates
from skerry.hub.settings import HubSettings
from skerry.service.client_certificates import ask_for_certificates
from skerry.service.files import read_private
from skerry.service.tls import TlsFiles, load_certificate

log = logging.getLogger(__name__)

# Files that were replaced are noticed within this; reading two small files costs nothing.
RELOAD_EVERY_S = 10.0
# The hub's own certificate lasts a year.
ENSURE_EVERY_S = 3600.0


class ServerTls:
    """One context for every listener: connections that are open stay, new ones get the newest certificate."""

    def __init__(self, settings: HubSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._given = settings.certificate is not None
        self._files = (
            TlsFiles(settings.certificate, settings.certificate_key)
            if settings.certificate is not None and settings.certificate_key is not None
            else certificates.server_files(settings.data_dir)
        )
        self._seen = self._digest()
        self.context: ssl.SSLContext = self._files.context()
        try:
            ask_for_certificates(self.context)
        except Unsupported as exc:
            log.warning("devices with X.509 certificates cannot connect: %s", exc)

    async def run(self) -> None:
        """Look for new files until cancelled; files that are wrong leave the present certificate in place."""
        waited = 0.0
        while True:
            await self._clock.sleep(RELOAD_EVERY_S)
            waited += RELOAD_EVERY_S
            try:
                if not self._given and waited >= ENSURE_EVERY_S:
                    waited = 0.0
                    settings = self._settings
                    await asyncio.to_thread(
                        certificates.ensure, settings.data_dir, settings.names, self._clock
                    )
                await self._reload()
            except SkerryError as exc:
                log.warning("the hub keeps the certificate that it has: %s", exc)

    async def _reload(self) -> None:
        digest = await asyncio.to_thread(self._digest)
        if digest == self._seen:
            return
        # Files that are wrong are complained of once, and looked at when they change again. They are tried
        # on a context of their own first: half of a pair must not get into the one that serves.
        self._seen = digest
        await asyncio.to_thread(self._files.context)
        load_certificate(self.context, self._files.certificate, self._files.key)
        log.info("the hub shows the new certificate in %s", self._files.certificate)

    def _digest(self) -> bytes:
        """What tells one pair of files from another; NotFound, NotAllowed when others may read the key."""
        digest = hashlib.sha256(read_private(self._files.key))
        digest.update(_bytes_of(self._files.certificate))
        return digest.digest()


def _bytes_of(path: Path) -> bytes:
    """Nothing while the file is just being replaced."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
