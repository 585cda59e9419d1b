"""The entry script of azureml-inference-server-http."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.peers.handle import handler

_handle: Callable[[bytes], list[list[float]]]


def init() -> None:
    """Called once by the server."""
    global _handle
    _handle = handler()


def _run(request: Any) -> list[list[float]]:
    return _handle(request.get_data())


run = import_module("azureml_inference_server_http.api.aml_request").rawhttp(_run)
