"""Module identities at the hub over HTTPS, with the device's own credentials (contract.md §4.2)."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import quote

import httpx

from skerry.clock import Clock
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.contract.names import ModuleId
from skerry.edge.daemon.hub_time import HubTime
from skerry.edge.daemon.identities import MANAGED_BY, ModuleIdentity
from skerry.errors import (
    AlreadyExists,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PreconditionFailed,
    SkerryError,
    Throttled,
    Unavailable,
)

API_VERSION = "2021-04-12"
REQUEST_TIMEOUT_S = 10.0
TOKEN_LIFE_S = 600
# What a hub says goes into the log and the status; a longer text is not from a hub.
SAID_CHARS_MAX = 300
_KINDS: dict[int, type[SkerryError]] = {
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    409: AlreadyExists,
    412: PreconditionFailed,
    429: Throttled,
}


class HubIdentityService:
    """The hub's REST endpoint ``/devices/{d}/modules``; ``address`` is where it is reached."""

    def __init__(
        self,
        connection: ConnectionString,
        *,
        address: str,
        port: int,
        tls: ssl.SSLContext,
        clock: Clock,
        time: HubTime | None = None,
    ) -> None:
        self._connection = connection
        self._device = connection.identity
        # Without a key the device proves itself by the certificate that ``tls`` shows.
        key = connection.shared_access_key
        self._signer = key_signer(key) if key is not None else None
        self._clock = clock
        self._time = time or HubTime(clock)
        host = connection.host_name
        self._client = httpx.AsyncClient(
            base_url=f"https://{address or host}:{port}",
            verify=tls,
            timeout=REQUEST_TIMEOUT_S,
            headers={"Host": host},
            trust_env=False,
        )
        # Reached by address, the certificate is still the one of the hub's name.
        self._extensions = {"sni_hostname": host} if address and address != host else {}

    async def list(self) -> list[ModuleIdentity]:
        return [self._identity(item) for item in await self._call("GET", self._device.path + "/modules")]

    async def get(self, module: ModuleId) -> ModuleIdentity:
        return self._identity(await self._call("GET", self._path(module)))

    async def create(self, module: ModuleId, primary: str, secondary: str) -> ModuleIdentity:
        body = {
            "deviceId": self._device.device,
            "moduleId": module,
            "managedBy": MANAGED_BY,
            "authentication": {
                "type": "sas",
                "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary},
            },
        }
        return self._identity(await self._call("PUT", self._path(module), body))

    async def delete(self, module: ModuleId, etag: str) -> None:
        await self._call("DELETE", self._path(module), headers={"If-Match": f'"{etag}"' if etag else "*"})

    async def scope(self) -> Any:
        """The leaf devices of this device, as the hub lists them."""
        return await self._call("GET", self._device.path + "/modules/$edgeHub/devicesAndModulesInDeviceScope")

    async def close(self) -> None:
        await self._client.aclose()

    def _path(self, module: ModuleId) -> str:
        return f"{self._device.path}/modules/{quote(module, safe='')}"

    def _identity(self, document: Any) -> ModuleIdentity:
        keys = (document.get("authentication") or {}).get("symmetricKey") or {}
        if not (primary := keys.get("primaryKey")):
            raise NotAllowed(
                f"the hub gave no symmetric key for module {document.get('moduleId')}",
                hint="module identities of an edge device need authentication type sas",
            )
        return ModuleIdentity(
            ModuleId(document["moduleId"]),
            str(document.get("generationId") or ""),
            primary,
            keys.get("secondaryKey") or primary,
            document.get("managedBy") or "",
            document.get("etag") or "",
        )

    async def _call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Any:
        proof = {}
        if self._signer is not None:
            expiry = int(self._clock.now().timestamp()) + TOKEN_LIFE_S
            resource = self._device.resource(self._connection.host_name)
            proof["Authorization"] = make_token(resource, self._signer, expiry)
        try:
            response = await self._client.request(
                method,
                path,
                params={"api-version": API_VERSION},
                json=body,
                headers={**proof, **(headers or {})},
                extensions=self._extensions,
            )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the hub at {self._client.base_url} does not answer: {type(error).__name__}",
                hint="modules already known keep working; this is retried",
            ) from error
        self._time.heard(response.headers.get("date"))
        if response.status_code >= 300:
            raise _refusal(response, f"{method} {path}")
        return response.json() if response.content else None


def _refusal(response: httpx.Response, request: str) -> SkerryError:
    """The hub's refusal in the hub's own words (contract.md §4.1)."""
    try:
        said = str(response.json()["Message"])
    except (ValueError, KeyError, TypeError):
        said = ""
    name = response.headers.get("iothub-errorcode", "")
    what = " ".join(filter(None, [f"the hub answered {response.status_code}", name, f"to {request}"]))
    kind = _KINDS.get(response.status_code, Unavailable)
    reason = (said.partition(";")[2] or said)[:SAID_CHARS_MAX]
    return kind(f"{what}: {reason}" if reason else what, status=response.status_code)
