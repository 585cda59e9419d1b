"""AMQP's types where Python has no own one, so that a value is written back as what it was read as."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from .fault import AmqpError

# Any value of AMQP (OASIS AMQP 1.0 part 1 §1.6): None, bool, float, str, bytes, list, dict and those below.
Value = Any


class Sized(int):
    """An integer of a fixed width; InvalidInput (AmqpError) when it does not fit."""

    least: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __new__(cls, value: int = 0) -> Sized:
        if not cls.least <= value <= cls.most:
            raise AmqpError(f"{value} is no {cls.__name__.lower()}")
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"


class UByte(Sized):
    least, most = 0, 2**8 - 1


class UShort(Sized):
    least, most = 0, 2**16 - 1


class UInt(Sized):
    least, most = 0, 2**32 - 1


class ULong(Sized):
    least, most = 0, 2**64 - 1


class Byte(Sized):
    least, most = -(2**7), 2**7 - 1


class Short(Sized):
    least, most = -(2**15), 2**15 - 1


class Int(Sized):
    least, most = -(2**31), 2**31 - 1


class Long(Sized):
    least, most = -(2**63), 2**63 - 1


class Timestamp(Sized):
    """Milliseconds since 1970, UTC."""

    least, most = -(2**63), 2**63 - 1


class Float(float):
    """A number of 32 bits; Python's own are doubles."""


class Char(str):
    """One Unicode character."""


class Symbol(str):
    """A name from a fixed vocabulary, ASCII."""


class Uuid(bytes):
    """Sixteen bytes; a value of its own because ids must be answered as they came."""


@dataclass(frozen=True, slots=True)
class Described:
    """A value with what it means."""

    descriptor: Value
    value: Value


@dataclass(frozen=True, slots=True)
class Array:
    """Values of one type."""

    items: tuple[Value, ...]


def symbols(names: Iterable[str]) -> Array:
    """An array of symbols."""
    return Array(tuple(Symbol(name) for name in names))
