"""The device's and its modules' identities: fetched or made at the hub once, kept on the device."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from skerry.contract.credentials import ConnectionString, Signer, key_signer
from skerry.contract.names import AGENT_MODULE, HUB_MODULE, Identity, ModuleId
from skerry.errors import AlreadyExists, NotFound, PreconditionFailed, SkerryError, Unavailable
from skerry.store.documents import Documents

log = logging.getLogger(__name__)

MANAGED_BY = "iotEdge"
KEY_BYTES = 32


@dataclass(frozen=True)
class ModuleIdentity:
    """A module's identity at the hub with its keys; they stay in the daemon and its 0600 database."""

    module: ModuleId
    generation_id: str
    primary_key: str = field(repr=False)
    secondary_key: str = field(repr=False)
    managed_by: str = ""
    etag: str = ""

    @property
    def keys(self) -> tuple[str, str]:
        return self.primary_key, self.secondary_key


# Told what an identity was and is; never None both.
IdentityListener = Callable[[ModuleIdentity | None, ModuleIdentity | None], None]


class IdentityService(Protocol):
    """Module identities at the hub. Raises NotFound, AlreadyExists, Unavailable, NotAuthenticated."""

    async def list(self) -> list[ModuleIdentity]:
        """All of this device's."""

    async def get(self, module: ModuleId) -> ModuleIdentity:
        """One of them."""

    async def create(self, module: ModuleId, primary: str, secondary: str) -> ModuleIdentity:
        """A new one with these keys, managed by this device."""

    async def delete(self, module: ModuleId, etag: str) -> None:
        """Forget it; an etag makes that conditional."""


