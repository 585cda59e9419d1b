"""A service's end of the hub's REST API, as the CLI and tests use it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from skerry.clock import Clock, SystemClock
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import DeviceId, ModuleId
from skerry.contract.provisioning import RegistrationId
from skerry.errors import InvalidInput, Unavailable
from skerry.hub.client_answers import as_list, as_object, error_of
from skerry.service.tls import client_context

API_VERSION = "2021-04-12"
HTTPS_PORT = 443
TOKEN_LIFETIME_S = 3600
# A method may wait for its device for 300 s and then for the answer as long (contract §4.3).
TIMEOUT_S = 30.0
# Twice the hub's keep-alive: a stream that is quiet for longer is dead.
STREAM_TIMEOUT_S = 30.0

Json = dict[str, Any]


class ServiceClient:
    """Verbs of the service API; raises our error kinds, Unavailable when the hub cannot be reached.

    ``connection_string`` is a policy's; ``ca_pem`` is the hub's root (PEM text). Close it, or use it as an
    async context.
    """

    def __init__(
        self,
        connection_string: str,
        https_port: int = HTTPS_PORT,
        ca_pem: str | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        parsed = ConnectionString.parse(connection_string)
        if parsed.shared_access_key_name is None or parsed.shared_access_key is None:
            raise InvalidInput(
                "this connection string is not a service's", hint="use one with SharedAccessKeyName"
            )
        self._host = parsed.host_name
        self._policy = parsed.shared_access_key_name
        self._sign = key_signer(parsed.shared_access_key)
        self._clock = clock or SystemClock()
        self._http = httpx.AsyncClient(
            base_url=f"https://{parsed.host_name}:{https_port}",
            verify=client_context(ca_pem, system_roots=ca_pem is None),
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    async def __aenter__(self) -> ServiceClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def host_name(self) -> str:
        """The hub's name, as in the connection string."""
        return self._host

    async def close(self) -> None:
        """Give up the connections."""
        await self._http.aclose()

    async def create_device(
        self,
        device: str,
        *,
        edge: bool = False,
        primary_key: str = "",
        secondary_key: str = "",
        authentication: Json | None = None,
    ) -> Json:
        """Register a device and return its document; keys that are not given are generated.

        ``authentication`` is for other ways than keys: ``{"type": "certificateAuthority"}``.
        """
        keys = {"primaryKey": primary_key, "secondaryKey": secondary_key}
        body = {
            "deviceId": device,
            "authentication": authentication or {"type": "sas", "symmetricKey": keys},
            "capabilities": {"iotEdge": edge},
        }
        return as_object(await self._call("PUT", _path(device), body))

    async def update_device(self, document: Json) -> Json:
        """Write back a device document as ``device`` gave it; raises PreconditionFailed when it is stale."""
        path = _path(str(document["deviceId"]))
        return as_object(await self._call("PUT", path, document, etag=str(document["etag"])))

    async def device(self, device: str) -> Json:
        """One device's document."""
        return as_object(await self._call("GET", _path(device)))

    async def devices(self, top: int = 1000) -> list[Json]:
        """The documents of all devices, at most ``top``."""
        return as_list(await self._call("GET", "/devices", query={"top": str(top)}))

    async def delete_device(self, device: str) -> None:
        """Remove a device with its modules."""
        await self._call("DELETE", _path(device), etag="*")

    async def device_connection_string(self, device: str) -> str:
        """The connection string by which a device with a key connects."""
        keys = (await self.device(device))["authentication"]["symmetricKey"]
        return ConnectionString.parse(
            f"HostName={self._host};DeviceId={device};SharedAccessKey={keys['primaryKey']}"
        ).render()

    async def create_module(self, device: str, module: str) -> Json:
        """Register a module and return its document."""
        body = {"deviceId": device, "moduleId": module, "authentication": {"type": "sas"}}
        return as_object(await self._call("PUT", _path(device, module), body))

    async def module(self, device: str, module: str) -> Json:
        """One module's document."""
        return as_object(await self._call("GET", _path(device, module)))

    async def modules(self, device: str) -> list[Json]:
        """The documents of a device's modules."""
        return as_list(await self._call("GET", f"{_path(device)}/modules"))

    async def delete_module(self, device: str, module: str) -> None:
        """Remove a module."""
        await self._call("DELETE", _path(device, module), etag="*")

    async def apply_configuration(self, device: str, manifest: Json) -> None:
        """Apply a deployment manifest to one edge device; nothing happens when any part of it is wrong."""
        await self._call("POST", f"{_path(device)}/applyConfigurationContent", manifest)

    async def put_configuration(self, name: str, document: Json, etag: str | None = None) -> Json:
        """Create (no ``etag``) or update a deployment at scale; returns it with its metrics."""
        return as_object(await self._call("PUT", _configuration_path(name), document, etag=etag))

    async def configuration(self, name: str) -> Json:
        """One deployment at scale with its metrics."""
        return as_object(await self._call("GET", _configuration_path(name)))

    async def configurations(self) -> list[Json]:
        """All deployments at scale by id."""
        return as_list(await self._call("GET", "/configurations"))

    async def delete_configuration(self, name: str) -> None:
        """Remove a deployment at scale; the next lower match applies where it did."""
        await self._call("DELETE", _configuration_path(name), etag="*")

    async def plan_configuration(self, name: str, document: Json) -> list[Json]:
        """What ``put_configuration`` would change, device by device; nothing is changed."""
        return as_list(await self._call("POST", f"{_configuration_path(name)}/plan", document))

    async def put_enrollment(
        self, name: str, document: Json, *, group: bool = False, etag: str | None = None
    ) -> Json:
        """Create (no ``etag``) or update an enrolment; returns it with its keys."""
        return as_object(await self._call("PUT", _enrollment_path(name, group), document, etag=etag))

    async def enrollment(self, name: str, *, group: bool = False) -> Json:
        """One enrolment, with what became of its device."""
        return as_object(await self._call("GET", _enrollment_path(name, group)))

    async def enrollment_attestation(self, name: str, *, group: bool = False) -> Json:
        """How its devices prove themselves, keys included."""
        return as_object(await self._call("POST", f"{_enrollment_path(name, group)}/attestationmechanism"))

    async def delete_enrollment(self, name: str, *, group: bool = False) -> None:
        """Remove an enrolment; devices that it brought stay."""
        await self._call("DELETE", _enrollment_path(name, group), etag="*")

    def enrollments(self, *, group: bool = False) -> AsyncGenerator[Json, None]:
        """Every enrolment of a kind by id."""
        return self._rows(f"/{'enrollmentGroups' if group else 'enrollments'}/query", "SELECT *")

    def registrations(self, group: str) -> AsyncGenerator[Json, None]:
        """What became of every device of an enrolment group."""
        return self._rows(f"/registrations/{quote(group, safe='')}/query", "SELECT *")

    async def provisioning(self) -> Json:
        """The id scope of the provisioning service, and whom it refused lately."""
        return as_object(await self._call("GET", "/provisioning"))

    def query(self, text: str, page: int = 1000) -> AsyncGenerator[Json, None]:
        """Every row of a query; raises InvalidInput with ``position``."""
        return self._rows("/devices/query", text, page)

    async def _rows(self, path: str, text: str, page: int = 1000) -> AsyncGenerator[Json, None]:
        more: str | None = None
        while True:
            headers = {"x-ms-max-item-count": str(page), **({"x-ms-continuation": more} if more else {})}
            response = await self._request("POST", path, {"query": text}, headers=headers)
            for row in as_list(response.json()):
                yield row
            more = response.headers.get("x-ms-continuation")
            if more is None:
                return

    async def put_certificate(self, name: str, certificate: str, *, verified: bool = False) -> Json:
        """Upload the certificate (PEM) of an authority that devices' certificates come from."""
        properties = {"certificate": certificate, "isVerified": verified}
        return as_object(await self._call("PUT", _certificate_path(name), {"properties": properties}))

    async def certificates(self) -> list[Json]:
        """The authorities by name."""
        return as_list(as_object(await self._call("GET", "/certificates")).get("value"))

    async def challenge_certificate(self, name: str) -> str:
        """A new verification code: the common name of a certificate that the authority has to issue."""
        path = f"{_certificate_path(name)}/generateVerificationCode"
        return str(as_object(await self._call("POST", path))["properties"]["verificationCode"])

    async def verify_certificate(self, name: str, proof: str) -> Json:
        """Show that certificate (PEM); devices may lean on the authority from then on."""
        return as_object(
            await self._call("POST", f"{_certificate_path(name)}/verify", {"certificate": proof})
        )

    async def delete_certificate(self, name: str) -> None:
        """Trust the authority no longer."""
        await self._call("DELETE", _certificate_path(name), etag="*")

    async def twin(self, device: str, module: str | None = None) -> Json:
        """A twin with tags, metadata and versions."""
        return as_object(await self._call("GET", _path(device, module, "/twins")))

    async def patch_twin(
        self,
        device: str,
        module: str | None = None,
        *,
        desired: Json | None = None,
        tags: Json | None = None,
        etag: str | None = None,
    ) -> Json:
        """Merge into desired properties and tags; returns the whole twin."""
        body: Json = {}
        if desired is not None:
            body["properties"] = {"desired": desired}
        if tags is not None:
            body["tags"] = tags
        return as_object(await self._call("PATCH", _path(device, module, "/twins"), body, etag=etag))

    async def invoke_method(
        self, device: str, request: MethodRequest, module: str | None = None
    ) -> MethodResponse:
        """What the device answered. Raises NotFound while it is not online, TimedOut without an answer."""
        wait_s = TIMEOUT_S + request.response_timeout_s + request.connect_timeout_s
        path = f"{_path(device, module, '/twins')}/methods"
        return MethodResponse.parse(await self._call("POST", path, request.to_json(), timeout_s=wait_s))

    async def ledger(self, device: str | None = None) -> list[Json]:
        """Per sender what was sent, received, lost, repeated, reordered, exactly."""
        query = {} if device is None else {"device": device}
        return as_list(await self._call("GET", "/ledger", query=query))

    async def events(
        self,
        start: str | int | None = "latest",
        *,
        device: str | None = None,
        module: str | None = None,
        source: str | None = None,
        group: str | None = None,
    ) -> AsyncGenerator[Json, None]:
        """Events after ``start`` (``earliest``, ``latest``, a sequence number, an ISO time), live, for ever.

        Without ``start``: after what the consumer ``group`` has committed.

        Raises Unavailable when the stream breaks: go on from the last ``sequence``.
        """
        begin = None if start is None else str(start)
        query = {"from": begin, "device": device, "module": module, "source": source, "group": group}
        given = {name: value for name, value in query.items() if value is not None}
        timeout = httpx.Timeout(TIMEOUT_S, read=STREAM_TIMEOUT_S)
        try:
            async with self._http.stream(
                "GET", "/events", params=given, headers=self._headers(), timeout=timeout
            ) as response:
                if response.is_error:
                    await response.aread()
                    raise error_of(response)
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))
        except httpx.TransportError as exc:
            raise self._unreachable(exc) from exc
        raise Unavailable("the hub ended the event stream", hint="go on from the last sequence number")

    async def commit(self, group: str, sequence: int | str) -> Json:
        """Move a consumer group's checkpoint; the first time makes the group."""
        return as_object(
            await self._call("PUT", f"/events/groups/{quote(group, safe='')}", {"sequence": sequence})
        )

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: dict[str, str] | None = None,
        etag: str | None = None,
    ) -> Any:
        """A call that has no verb above; the JSON it answers, ``None`` for nothing."""
        return await self._call(method, path, body, query=query, etag=etag)

    @asynccontextmanager
    async def download(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The content at a path, as it comes."""
        try:
            async with self._http.stream("GET", path, headers=self._headers()) as response:
                if response.is_error:
                    await response.aread()
                    raise error_of(response)
                yield response.aiter_bytes()
        except httpx.TransportError as exc:
            raise self._unreachable(exc) from exc

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        etag: str | None = None,
        query: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        headers = {} if etag is None else {"If-Match": etag if etag == "*" else f'"{etag}"'}
        response = await self._request(method, path, body, query=query, headers=headers, timeout_s=timeout_s)
        return response.json() if response.content else None

    async def _request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> httpx.Response:
        sent = {**self._headers(), **(headers or {})}
        parameters = {"api-version": API_VERSION, **(query or {})}
        try:
            response = await self._http.request(
                method, path, params=parameters, json=body, headers=sent, timeout=timeout_s
            )
        except httpx.TransportError as exc:
            raise self._unreachable(exc) from exc
        if response.is_error:
            raise error_of(response)
        return response

    def _headers(self) -> dict[str, str]:
        expiry = int(self._clock.now().timestamp()) + TOKEN_LIFETIME_S
        return {"Authorization": make_token(self._host, self._sign, expiry, self._policy)}

    def _unreachable(self, cause: httpx.TransportError) -> Unavailable:
        return Unavailable(
            f"cannot reach the hub at {self._http.base_url}: {cause or type(cause).__name__}",
            hint="is it running, and is this its host name, port and root certificate?",
        )


def _path(device: str, module: str | None = None, below: str = "/devices") -> str:
    # Checked here: an illegal id could name another resource.
    path = f"{below}/{quote(DeviceId(device), safe='')}"
    return path if module is None else f"{path}/modules/{quote(ModuleId(module), safe='')}"


def _configuration_path(name: str) -> str:
    return f"/configurations/{quote(name, safe='')}"


def _certificate_path(name: str) -> str:
    return f"/certificates/{quote(name, safe='')}"


def _enrollment_path(name: str, group: bool) -> str:
    return f"/{'enrollmentGroups' if group else 'enrollments'}/{quote(RegistrationId(name), safe='')}"
