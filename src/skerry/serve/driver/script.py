"""One user's scoring script: loaded, initialised, called."""

from __future__ import annotations

import importlib.util
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

from skerry.errors import Damaged, InvalidInput, NotFound
from skerry.serve.driver.names import MODEL_DIR, Names, RawHttp
from skerry.serve.driver.request import AMLRequest
from skerry.serve.driver.response import FAILED, response_of
from skerry.serve.http.message import Request, Response

log = logging.getLogger(__name__)

# Word for word what Azure ML's server answers when a script fails (tutorial.md a.4).
SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."

# What a script can end with: sys.exit() in it must not end the module.
_ANY = (Exception, SystemExit)


class Script:
    """A script after its ``init()``; ``call`` blocks, one at a time."""

    def __init__(self, run: Callable[..., Any], *, raw: bool) -> None:
        names = list(inspect.signature(run).parameters)
        self._with_headers = "request_headers" in names
        first = next((name for name in names if name != "request_headers"), None)
        if first is None:
            raise InvalidInput("run() needs to accept an argument for input data", hint="def run(data):")
        self._run = run
        self._first = first
        self.raw = raw

    @classmethod
    def load(cls, path: Path, names: Names, raw: RawHttp, *, model_dir: Path) -> Script:
        """Import the script and run its ``init()``. Blocks.

        Raises NotFound, InvalidInput (no ``init`` or ``run``), Damaged (it raised; the log has the trace).
        """
        os.environ.setdefault(MODEL_DIR, str(model_dir))
        names.install()
        module = _import(path)
        for name in ("init", "run"):
            if not callable(getattr(module, name, None)):
                raise InvalidInput(f"{path.name} does not have a {name}() function", field="SKERRY_DRIVER")
        log.info("Invoking user's init function")
        try:
            module.init()
        except _ANY as exc:
            log.exception("init() failed")
            raise Damaged(f"init() of {path.name} failed: {exc!r}"[:300]) from exc
        log.info("Users's init has completed successfully")
        return cls(module.run, raw=raw.asked)

    def call(self, request: Request) -> Response:
        """What ``run()`` makes of the request; its failure is an answer too (status 500)."""
        arguments: dict[str, Any] = {}
        if self._with_headers:
            arguments["request_headers"] = dict(AMLRequest(request).headers)
        if self.raw:
            arguments[self._first] = AMLRequest(request)
        elif request.method == "GET":
            arguments[self._first] = json.dumps(_fields(request.query))
        else:
            try:
                arguments[self._first] = request.body.decode()
            except UnicodeDecodeError as exc:
                return _message(400, f"Input cannot be decoded as UTF-8: {exc}", failed=False)
        began = perf_counter()
        try:
            result = self._run(**arguments)
            return response_of(result, (perf_counter() - began) * 1000)
        except _ANY:
            log.exception("run() failed")
            return _message(500, SCRIPT_FAILED, failed=True)


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise NotFound(f"no driver {path}", hint="SKERRY_DRIVER is the path of a Python file")
    # Scripts import their neighbours: resnet152.py beside driver.py.
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location("skerry_driver", path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{path.name} is not a Python file", field="SKERRY_DRIVER")
    module = importlib.util.module_from_spec(spec)
    # Where pickle looks for the classes of a script.
    sys.modules["skerry_driver"] = module
    try:
        spec.loader.exec_module(module)
    except _ANY as exc:
        log.exception("%s cannot be imported", path)
        raise Damaged(f"{path.name} cannot be imported: {exc!r}"[:300]) from exc
    return module


def _fields(query: str) -> dict[str, Any]:
    """The query's fields, each as JSON where it is some; several of a name as a list."""
    found = {name: [_value(text) for text in texts] for name, texts in parse_qs(query).items()}
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _message(status: int, text: str, *, failed: bool) -> Response:
    body = json.dumps({"message": text}).encode()
    return Response(status, body, "application/json", ((FAILED, str(failed)),))