class Identities:
    """The identities of this device, from memory; the hub is only asked for what is not known yet."""

    def __init__(self, connection: ConnectionString, documents: Documents, service: IdentityService) -> None:
        self.device = connection.identity
        self.hub = connection.host_name
        # None: the device proves itself by a certificate, and nobody here signs in its name.
        self._device_key = connection.shared_access_key
        self._documents = documents
        self._service = service
        self._known: dict[ModuleId, ModuleIdentity] = {}
        self._changing = asyncio.Lock()
        self._removing: ModuleId | None = None
        # Told of each identity that is new (before: None), has new keys, or is gone (after: None).
        self.listeners: list[IdentityListener] = []

    async def load(self) -> None:
        """Read what earlier runs learned; afterwards no network is needed for known modules."""
        for key, document in await self._documents.items():
            self._known[ModuleId(key)] = _from_document(ModuleId(key), document)

    @property
    def known(self) -> Mapping[ModuleId, ModuleIdentity]:
        return MappingProxyType(self._known)

    def get(self, module: ModuleId) -> ModuleIdentity:
        """NotFound when this device has no such module identity."""
        if (identity := self._known.get(module)) is None:
            raise NotFound(f"module {module} has no identity on this device", module=module)
        return identity

    def keys(self, identity: Identity) -> tuple[str, ...]:
        """The keys (base64) ``identity`` may sign with; none when it is not of this device."""
        if identity.device != self.device.device:
            return ()
        if identity.module is None:
            return (self._device_key,) if self._device_key is not None else ()
        known = self._known.get(identity.module)
        return known.keys if known else ()

    def signer(self, identity: Identity) -> Signer:
        """Signs as ``identity``. NotFound when it is not ours."""
        if not (keys := self.keys(identity)):
            raise NotFound(f"{identity.client_id} has no key on this device", identity=identity.client_id)
        return key_signer(keys[0])

    async def ensure(self, module: ModuleId) -> ModuleIdentity:
        """The module's identity, made at the hub if there is none yet. Raises what the hub's service does."""
        if (identity := self._known.get(module)) is not None and module != self._removing:
            return identity
        async with self._changing:
            if (identity := self._known.get(module)) is not None:
                return identity
            identity = await self._fetch_or_create(module)
            await self._keep(identity)
            log.info("module %s has an identity, generation %s", module, identity.generation_id)
            return identity

    async def refresh(self, wanted: Callable[[ModuleId], bool] = lambda _: True) -> bool:
        """Take over what changed at the hub (keys, generations, new system modules); whether anything did.

        What was deleted at the hub is made again if ``wanted``, else forgotten here too.
        """
        async with self._changing:
            listed = {identity.module: identity for identity in await self._service.list()}
            changed = {m: new for m, new in listed.items() if self._known.get(m) not in (None, new)}
            missing = {m: listed[m] for m in _SYSTEM if m in listed and m not in self._known}
            lost = self._known.keys() - listed.keys()
            # Somebody deleted it at the hub; what runs here under its name needs it.
            needed = sorted(module for module in lost if module in _SYSTEM or wanted(module))
            remade = {module: await self._fetch_or_create(module) for module in needed}
            for module in sorted(lost - remade.keys()):
                await self._forget(module)
            for identity in (changed | missing | remade).values():
                await self._keep(identity)
                log.info(
                    "identity of module %s is now generation %s", identity.module, identity.generation_id
                )
            return bool(changed or missing or remade)

    async def renew(self, module: ModuleId) -> ModuleIdentity:
        """Ask the hub again although the module is known: its keys did not work. Raises as ``ensure``."""
        async with self._changing:
            identity = await self._fetch_or_create(module)
            await self._keep(identity)
            return identity

    async def remove(self, module: ModuleId) -> None:
        """Delete an identity this device made, at the hub and here; others are left alone."""
        async with self._changing:
            identity = self._known.get(module)
            if identity is None or module in _SYSTEM or identity.managed_by != MANAGED_BY:
                return
            self._removing = module
            try:
                if (newer := await self._delete(identity)) is not None:
                    await self._keep(newer)
                    return
            finally:
                self._removing = None
            await self._forget(module)

    async def _delete(self, identity: ModuleIdentity) -> ModuleIdentity | None:
        """Delete it at the hub, where a deployment may have made a newer one by now: that one stays."""
        try:
            at_hub = await self._service.get(identity.module)
            if at_hub.generation_id != identity.generation_id:
                return at_hub
            await self._service.delete(identity.module, at_hub.etag)
        except NotFound:
            log.debug("identity of module %s was gone at the hub already", identity.module)
        return None

    async def _fetch_or_create(self, module: ModuleId) -> ModuleIdentity:
        try:
            return await self._service.get(module)
        except NotFound:
            log.debug("module %s is new to the hub", module)
        try:
            return await self._service.create(module, generate_key(), generate_key())
        except (AlreadyExists, PreconditionFailed):
            return await self._service.get(module)

    async def _keep(self, identity: ModuleIdentity) -> None:
        await self._documents.put(identity.module, _document(identity))
        before = self._known.get(identity.module)
        self._known[identity.module] = identity
        if before is None or (before.generation_id, before.keys) != (identity.generation_id, identity.keys):
            self._tell(before, identity)

    async def _forget(self, module: ModuleId) -> None:
        await self._documents.delete(module)
        self._tell(self._known.pop(module), None)
        log.info("identity of module %s removed", module)

    def _tell(self, before: ModuleIdentity | None, after: ModuleIdentity | None) -> None:
        for listener in self.listeners:
            listener(before, after)


_SYSTEM = (ModuleId(AGENT_MODULE), ModuleId(HUB_MODULE))


async def ensure_system_identities(identities: Identities) -> None:
    """``$edgeAgent`` and ``$edgeHub``. Raises what the hub's service does."""
    for module in _SYSTEM:
        await identities.ensure(module)


def generate_key() -> str:
    """A new symmetric key, base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _document(identity: ModuleIdentity) -> dict[str, Any]:
    return {
        "generationId": identity.generation_id,
        "primaryKey": identity.primary_key,
        "secondaryKey": identity.secondary_key,
        "managedBy": identity.managed_by,
        "etag": identity.etag,
    }


def _from_document(module: ModuleId, document: Any) -> ModuleIdentity:
    return ModuleIdentity(
        module,
        document["generationId"],
        document["primaryKey"],
        document["secondaryKey"],
        document["managedBy"],
        document["etag"],
    )


class NoIdentityService:
    """Stands for a hub that is switched off (``upstream = false``)."""

    async def list(self) -> list[ModuleIdentity]:
        raise self._off()

    async def get(self, module: ModuleId) -> ModuleIdentity:
        raise self._off()

    async def create(self, module: ModuleId, primary: str, secondary: str) -> ModuleIdentity:
        raise self._off()

    async def delete(self, module: ModuleId, etag: str) -> None:
        raise self._off()

    def _off(self) -> SkerryError:
        return Unavailable("the upstream connection is switched off", hint="set upstream = true")
