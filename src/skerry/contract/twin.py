"""The device twin: merge patches, versions, the metadata that mirrors the tree (contract.md §2.6, §4.3)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from skerry.contract.json_text import Json, compact
from skerry.errors import InvalidInput, TooLarge

# edgeHub's limits on a twin document (contract.md §2.6).
TWIN_DEPTH_MAX = 10
NAME_BYTES_MAX = 1024
STRING_BYTES_MAX = 4096
INTEGER_MAX = 2**52
TWIN_BYTES_MAX = 32 * 1024
FIRST_VERSION = 1

Document = dict[str, Any]
# What the hub itself writes into a section; a client that sends a whole section back sends them too.
_OURS = frozenset({"$metadata", "$version"})
_ILLEGAL_NAME = re.compile(r"[.$#\s\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Section:
    """Desired or reported properties, with the metadata tree and the version of the last change."""

    values: Document
    metadata: Document
    version: int


@dataclass(frozen=True, slots=True)
class Twin:
    """The whole twin; ``version`` and ``etag`` change with tags and desired properties."""

    tags: Document
    desired: Section
    reported: Section
    version: int
    etag: str


def empty_section(now: str) -> Section:
    """A new section at version 1; ``now`` as clock.iso writes it."""
    return Section({}, _stamp(now, FIRST_VERSION), FIRST_VERSION)


def merge(document: Document, patch: Document) -> Document:
    """``document`` with ``patch`` applied as RFC 7396 says: objects merge, null deletes. Mutates neither."""
    result = dict(document)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            old = result.get(name)
            result[name] = merge(old if isinstance(old, dict) else {}, value)
        else:
            result[name] = value
    return result


def difference(old: Document, new: Document) -> Document:
    """The smallest patch that turns ``old`` into ``new`` (both without nulls): merge(old, it) == new."""
    patch: Document = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            changes = difference(before, value)
            if changes:
                patch[name] = changes
        elif name not in old or not same(before, value):
            patch[name] = value
    return patch


def same(left: Json, right: Json) -> bool:
    """Whether two JSON values are equal as JSON: unlike in Python, true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def patch_section(section: Section, patch: Document, now: str) -> Section:
    """The section one version later, the touched part of its metadata stamped with ``now``."""
    patch = _without_ours(patch)
    version = section.version + 1
    metadata = _patch_metadata(section.metadata, patch, now, version)
    return Section(merge(section.values, patch), metadata, version)


def replace_section(section: Section, values: Document, now: str) -> tuple[Section, Document]:
    """The section with exactly ``values`` one version later, and the patch that a connected device gets."""
    values = merge({}, _without_ours(values))
    version = section.version + 1
    metadata = _patch_metadata({}, values, now, version)
    return Section(values, metadata, version), difference(section.values, values)


def validate_patch(patch: Json, *, name: str = "properties.reported") -> None:
    """Raise InvalidInput (``path``, ``value``, ``hint``) or TooLarge unless ``patch`` may enter a twin.

    ``name`` is where the patch goes, the start of every path named.
    """
    if not isinstance(patch, dict):
        raise InvalidInput("a twin patch is a JSON object", path=name, value=_shown(patch))
    values = _without_ours(patch)
    for key, value in values.items():
        _check_member(key, value, f"{name}.{_shown(key)}", 1)
    size = len(compact(values).encode("utf-8"))
    if size > TWIN_BYTES_MAX:
        raise TooLarge("twin document is too large", path=name, bytes=size, bytes_max=TWIN_BYTES_MAX)


def device_view(twin: Twin) -> Document:
    """The twin as a device gets it: versions inside, no metadata (contract.md §0 rule 6)."""
    return {
        "desired": {**twin.desired.values, "$version": twin.desired.version},
        "reported": {**twin.reported.values, "$version": twin.reported.version},
    }


def service_view_properties(twin: Twin) -> Document:
    """The ``properties`` of the twin as a service gets it: with ``$metadata`` and ``$version``."""
    return {"desired": _service_section(twin.desired), "reported": _service_section(twin.reported)}


def _service_section(section: Section) -> Document:
    return {**section.values, "$metadata": section.metadata, "$version": section.version}


def _without_ours(patch: Document) -> Document:
    return {name: value for name, value in patch.items() if name not in _OURS}


def _stamp(now: str, version: int) -> Document:
    return {"$lastUpdated": now, "$lastUpdatedVersion": version}


def _patch_metadata(metadata: Document, patch: Document, now: str, version: int) -> Document:
    """The metadata after ``patch``: every object on the way to a change carries the change's stamp."""
    result = {**metadata, **_stamp(now, version)}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = _patch_metadata(metadata.get(name, {}), value, now, version)
        else:
            result[name] = _stamp(now, version)
    return result


def _check_member(name: str, value: Json, path: str, depth: int) -> None:
    if depth > TWIN_DEPTH_MAX:
        raise InvalidInput("twin is nested too deeply", hint=f"at most {TWIN_DEPTH_MAX} levels", path=path)
    if not name or _ILLEGAL_NAME.search(name) or _bytes(name, path) > NAME_BYTES_MAX:
        raise InvalidInput(
            "illegal property name",
            hint=f"1 to {NAME_BYTES_MAX} bytes, without . $ # blanks or control characters",
            path=path,
            value=_shown(name),
        )
    _check_value(value, path, depth)


def _check_value(value: Json, path: str, depth: int) -> None:
    match value:
        case None | bool():
            return
        case str():
            if _bytes(value, path) > STRING_BYTES_MAX:
                raise InvalidInput("string is too long", hint=f"at most {STRING_BYTES_MAX} bytes", path=path)
        case int():
            if abs(value) > INTEGER_MAX:
                raise InvalidInput("integer is out of range", hint="within ±2^52", path=path)
        case float():
            if not math.isfinite(value):
                raise InvalidInput("number is not finite", path=path, value=str(value))
        case dict():
            for key, child in value.items():
                _check_member(key, child, f"{path}.{_shown(key)}", depth + 1)
        case list():
            _check_array(value, path, depth + 1)
        case _:
            raise InvalidInput("value is not JSON", path=path, value=type(value).__name__)


def _check_array(values: list[Json], path: str, depth: int) -> None:
    if depth > TWIN_DEPTH_MAX:
        raise InvalidInput("twin is nested too deeply", hint=f"at most {TWIN_DEPTH_MAX} levels", path=path)
    for index, value in enumerate(values):
        place = f"{path}[{index}]"
        if value is None:
            raise InvalidInput("an array may not hold null", path=place)
        _check_value(value, place, depth)


def _bytes(text: str, path: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as exc:
        raise InvalidInput("text is not Unicode", path=path) from exc


# Enough of a value to recognise it in an error.
SHOWN_CHARS_MAX = 80


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "…"
