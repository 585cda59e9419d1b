"""Asks a provisioning service over HTTPS which hub the device belongs to (contract.md §5.2)."""

from __future__ import annotations

import logging
import ssl
from typing import Any
from urllib.parse import quote

import httpx

from skerry.clock import Clock
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.contract.names import DeviceId
from skerry.edge.daemon.identity_source import DPS_API_VERSION, Dps
from skerry.errors import InvalidInput, NotAllowed, NotAuthenticated, NotFound, SkerryError, Unavailable

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 15.0
TOKEN_LIFE_S = 3600
POLICY = "registration"
# What to wait between two questions when the service does not say; it may say more, within reason.
POLL_S, POLL_MAX_S = 3.0, 30.0
POLLS_MAX = 40
SAID_CHARS_MAX = 300


class Registration:
    """One device at its provisioning service; ``tls`` shows its certificate if it has one."""

    def __init__(self, source: Dps, tls: ssl.SSLContext, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._client = httpx.AsyncClient(
            base_url=source.endpoint.rstrip("/"), verify=tls, timeout=REQUEST_TIMEOUT_S, trust_env=False
        )

    async def register(self) -> ConnectionString:
        """The device's identity at its hub.

        Raises Unavailable (try again), NotAuthenticated (not enrolled, or wrongly), NotAllowed (enrolled, and
        yet not assigned; the service's operator can see why).
        """
        name = self._source.name
        path = f"/{quote(name.id_scope, safe='')}/registrations/{quote(name.registration_id, safe='')}"
        body = {"registrationId": name.registration_id, "payload": self._source.payload}
        answer = await self._call("PUT", f"{path}/register", body)
        for _ in range(POLLS_MAX):
            document = _document(answer)
            if document.get("status") not in ("assigning", "unassigned"):
                return self._assigned(document)
            await self._clock.sleep(_wait_s(answer))
            operation = quote(str(document.get("operationId", "")), safe="")
            answer = await self._call("GET", f"{path}/operations/{operation}")
        raise Unavailable("the provisioning service does not come to an end", hint="this is retried")

    async def close(self) -> None:
        await self._client.aclose()

    def _assigned(self, document: dict[str, Any]) -> ConnectionString:
        state = document.get("registrationState") or {}
        if document.get("status") != "assigned":
            said = str(state.get("errorMessage") or "")[:SAID_CHARS_MAX]
            raise NotAllowed(
                f"the provisioning service did not assign {self._source.name.registration_id}: "
                f"{document.get('status')} {said}".rstrip(),
                hint="its operator can see why: skerry enrollment show",
            )
        try:
            host, device = str(state["assignedHub"]), DeviceId(state["deviceId"])
            return ConnectionString(
                host, device, shared_access_key=self._source.key, x509=self._source.key is None
            )
        except (KeyError, InvalidInput) as error:
            raise Unavailable("the provisioning service assigned no legal hub and device") from error

    async def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {}
        if self._source.key is not None:
            expiry = int(self._clock.now().timestamp()) + TOKEN_LIFE_S
            signer = key_signer(self._source.key)
            headers["Authorization"] = make_token(self._source.name.resource, signer, expiry, POLICY)
        try:
            response = await self._client.request(
                method, path, params={"api-version": DPS_API_VERSION}, json=body, headers=headers
            )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the provisioning service {self._source.endpoint} does not answer: {type(error).__name__}",
                hint="this is retried",
            ) from error
        if response.status_code >= 300:
            raise self._refusal(response)
        return response

    def _refusal(self, response: httpx.Response) -> SkerryError:
        name = self._source.name
        what = f"the provisioning service answered {response.status_code} to {name.registration_id}"
        match response.status_code:
            case 401 | 403:
                hint = f"is it enrolled in {name.id_scope}, with this key or certificate? is the clock right?"
                return NotAuthenticated(what, hint=hint, status=response.status_code)
            case 400 | 404:
                return NotFound(what, hint="check id scope and registration id", status=response.status_code)
            case _:
                return Unavailable(what, hint="this is retried", status=response.status_code)


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unavailable("the provisioning service answered with something else", hint="check its endpoint")
    return document


def _wait_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), POLL_MAX_S) if text.isdecimal() else POLL_S
