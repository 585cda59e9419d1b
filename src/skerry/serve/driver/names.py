"""The import names that scripts use, answered with ours: nothing of Azure ML's is in the image."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from skerry.serve.driver.request import AMLRequest
from skerry.serve.driver.response import AMLResponse

F = TypeVar("F", bound=Callable[..., Any])

# Where Azure ML's images tell scripts the models are.
MODEL_DIR = "AZUREML_MODEL_DIR"


class RawHttp:
    """Whether a script asked for the request itself; the decorator may stand anywhere in it."""

    def __init__(self) -> None:
        self.asked = False

    def rawhttp(self, run: F) -> F:
        """Decorates ``run`` to get the request instead of its body as text."""
        self.asked = True
        return run


class Model:
    """``azureml.core.model.Model``, as far as a script in an image uses it."""

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: object = None) -> str:
        """Where a model's file or folder is: ``<models>/<name>/<version>/…``, the newest unless it says.

        Raises FileNotFoundError.
        """
        place = Path(os.environ.get(MODEL_DIR, "azureml-models")) / Path(model_name).name
        versions = sorted((int(p.name) for p in place.glob("*") if p.name.isdecimal()), reverse=True)
        if version is not None:
            versions = [each for each in versions if each == version]
        if versions:
            place = place / str(versions[0])
        if not place.exists() or (version is not None and not versions):
            raise FileNotFoundError(f"no model {model_name} in {place.parent}")
        inside = sorted(place.iterdir()) if place.is_dir() else []
        return str(inside[0] if len(inside) == 1 else place)


def stand_ins(raw: RawHttp) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Modules by name: those that are always ours, and those that are ours unless really installed."""
    request = {"AMLRequest": AMLRequest, "rawhttp": raw.rawhttp}
    response = {"AMLResponse": AMLResponse}
    services, server = "azureml.contrib.services", "azureml_inference_server_http"
    ours: dict[str, dict[str, Any]] = {services: {}, server: {}, f"{server}.api": {}}
    for base in (services, f"{server}.api"):
        ours |= {f"{base}.aml_request": request, f"{base}.aml_response": response}
    return ours, {
        "azureml": {},
        "azureml.contrib": {},
        "azureml.core": {"Model": Model},
        "azureml.core.model": {"Model": Model},
    }


class Names:
    """The names, importable from ``install`` on; a process keeps them: scripts may import inside ``run``."""

    def __init__(self, raw: RawHttp) -> None:
        ours, missing = stand_ins(raw)
        self._first, self._last = _Finder(ours), _Finder(missing)
        self._names = [*ours, *missing]

    def install(self) -> None:
        """Ours before what is installed, the others after it."""
        sys.meta_path.insert(0, self._first)
        sys.meta_path.append(self._last)

    def remove(self) -> None:
        """As if never installed."""
        sys.meta_path.remove(self._first)
        sys.meta_path.remove(self._last)
        for name in self._names:
            module = sys.modules.get(name)
            if module is not None and isinstance(module.__spec__, _Spec):
                del sys.modules[name]


class _Spec(importlib.machinery.ModuleSpec):
    """Marks the modules that are ours."""


class _Finder(MetaPathFinder, Loader):
    def __init__(self, modules: dict[str, dict[str, Any]]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return _Spec(fullname, self, is_package=True) if fullname in self._modules else None

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self._modules[module.__name__])
