"""The Open Inference Protocol's gRPC service, listening beside HTTP."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from skerry import __version__
from skerry.errors import InvalidInput, NotFound, SkerryError, Throttled, TooLarge, Unavailable, Unsupported
from skerry.serve.fronts.answers import Plane
from skerry.serve.fronts.inference import EXTENSIONS, ModelVerbs
from skerry.serve.http.limits import MIB
from skerry.serve.rpc.messages import infer_response, input_of, outputs_of
from skerry.serve.rpc.schema import CLASSES, SERVICE, Message

log = logging.getLogger(__name__)

FRONT = "grpc"

# As over HTTP: six full-size photographs fit. gRPC's own default of 4 MiB holds one.
MESSAGE_BYTES_MAX = 32 * MIB

# Calls at work or waiting; more are refused by gRPC itself (RESOURCE_EXHAUSTED).
CALLS_MAX = 256

CODES: tuple[tuple[type[SkerryError], grpc.StatusCode], ...] = (
    (Throttled, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (Unsupported, grpc.StatusCode.UNIMPLEMENTED),
    (TooLarge, grpc.StatusCode.OUT_OF_RANGE),
    (InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
)

Verb = Callable[[Message], Awaitable[Message]]


class RpcListener:
    """A running server; ``port`` is the real one also when 0 was asked for."""

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self._server = server
        self.port = port

    @classmethod
    async def start(cls, plane: Plane, *, host: str = "127.0.0.1", port: int = 0) -> RpcListener:
        """Serve in the running loop. Raises Unavailable when the address is taken or not ours."""
        server = grpc.aio.server(
            maximum_concurrent_rpcs=CALLS_MAX,
            options=(
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                # Two processes at one port by accident would halve the requests of each.
                ("grpc.so_reuseport", 0),
            ),
        )
        verbs = _Verbs(plane)
        handlers = {
            name: _handler(getattr(verbs, method), f"{name}Request", f"{name}Response")
            for name, method in METHODS.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as exc:
            raise Unavailable(
                f"cannot listen on {address} for gRPC", hint="choose another SKERRY_GRPC_PORT"
            ) from exc
        await server.start()
        return cls(server, bound)

    async def close(self, graceful_s: float = 5.0) -> None:
        """Accept nothing more; let running calls end for ``graceful_s`` seconds, then cut them off."""
        await self._server.stop(graceful_s)


METHODS = {
    "ServerLive": "live",
    "ServerReady": "ready",
    "ModelReady": "model_ready",
    "ServerMetadata": "server",
    "ModelMetadata": "model",
    "ModelInfer": "infer",
}


class _Verbs:
    def __init__(self, plane: Plane) -> None:
        self._verbs = ModelVerbs(plane, FRONT)

    async def live(self, _request: Message) -> Message:
        return CLASSES["ServerLiveResponse"](live=True)

    async def ready(self, _request: Message) -> Message:
        return CLASSES["ServerReadyResponse"](ready=True)

    async def model_ready(self, request: Message) -> Message:
        self._verbs.check(request.name, request.version)
        return CLASSES["ModelReadyResponse"](ready=True)

    async def server(self, _request: Message) -> Message:
        return CLASSES["ServerMetadataResponse"](name="skerry", version=__version__, extensions=EXTENSIONS)

    async def model(self, request: Message) -> Message:
        self._verbs.check(request.name, request.version)
        return CLASSES["ModelMetadataResponse"](**self._verbs.metadata())

    async def infer(self, request: Message) -> Message:
        self._verbs.check(request.model_name, request.model_version)
        given, asked = input_of(request), outputs_of(request)
        found = await self._verbs.infer(asked, given, binary=bool(request.raw_input_contents))
        return infer_response(request, found.outputs, found.provenance)


def _handler(verb: Verb, request: str, response: str) -> grpc.RpcMethodHandler:
    async def answer(asked: Message, context: Any) -> Message:
        try:
            return await verb(asked)
        except SkerryError as exc:
            code = next((code for kind, code in CODES if isinstance(exc, kind)), grpc.StatusCode.INTERNAL)
            if code is grpc.StatusCode.INTERNAL:
                log.error("scoring failed: %s", exc)
            return await context.abort(code, str(exc))

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=CLASSES[request].FromString,
        response_serializer=CLASSES[response].SerializeToString,
    )
