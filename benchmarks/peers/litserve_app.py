"""LitServe: its requests are JSON, so the body travels in base64."""

from __future__ import annotations

import base64
import os
import sys
from importlib import import_module
from typing import Any

from benchmarks.peers.handle import handler

litserve: Any = import_module("litserve")


def _setup(self: Any, _device: str) -> None:
    self.handle = handler()


def _decode(_self: Any, request: Any) -> bytes:
    return base64.b64decode(request["body"])


def _predict(self: Any, body: bytes) -> Any:
    return self.handle(body)


def _encode(_self: Any, found: Any) -> Any:
    return {"classes": found}


# Without a type it is what came; as text it would be a query parameter.
_decode.__annotations__ = {}
Api = type(
    "Api",
    (litserve.LitAPI,),
    {
        "__module__": __name__,
        "setup": _setup,
        "decode_request": _decode,
        "predict": _predict,
        "encode_response": _encode,
    },
)

if __name__ == "__main__":
    server = litserve.LitServer(
        Api(api_path="/score"), accelerator="cpu", workers_per_device=int(os.environ["PEER_WORKERS"])
    )
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning")
