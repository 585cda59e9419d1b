"""Settings: a TOML file under environment variables, as a frozen dataclass that is whole or refused."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from skerry.errors import InvalidInput, NotFound, SkerryError
from skerry.service.fields import Place, convert, convert_text

T = TypeVar("T")


def load(kind: type[T], path: Path | None, environ: Mapping[str, str], prefix: str) -> T:
    """An instance of the dataclass ``kind``: defaults, then the file's values, then the environment's.

    A field that is itself a dataclass is a TOML table. The environment variable of a field is
    ``PREFIX_SECTION_KEY`` in capitals; lists there are separated by commas, tables (``a=1,b=2``) too.
    Raises InvalidInput naming file, section, key, value and what is allowed; NotFound for a missing file.
    """
    document: Mapping[str, Any] = {} if path is None else _read(path)
    source = "" if path is None else str(path)
    return _build(kind, document, environ, Place(source, (), prefix))


def variables(kind: type[Any], prefix: str) -> list[str]:
    """Every environment variable that ``load`` looks at, for help texts and tests."""
    names: list[str] = []
    for field, annotation in _fields(kind):
        place = Place("", (field.name,), prefix)
        if _is_section(annotation):
            names += variables(annotation, place.variable)
        else:
            names.append(place.variable)
    return names


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound(
            f"no settings file {path}", hint="name another, or create it", path=str(path)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not TOML: {error}", file=str(path)) from error
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", file=str(path)) from error


def _build(kind: type[T], table: Mapping[str, Any], environ: Mapping[str, str], place: Place) -> T:
    fields = _fields(kind)
    names = [field.name for field, _ in fields]
    for key, value in table.items():
        if key not in names:
            raise place.inside(key).error(value, f"no such setting; there are: {', '.join(names)}")
    values: dict[str, Any] = {}
    for field, annotation in fields:
        inside = place.inside(field.name)
        if _is_section(annotation):
            section = table.get(field.name, {})
            if not isinstance(section, Mapping):
                raise inside.error(section, "a table")
            if field.name in table or _touched(annotation, environ, inside) or _required(field):
                values[field.name] = _build(annotation, section, environ, inside)
        elif inside.variable in environ:
            values[field.name] = convert_text(annotation, environ[inside.variable], inside)
        elif field.name in table:
            values[field.name] = convert(annotation, table[field.name], inside)
        elif _required(field):
            raise inside.missing()
    return _construct(kind, values, place)


def _construct(kind: type[T], values: Mapping[str, Any], place: Place) -> T:
    """The dataclass may check itself; its refusal gets the name of the place."""
    try:
        return kind(**values)
    except SkerryError as error:
        raise InvalidInput(f"{place.as_section}: {error.what}", hint=error.hint, **place.fields()) from error
    except ValueError as error:
        raise InvalidInput(f"{place.as_section}: {error}", **place.fields()) from error


def _fields(kind: type[Any]) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(kind)
    return [(field, hints[field.name]) for field in dataclasses.fields(kind) if field.init]


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def _touched(annotation: type[Any], environ: Mapping[str, str], place: Place) -> bool:
    return any(name in environ for name in variables(annotation, place.variable))


def _required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing
