"""The workload API: what a module may ask of the daemon, over a socket of its own (contract.md §3.3).

Who calls follows from the socket: it is mounted into one module only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from skerry.clock import Clock, iso
from skerry.contract.credentials import key_signer
from skerry.contract.json_text import compact, parse_json
from skerry.contract.names import Identity, ModuleId
from skerry.contract.workload import (
    ServerCertificateRequest,
    SignRequest,
    error_response,
    server_certificate_response,
    sign_response,
    trust_bundle_response,
)
from skerry.edge.daemon.identities import Identities, ModuleIdentity
from skerry.errors import InvalidInput, NotAllowed, NotFound, SkerryError, TooLarge
from skerry.service.certificates import Authority
from skerry.service.http import AsgiApp, ErrorMiddleware

BODY_BYTES_MAX = 1024 * 1024
NONCE_BYTES = 12
IDENTITY_VALID_S = 30 * 86_400.0
_STATUS: Mapping[type[SkerryError], int] = {InvalidInput: 400, TooLarge: 413, NotFound: 404, NotAllowed: 403}

ModuleList = Callable[[], list[dict[str, Any]]]


class WorkloadApi:
    """Answers for one module; its keys are used here and never leave."""

    def __init__(
        self,
        module: ModuleId,
        identities: Identities,
        authority: Authority,
        modules: ModuleList,
        clock: Clock,
    ) -> None:
        self._module = module
        self._identities = identities
        self._authority = authority
        self._modules = modules
        self._clock = clock

    def app(self) -> AsgiApp:
        """The ASGI application of this module's socket."""
        own = "/modules/{module}/genid/{generation}"
        routes = [
            Route("/trust-bundle", self._trust_bundle),
            Route("/manifest-trust-bundle", self._trust_bundle),
            Route("/modules", self._list),
            Route("/modules/", self._list),
            Route(own + "/sign", self._sign, methods=["POST"]),
            Route(own + "/encrypt", self._encrypt, methods=["POST"]),
            Route(own + "/decrypt", self._decrypt, methods=["POST"]),
            Route(own + "/certificate/server", self._server_certificate, methods=["POST"]),
            Route("/modules/{module}/certificate/identity", self._identity_certificate, methods=["POST"]),
        ]
        return Starlette(routes=routes, middleware=[Middleware(ErrorMiddleware, render=_render)])

    async def _trust_bundle(self, request: Request) -> Response:
        return JSONResponse(trust_bundle_response(self._authority.root_pem))

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"modules": self._modules()})

    async def _sign(self, request: Request) -> Response:
        identity = self._caller(request)
        wanted = SignRequest.parse(await _document(request))
        key = identity.secondary_key if wanted.key_id == "secondary" else identity.primary_key
        return JSONResponse(sign_response(key_signer(key)(wanted.data)))

    async def _encrypt(self, request: Request) -> Response:
        cipher, vector, document = await self._cipher(request)
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + cipher.encrypt(nonce, _bytes(document, "plaintext"), vector)
        return JSONResponse({"ciphertext": base64.b64encode(sealed).decode()})

    async def _decrypt(self, request: Request) -> Response:
        cipher, vector, document = await self._cipher(request)
        sealed = _bytes(document, "ciphertext")
        try:
            plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], vector)
        except (InvalidTag, ValueError) as error:
            raise InvalidInput("the ciphertext was not made by this module with this vector") from error
        return JSONResponse({"plaintext": base64.b64encode(plain).decode()})

    async def _cipher(self, request: Request) -> tuple[AESGCM, bytes, Any]:
        identity = self._caller(request)
        document = await _document(request)
        key = key_signer(identity.primary_key)(b"skerry workload encryption")
        return AESGCM(hashlib.sha256(key).digest()), _bytes(document, "initializationVector"), document

    async def _server_certificate(self, request: Request) -> Response:
        self._caller(request)
        wanted = ServerCertificateRequest.parse(await _document(request))
        name = self._module.removeprefix("$")
        dns, ips = (
            ([name], [wanted.common_name])
            if _is_address(wanted.common_name)
            else (
                [wanted.common_name, name],
                [],
            )
        )
        issued = self._authority.issue_server(
            wanted.common_name, dns, ips, self._seconds_until(wanted.expiration), key="rsa2048"
        )
        return _certificate(issued.cert_chain_pem, issued.key_pem, issued.not_after)

    async def _identity_certificate(self, request: Request) -> Response:
        self._check_module(request)
        issued = self._authority.issue_client(self._module, IDENTITY_VALID_S, key="rsa2048")
        return _certificate(issued.cert_chain_pem, issued.key_pem, issued.not_after)

    def _seconds_until(self, text: str) -> float:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise InvalidInput(f"{text!r} is no RFC 3339 time", path="expiration") from error
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - self._clock.now()).total_seconds()
        if seconds <= 0:
            raise InvalidInput("the expiration is in the past", path="expiration")
        return seconds

    def _caller(self, request: Request) -> ModuleIdentity:
        self._check_module(request)
        identity = self._identities.get(self._module)
        if request.path_params["generation"] != identity.generation_id:
            raise NotFound(f"module {self._module} has no such generation", module=self._module)
        return identity

    def _check_module(self, request: Request) -> None:
        if request.path_params["module"] != self._module:
            raise NotAllowed(f"this socket is module {self._module}'s", module=self._module)


def module_uri(hub: str, identity: Identity) -> str:
    """The name of a module in an identity certificate (contract.md §3.3)."""
    return f"azureiot://{hub}{identity.path}"


def _certificate(chain: str, key: str, not_after: datetime) -> Response:
    return JSONResponse(server_certificate_response(chain, key, iso(not_after)), status_code=201)


async def _document(request: Request) -> Any:
    # No Content-Type is demanded: Python's SDK sends none (contract.md §0 rule 7).
    return parse_json(await request.body(), bytes_max=BODY_BYTES_MAX)


def _bytes(document: Any, name: str) -> bytes:
    value = document.get(name) if isinstance(document, dict) else None
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except binascii.Error as error:
        raise InvalidInput(f"{name} has to be base64 text", path=name) from error


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _render(error: SkerryError) -> tuple[int, Mapping[str, str], bytes]:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return status, {"Content-Type": "application/json"}, compact(error_response(str(error))).encode()
