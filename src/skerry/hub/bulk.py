"""Many devices in one call (contract §4.2, §4.3): each entry succeeds or fails on its own."""

from __future__ import annotations

from typing import Any

from skerry.contract.member import Member
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.contract.resources import error_code, parse_device_request, parse_module_request
from skerry.errors import InvalidInput, NotFound, PreconditionFailed, SkerryError
from skerry.hub.registry import Registry
from skerry.hub.twins import Twins

Json = dict[str, Any]

# Azure's bound on one call.
ENTRIES_MAX = 100
CREATES = ("create", "createOrUpdate", "createOrUpdateIfMatchETag")
UPDATES = ("update", "updateIfMatchETag")
DELETES = ("delete", "deleteIfMatchETag")
TWINS = ("updateTwin", "updateTwinIfMatchETag")
MODES = (*CREATES, *UPDATES, *DELETES, *TWINS)


class Bulk:
    """The registry's and the twins' verbs, one entry after the other in the order given."""

    def __init__(self, registry: Registry, twins: Twins) -> None:
        self._registry = registry
        self._twins = twins

    async def run(self, entries: object) -> Json:
        """The BulkRegistryOperationResult. Raises InvalidInput when the call as a whole is malformed."""
        if not isinstance(entries, list) or not 1 <= len(entries) <= ENTRIES_MAX:
            raise InvalidInput(f"not an array of 1 to {ENTRIES_MAX} devices", path="")
        errors = []
        for at, entry in enumerate(entries):
            root = Member(f"[{at}]", entry)
            root.members()
            try:
                await self._one(root)
            except SkerryError as exc:
                errors.append(_error(root, exc))
        return {"isSuccessful": not errors, "errors": errors, "warnings": []}

    async def _one(self, entry: Member) -> None:
        module = entry["moduleId"]
        identity = Identity(DeviceId(entry["id"].text()), ModuleId(module.text()) if module.given else None)
        mode = _mode(entry["importMode"]) if entry["importMode"].given else "createOrUpdate"
        if mode in TWINS:
            await self._twins.patch(identity, entry.members(), _etag(entry["twinETag"], mode))
            return
        if mode in DELETES:
            await self._registry.delete(identity, _etag(entry["eTag"], mode))
            return
        await self._put(identity, entry, await self._if_match(identity, entry, mode))
        if any(entry[name].given for name in ("tags", "properties")):
            await self._twins.patch(identity, entry.members(), None)

    async def _if_match(self, identity: Identity, entry: Member, mode: str) -> str | None:
        """``None`` to create; what the registry's verbs take."""
        if mode == "create":
            return None
        if mode in UPDATES:
            return _etag(entry["eTag"], mode) or "*"
        try:
            self._registry.require(identity)
        except NotFound:
            return None
        return _etag(entry["eTag"], mode) or "*"

    async def _put(self, identity: Identity, entry: Member, if_match: str | None) -> None:
        document = {name: value for name, value in entry.members().items() if name != "etag"}
        if identity.module is None:
            request = parse_device_request(document, str(identity.device))
            await self._registry.put_device(request, if_match)
        else:
            wanted = parse_module_request(document, str(identity.device), str(identity.module))
            await self._registry.put_module(wanted, if_match)


def _mode(member: Member) -> str:
    """In any case: Node's SDK says ``Delete``."""
    text = member.value.lower() if isinstance(member.value, str) else ""
    return next((mode for mode in MODES if mode.lower() == text), "") or member.one_of(MODES)


def _etag(member: Member, mode: str) -> str | None:
    """The etag a mode insists on, ``None`` when it does not; raises PreconditionFailed without one."""
    if not mode.endswith("IfMatchETag"):
        return None
    if not member.given:
        raise PreconditionFailed(f"{mode} needs {member.path}", hint="give the etag, or use another mode")
    return member.text().strip('"')


def _error(entry: Member, error: SkerryError) -> Json:
    module, device = entry["moduleId"], entry["id"]
    _, name = error_code(error, "Module" if module.given else "Device")
    return {
        "deviceId": device.value if isinstance(device.value, str) else None,
        **({"moduleId": module.value} if isinstance(module.value, str) else {}),
        "errorCode": name,
        "errorStatus": str(error),
    }
