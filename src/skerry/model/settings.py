"""``model.toml``: what the user knows of a model, as data beside it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from skerry.errors import InvalidInput, NotFound
from skerry.model.labels import label_list, read_label_file
from skerry.model.outputs import OutputOptions
from skerry.model.recipe_options import RecipeOptions
from skerry.package.recipe import KINDS, Label, Scaling

FILE = "model.toml"
Toml = Any
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a ``model.toml`` says; ``source`` is the file, None without one."""

    source: Path | None = None
    head: str | None = None
    size: tuple[int, int] | None = None
    options: RecipeOptions = field(default_factory=RecipeOptions)
    outputs: Mapping[str, OutputOptions] = field(default_factory=dict)


def settings_beside(model: Path) -> Path | None:
    """``<model>.toml`` or ``model.toml`` in the model's folder, where there is one."""
    for path in (model.with_suffix(".toml"), model.parent / FILE):
        if path.is_file():
            return path
    return None


def read_settings(path: Path) -> ModelSettings:
    """The settings in ``path``; label files are named from its folder.

    NotFound without the file, InvalidInput naming the key that is unknown or has a wrong value.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as exc:
        raise NotFound(f"no settings file {path}", path=str(path)) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{path.name} is not TOML: {exc}", path=str(path)) from exc
    top = _Table(document, path.name, "", ("head", "input", "outputs"))
    given = top.table("input", _INPUT)
    size = given.get("size", _pair)
    tables = top.tables("outputs", ("kind", "labels", "top_k", "threshold"))
    outputs = {name: _output(table, path.parent) for name, table in tables.items()}
    return ModelSettings(path, top.get("head", _text), size, _options(given), outputs)


_INPUT = (
    *("colour", "exif", "crop", "pad_value", "resize", "size"),
    *("scaling", "scale", "offset", "mean", "std"),
)


class _Table:
    """One table of the file; InvalidInput names the key by its path."""

    def __init__(self, values: Mapping[str, Toml], file: str, path: str, known: tuple[str, ...]) -> None:
        self._values, self._file, self._path = values, file, path
        for key in values:
            if key not in known:
                raise InvalidInput(
                    f"{file}: there is no setting {self.name(key)}",
                    hint=f"known are {', '.join(self.name(k) for k in known)}",
                    path=self.name(key),
                )

    def name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def get(self, key: str, read: Callable[[Toml], Value]) -> Value | None:
        if key not in self._values:
            return None
        try:
            return read(self._values[key])
        except (TypeError, ValueError) as exc:
            raise InvalidInput(
                f"{self._file}: {self.name(key)} must be {exc}",
                path=self.name(key),
                value=self._values[key],
            ) from exc

    def table(self, key: str, known: tuple[str, ...]) -> _Table:
        return _Table(self.get(key, _mapping) or {}, self._file, self.name(key), known)

    def tables(self, key: str, known: tuple[str, ...]) -> dict[str, _Table]:
        """Tables by names of the user's own."""
        named = self.get(key, _mapping) or {}
        outer = _Table(named, self._file, self.name(key), tuple(named))
        return {name: outer.table(name, known) for name in named}


def _options(given: _Table) -> RecipeOptions:
    return RecipeOptions(
        crop=given.get("crop", _crop),
        resize=given.get("resize", _text),
        scaling=_scaling(given),
        colour=given.get("colour", _text),
        exif=given.get("exif", _flag),
        pad_value=given.get("pad_value", _whole),
    )


def _scaling(given: _Table) -> str | Scaling | None:
    """A name, or ``scale`` with ``offset``, or ``mean`` with ``std``, on pixels of 0..255."""
    named = given.get("scaling", _text)
    scale, offset = given.get("scale", _numbers), given.get("offset", _numbers)
    mean, std = given.get("mean", _numbers), given.get("std", _numbers)
    ways = [named is not None, scale is not None or offset is not None, mean is not None or std is not None]
    if sum(ways) > 1:
        raise InvalidInput(
            "input.scaling, input.scale with offset, and input.mean with std are three ways to say one thing",
            hint="keep one of them",
            path="input.scaling",
        )
    if mean is not None or std is not None:
        if mean is None or std is None:
            raise InvalidInput("input.mean and input.std belong together", path="input.mean")
        return Scaling.mean_std(mean, std)
    if scale is not None or offset is not None:
        return Scaling(scale or (1.0,), offset or (0.0,))
    return named


def _output(given: _Table, folder: Path) -> OutputOptions:
    return OutputOptions(
        given.get("kind", _kind),
        given.get("labels", lambda value: _labels(value, folder)),
        given.get("top_k", _whole),
        given.get("threshold", _number),
    )


def _labels(value: Toml, folder: Path) -> tuple[Label, ...]:
    if isinstance(value, str):
        return read_label_file(folder / value)
    if not isinstance(value, list):
        raise TypeError("a file, or a list of names")
    return label_list(value, FILE)


def _kind(value: Toml) -> str:
    if value not in KINDS:
        raise ValueError(f"one of {', '.join(KINDS)}")
    return str(value)


def _crop(value: Toml) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("a share such as 0.875, or fit, pad or none")
    return value


def _mapping(value: Toml) -> Mapping[str, Toml]:
    if not isinstance(value, dict):
        raise TypeError("a table")
    return value


def _text(value: Toml) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text that is not empty")
    return value


def _flag(value: Toml) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def _whole(value: Toml) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("a whole number from 0 on")
    return value


def _number(value: Toml) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number")
    return float(value)


def _numbers(value: Toml) -> tuple[float, ...]:
    return tuple(_number(item) for item in (value if isinstance(value, list) else [value]))


def _pair(value: Toml) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError("[height, width]")
    return _whole(value[0]), _whole(value[1])
