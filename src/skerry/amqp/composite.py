"""Dataclasses as AMQP's described lists: fields by position, ``Annotated`` with their type on the wire.

A field that is not annotated takes any value; ``Array`` means one or many symbols. One without a default is
required.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeVar, cast, get_type_hints

from .fault import INVALID_FIELD, AmqpError
from .types import Array, Described, Sized, Symbol, ULong, Value, symbols

C = TypeVar("C", bound="Composite")
# Per class: name, type on the wire and whether it is required, of each field.
_LAYOUTS: dict[type, tuple[tuple[str, type, bool], ...]] = {}


@dataclass(frozen=True, slots=True)
class Composite:
    """One described list; ``CODE`` is the low half of its descriptor, ``NAME`` its symbolic form."""

    CODE: ClassVar[int] = 0
    NAME: ClassVar[str] = ""


def to_value(composite: Composite) -> Described:
    """The described list with every field present: some clients count them (contract.md §4.8)."""
    values = [_written(kind, getattr(composite, name)) for name, kind, _ in _layout(type(composite))]
    return Described(ULong(composite.CODE), values)


def from_value(kind: type[C], value: Value) -> C:
    """The dataclass of a described list; AmqpError when a field is missing or of another type."""
    if not isinstance(value, Described) or not is_a(kind, value):
        raise AmqpError(f"expected {kind.NAME}", INVALID_FIELD)
    return from_fields(kind, value.value)


def from_fields(kind: type[C], given: Value) -> C:
    """As ``from_value``, of the list alone."""
    layout = _layout(kind)
    if not isinstance(given, list) or len(given) > len(layout):
        raise AmqpError(f"{kind.NAME} is no list of at most {len(layout)} fields", INVALID_FIELD)
    values: dict[str, Any] = {}
    for (name, wanted, required), value in zip(layout, given, strict=False):
        if value is not None:
            values[name] = _read(kind, name, wanted, value)
        elif required:
            raise AmqpError(f"{kind.NAME} has no {name}", INVALID_FIELD)
    missing = [name for name, _, required in layout[len(given) :] if required]
    if missing:
        raise AmqpError(f"{kind.NAME} has no {missing[0]}", INVALID_FIELD)
    return cast(Callable[..., C], kind)(**values)


def is_a(kind: type[Composite], value: Described) -> bool:
    """Whether a described value is one of these, by number or by name."""
    return value.descriptor in (kind.CODE, kind.NAME)


def _layout(kind: type[Composite]) -> tuple[tuple[str, type, bool], ...]:
    if kind not in _LAYOUTS:
        hints = get_type_hints(kind, include_extras=True)
        _LAYOUTS[kind] = tuple(
            (one.name, _wire_type(hints[one.name]), one.default is MISSING) for one in fields(kind)
        )
    return _LAYOUTS[kind]


def _wire_type(hint: Any) -> type:
    found: type = getattr(hint, "__metadata__", (object,))[0]
    return found


def _written(kind: type, value: Any) -> Value:
    if value is None or kind is object:
        return value
    if kind is Array:
        return symbols(value) if value else None
    if issubclass(kind, (Sized, Symbol)):
        return kind(value)
    return value


def _read(owner: type[Composite], name: str, kind: type, value: Value) -> Any:
    if kind is object:
        return value
    if kind is Array:
        # One symbol may stand for an array of one (part 1 §1.4, "multiple").
        items = value.items if isinstance(value, Array) else (value,)
        if all(isinstance(item, Symbol) for item in items):
            return tuple(items)
    elif type(value) is kind:
        return value
    raise AmqpError(f"{owner.NAME} has a {name} of type {type(value).__name__}", INVALID_FIELD)
