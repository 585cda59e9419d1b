"""The digital-twin view of a device: its twin as its DTDL model means it (contract.md §4.2).

IoT Plug and Play's conventions: a component is an object with ``"__t": "c"``; a writable property is reported
as ``{"value", "ac", "av", "ad"}``, an acknowledgement of the desired one.
"""

from __future__ import annotations

from typing import Any

from skerry.contract.names import DeviceId
from skerry.contract.twin import Document, Section, Twin
from skerry.errors import InvalidInput

COMPONENT_MARK = "__t"
_ACK = frozenset({"value", "ac", "av"})
_OPERATIONS = ("add", "replace", "remove")
PATCH_MAX = 100


def digital_twin(device: DeviceId, model_id: str, twin: Twin) -> Document:
    """What ``GET /digitaltwins/{id}`` shows."""
    root, metadata = _properties(_Part.of(twin.desired), _Part.of(twin.reported))
    for name in _components(twin):
        desired, reported = (_Part.of(section).inside(name) for section in (twin.desired, twin.reported))
        values, said = _properties(desired, reported)
        root[name] = {**values, "$metadata": said}
        metadata.pop(name, None)
    return {"$dtId": str(device), **root, "$metadata": {"$model": model_id, **metadata}}


def desired_patch(operations: Any, twin: Twin) -> Document:
    """The patch to desired properties that a JSON Patch of a digital twin means; raises InvalidInput."""
    if not isinstance(operations, list) or not 1 <= len(operations) <= PATCH_MAX:
        raise InvalidInput(f"a JSON Patch of 1 to {PATCH_MAX} operations is expected", path="")
    patch: Document = {}
    known = _components(twin)
    for at, one in enumerate(operations):
        steps, value = _operation(one, f"[{at}]")
        first, *rest = steps
        if not rest:
            is_component = isinstance(value, dict) and "$metadata" in value
            patch[first] = _component(value) if is_component else value
            continue
        inside = patch.get(first)
        target = inside if isinstance(inside, dict) else {}
        patch[first] = target
        # One step more names a component, unless a property is known there that is none.
        if first in known or not _is_property(first, twin):
            target.setdefault(COMPONENT_MARK, "c")
        for step in rest[:-1]:
            inner = target.get(step)
            target[step] = inner if isinstance(inner, dict) else {}
            target = target[step]
        target[rest[-1]] = value
    return patch


def method_name(component: str | None, command: str) -> str:
    """The direct method behind a command."""
    return command if component is None else f"{component}*{command}"


class _Part:
    """The values of a section, or of a component in it, with their metadata."""

    def __init__(self, values: Document, metadata: Document, version: int) -> None:
        self.values = values
        self.metadata = metadata
        self.version = version

    @classmethod
    def of(cls, section: Section) -> _Part:
        return cls(section.values, section.metadata, section.version)

    def inside(self, name: str) -> _Part:
        values, metadata = self.values.get(name), self.metadata.get(name)
        return _Part(
            values if isinstance(values, dict) else {},
            metadata if isinstance(metadata, dict) else {},
            self.version,
        )

    def stamp(self, name: str, key: str) -> Any:
        said = self.metadata.get(name)
        return said.get(key) if isinstance(said, dict) else None


def _properties(desired: _Part, reported: _Part) -> tuple[Document, Document]:
    """Values and metadata of what is directly in a part."""
    values: Document = {}
    metadata: Document = {}
    for name, value in reported.values.items():
        if name == COMPONENT_MARK or _is_component(value):
            continue
        said: Document = {"lastUpdateTime": reported.stamp(name, "$lastUpdated")}
        if isinstance(value, dict) and value.keys() >= _ACK:
            values[name] = value["value"]
            said |= {"ackVersion": value["av"], "ackCode": value["ac"]}
            said |= {"ackDescription": value["ad"]} if "ad" in value else {}
        else:
            values[name] = value
        metadata[name] = said
    for name, value in desired.values.items():
        if name == COMPONENT_MARK or _is_component(value):
            continue
        version = desired.stamp(name, "$lastUpdatedVersion")
        wanted = {"desiredValue": value, "desiredVersion": version or desired.version}
        metadata[name] = {**wanted, **metadata.get(name, {})}
    return values, metadata


def _components(twin: Twin) -> list[str]:
    found = {
        name: None
        for section in (twin.reported, twin.desired)
        for name, value in section.values.items()
        if _is_component(value)
    }
    return list(found)


def _is_component(value: Any) -> bool:
    return isinstance(value, dict) and value.get(COMPONENT_MARK) == "c"


def _is_property(name: str, twin: Twin) -> bool:
    return any(name in section.values for section in (twin.reported, twin.desired))


def _component(value: Document) -> Document:
    return {COMPONENT_MARK: "c", **{name: one for name, one in value.items() if name != "$metadata"}}


def _operation(operation: Any, path: str) -> tuple[list[str], Any]:
    if not isinstance(operation, dict) or operation.get("op") not in _OPERATIONS:
        raise InvalidInput(
            "an operation has op, path and value", hint="op: add, replace or remove", path=path
        )
    pointer = operation.get("path")
    steps = str(pointer).split("/")[1:] if isinstance(pointer, str) and pointer.startswith("/") else []
    # RFC 6901: ~1 is a slash, ~0 a tilde.
    names = [step.replace("~1", "/").replace("~0", "~") for step in steps]
    if not names or not all(names) or any(name.startswith("$") for name in names):
        raise InvalidInput(
            "the path names no property", hint="/property or /component/property", path=f"{path}.path"
        )
    if operation["op"] == "remove":
        return names, None
    if operation.get("value") is None:
        raise InvalidInput("there is no value", hint="op remove removes", path=f"{path}.value")
    return names, operation["value"]
