"""One setting's value: from TOML or text to the type its field declares."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skerry.errors import InvalidInput, SkerryError

SECRET_NAMES = ("key", "password", "secret", "token", "signature", "connection_string")
YES = ("true", "yes", "on", "1")
NO = ("false", "no", "off", "0")
SEQUENCES = (tuple, list, Sequence, frozenset)
MAPPINGS = (dict, Mapping)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value comes from: file, sections and key, or the environment."""

    file: str
    path: tuple[str, ...]
    prefix: str
    from_environment: bool = False

    def inside(self, key: str) -> Place:
        """The place of a key of this section."""
        return replace(self, path=(*self.path, key))

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return "_".join(filter(None, [self.prefix, *self.path])).upper()

    @property
    def as_section(self) -> str:
        """How to name it when it is a table: ``file [a.b]``."""
        return " ".join(
            filter(None, [self.file or "settings", f"[{'.'.join(self.path)}]" if self.path else ""])
        )

    def fields(self) -> dict[str, str]:
        """For the fields of an error."""
        section, key = ".".join(self.path[:-1]), self.path[-1] if self.path else ""
        return {"file": self.file, "section": section, "key": key}

    def error(self, value: object, allowed: str) -> InvalidInput:
        """``value`` is not what is ``allowed`` here; secrets are not repeated."""
        shown = "***" if self._is_secret() else repr(value)
        return InvalidInput(
            f"{self} = {shown} is not allowed",
            hint=f"allowed: {allowed}",
            value=shown,
            allowed=allowed,
            **self.fields(),
        )

    def missing(self) -> InvalidInput:
        """Nothing set it."""
        return InvalidInput(
            f"{self} is not set", hint=f"set it in the file or as {self.variable}", **self.fields()
        )

    def _is_secret(self) -> bool:
        return bool(self.path) and any(name in self.path[-1].lower() for name in SECRET_NAMES)

    def __str__(self) -> str:
        if self.from_environment:
            return self.variable
        if not self.path:
            return self.file or "settings"
        *section, key = self.path
        return " ".join(filter(None, [self.file, f"[{'.'.join(section)}]" if section else "", key]))


def convert(annotation: Any, value: Any, place: Place) -> Any:
    """``value`` as TOML gave it, as the type of the annotation; InvalidInput when it is another."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, place)
    if origin is typing.Literal:
        return _convert_choice(arguments, value, place)
    if origin in SEQUENCES:
        if not isinstance(value, list):
            raise place.error(value, describe(annotation))
        kind = list if origin is list else frozenset if origin is frozenset else tuple
        return kind(convert(arguments[0], item, place) for item in value)
    if origin in MAPPINGS:
        if not isinstance(value, Mapping):
            raise place.error(value, describe(annotation))
        return {key: convert(arguments[1], item, place.inside(key)) for key, item in value.items()}
    return _convert_plain(annotation, value, place)


def convert_text(annotation: Any, text: str, place: Place) -> Any:
    """``text`` from the environment as the type of the annotation."""
    place = replace(place, from_environment=True)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        if not text and type(None) in arguments:
            return None
        return convert_text(_only(arguments), text, place)
    if origin in SEQUENCES:
        items = [item.strip() for item in text.split(",") if item.strip()]
        return convert(annotation, [_plain_text(arguments[0], item, place) for item in items], place)
    if origin in MAPPINGS:
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        table = {key.strip(): _plain_text(arguments[1], value.strip(), place) for key, _, value in pairs}
        return convert(annotation, table, place)
    return convert(annotation, _plain_text(annotation, text, place), place)


def describe(annotation: Any) -> str:
    """What a person may write for it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(kind) for kind in arguments if kind is not type(None))
    if origin is typing.Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in SEQUENCES:
        return f"a list of {describe(arguments[0])}"
    if origin in MAPPINGS:
        return f"a table of {describe(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "one of " + ", ".join(str(member.value) for member in annotation)
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _convert_union(kinds: Sequence[Any], value: Any, place: Place) -> Any:
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return convert(kind, value, place)
        except InvalidInput as error:
            refusal = error
    raise refusal


def _convert_choice(choices: Sequence[Any], value: Any, place: Place) -> Any:
    if value not in choices:
        raise place.error(value, "one of " + ", ".join(map(str, choices)))
    return value


def _convert_plain(kind: Any, value: Any, place: Place) -> Any:
    wanted: tuple[type, ...] = (str,)
    if kind is float:
        wanted = (int, float)
    elif kind in (bool, int):
        wanted = (kind,)
    # TOML's true is no whole number, though Python's is.
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise place.error(value, describe(kind))
    return _construct(kind, value, place)


def _construct(kind: Callable[[Any], Any], value: Any, place: Place) -> Any:
    """Types that check themselves (DeviceId, Path, an Enum) are called with the text."""
    try:
        return kind(value)
    except SkerryError as error:
        raise place.error(value, error.hint or error.what) from error
    except ValueError as error:
        raise place.error(value, describe(kind)) from error


def _plain_text(kind: Any, text: str, place: Place) -> Any:
    if kind is bool:
        if text.lower() not in YES + NO:
            raise place.error(text, f"one of {', '.join(YES + NO)}")
        return text.lower() in YES
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as error:
            raise place.error(text, describe(kind)) from error
    return text


def _only(kinds: Sequence[Any]) -> Any:
    return next(kind for kind in kinds if kind is not type(None))
