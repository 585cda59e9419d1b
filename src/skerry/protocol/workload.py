"""What a module gets from the device it runs on: the workload API, a client (contract.md §3.1, §3.2)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from skerry.clock import Clock
from skerry.contract.credentials import make_token, string_to_sign
from skerry.contract.json_text import parse_json
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.errors import InvalidInput, NotAllowed, NotFound, SkerryError, TimedOut, Unavailable

from .client import DeviceClient
from .connect import MQTT_PORT, client_from_connection_string, tls_trusting
from .endpoint import Endpoint
from .exchange import ANSWER_BYTES_MAX, exchange
from .tokens import TOKEN_LIFETIME_S

API_VERSION = "2019-01-30"
ANSWER_TIMEOUT_S = 15.0
# Ours: the edge hub of a device that may not listen on 8883, as in simulations.
PORT_VARIABLE = "SKERRY_GATEWAY_MQTT_PORT"


class WorkloadClient:
    """Signs and trusts on behalf of one module; ``uri`` is ``unix:///path`` or ``http://host:port``."""

    def __init__(self, uri: str, module: str, generation: str, *, api_version: str = API_VERSION) -> None:
        self._where = urlsplit(uri)
        if self._where.scheme not in ("unix", "http"):
            raise InvalidInput("a workload URI starts with unix:// or http://", field="IOTEDGE_WORKLOADURI")
        self._uri = uri
        self._sign_path = f"/modules/{quote(module, safe='')}/genid/{quote(generation, safe='')}/sign"
        self._version = quote(api_version, safe="")

    async def sign(self, data: bytes) -> bytes:
        """HMAC-SHA256 of ``data`` with the module's key, which never leaves the device's daemon."""
        request = {"keyId": "primary", "algo": "HMACSHA256", "data": base64.b64encode(data).decode()}
        digest = await self._call("POST", self._sign_path, json.dumps(request).encode(), "digest")
        try:
            return base64.b64decode(digest, validate=True)
        except binascii.Error as exc:
            raise Unavailable("the workload API answered with a digest that is not base64") from exc

    async def trust_bundle(self) -> str:
        """The roots to trust the gateway by, as PEM."""
        return await self._call("GET", "/trust-bundle", b"", "certificate")

    async def _call(self, method: str, path: str, body: bytes, wanted: str) -> str:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                status, answer = await self._exchange(method, path, body)
        except TimeoutError as exc:
            raise TimedOut(f"the workload API did not answer within {ANSWER_TIMEOUT_S:g} s") from exc
        except OSError as exc:
            raise Unavailable(
                f"cannot reach the workload API at {self._uri}: {exc}", hint="is the device daemon up?"
            ) from exc
        document = _document(answer)
        if status >= 300:
            raise _refusal(status, str(document.get("message", "")))
        value = document.get(wanted)
        if not isinstance(value, str):
            raise Unavailable(f"the workload API answered without {wanted!r}")
        return value

    async def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        reader, writer = await self._connect()
        base = "" if self._where.scheme == "unix" else self._where.path.rstrip("/")
        target = f"{base}{path}?api-version={self._version}"
        return await exchange(reader, writer, method, target, self._where.hostname or "localhost", body)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._where.scheme == "unix":
            path = unquote(self._where.netloc + self._where.path)
            return await asyncio.open_unix_connection(path, limit=ANSWER_BYTES_MAX)
        return await asyncio.open_connection(
            self._where.hostname, self._where.port or 80, limit=ANSWER_BYTES_MAX
        )


class WorkloadTokens:
    """Tokens whose signatures the workload API makes."""

    def __init__(self, workload: WorkloadClient, clock: Clock, lifetime_s: int = TOKEN_LIFETIME_S) -> None:
        self._workload = workload
        self._clock = clock
        self._lifetime_s = lifetime_s

    async def token(self, resource: str) -> str:
        expiry = int(self._clock.now().timestamp()) + self._lifetime_s
        signature = await self._workload.sign(string_to_sign(quote(resource, safe=""), str(expiry)))
        return make_token(resource, lambda _: signature, expiry)


def _document(answer: bytes) -> dict[str, Any]:
    try:
        document = parse_json(answer)
    except SkerryError as exc:
        raise Unavailable("the workload API did not answer in JSON") from exc
    if not isinstance(document, dict):
        raise Unavailable("the workload API did not answer with an object")
    return document


def _refusal(status: int, message: str) -> SkerryError:
    text = f"the workload API refused with {status}: {message[:200]}"
    if status == 404:
        return NotFound(text, hint="does the deployment still have this module?")
    return NotAllowed(text) if status in (401, 403) else Unavailable(text)


def module_client_from_environment(environ: Mapping[str, str], clock: Clock) -> DeviceClient:
    """A client for the module this process is, by the variables of contract.md §3.1; not started yet.

    The workload API is asked for trust and signatures at each connection, so it need not be up yet, and a new
    root is picked up. InvalidInput names a variable that is missing.
    """
    if "IOTEDGE_WORKLOADURI" not in environ and "EdgeHubConnectionString" in environ:
        return _module_client_from_connection_string(environ, clock)
    identity = Identity(
        DeviceId(_needed(environ, "IOTEDGE_DEVICEID")), ModuleId(_needed(environ, "IOTEDGE_MODULEID"))
    )
    workload = WorkloadClient(
        _needed(environ, "IOTEDGE_WORKLOADURI"),
        _needed(environ, "IOTEDGE_MODULEID"),
        _needed(environ, "IOTEDGE_MODULEGENERATIONID"),
        api_version=environ.get("IOTEDGE_APIVERSION", API_VERSION),
    )
    gateway = _needed(environ, "IOTEDGE_GATEWAYHOSTNAME")
    port = _port(environ)

    async def endpoint() -> Endpoint:
        return Endpoint(gateway, port, tls_trusting(await workload.trust_bundle()), gateway)

    return DeviceClient(
        identity,
        _needed(environ, "IOTEDGE_IOTHUBHOSTNAME"),
        endpoint,
        WorkloadTokens(workload, clock),
        clock=clock,
    )


def _module_client_from_connection_string(environ: Mapping[str, str], clock: Clock) -> DeviceClient:
    """The fallback of Microsoft's SDKs for modules that run outside a device."""
    path = _needed(environ, "EdgeModuleCACertificateFile")
    try:
        with open(path, encoding="ascii") as file:
            ca_pem = file.read()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(
            f"cannot read {path}: {exc}", hint="EdgeModuleCACertificateFile names a PEM file", field="path"
        ) from exc
    text = environ["EdgeHubConnectionString"]
    return client_from_connection_string(text, clock, ca_pem=ca_pem, port=_port(environ))


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise InvalidInput(
            f"the environment has no {name}", hint="run as a module of an edge device", variable=name
        )
    return value


def _port(environ: Mapping[str, str]) -> int:
    text = environ.get(PORT_VARIABLE, str(MQTT_PORT))
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise InvalidInput(f"{PORT_VARIABLE} is no port", value=text, variable=PORT_VARIABLE)
    return int(text)
