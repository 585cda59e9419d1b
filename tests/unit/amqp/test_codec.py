"""AMQP values survive the wire; garbage gives our error and nothing else."""

from __future__ import annotations

import contextlib
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.amqp.codec import decode, decode_all, encode
from skerry.amqp.fault import AmqpError
from skerry.amqp.types import (
    Array,
    Byte,
    Char,
    Described,
    Float,
    Int,
    Long,
    Short,
    Sized,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Uuid,
)

WIDTHS: list[type[Sized]] = [UByte, UShort, UInt, ULong, Byte, Short, Int, Long, Timestamp]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
symbols = st.text(st.characters(max_codepoint=127), max_size=300).map(Symbol)
numbers = st.one_of([st.integers(kind.least, kind.most).map(kind) for kind in WIDTHS])
floats = st.floats(width=32, allow_nan=False).map(Float)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    floats,
    st.floats(allow_nan=False),
    texts,
    symbols,
    st.binary(max_size=300),
    st.binary(min_size=16, max_size=16).map(Uuid),
    st.characters(exclude_categories=["Cs"]).map(Char),
)
arrays = st.one_of(
    [
        st.lists(one, max_size=20).map(lambda items: Array(tuple(items)))
        for one in (texts, symbols, floats, st.integers(0, 2**32 - 1).map(UInt), st.booleans())
    ]
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars | arrays,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.dictionaries(symbols | texts.map(lambda text: "s" + text), inner, max_size=6),
        st.builds(Described, numbers | symbols, inner),
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down: ULong(1) is not UInt(1) here."""
    if type(left) is not type(right):
        return False
    match left:
        case list():
            return len(left) == len(right) and all(map(same, left, right))
        case dict():
            return same(list(left), list(right)) and same(list(left.values()), list(right.values()))
        case Described():
            return same(left.descriptor, right.descriptor) and same(left.value, right.value)
        case Array():
            return same(list(left.items), list(right.items))
        case _:
            return bool(left == right)


@given(values)
def test_a_value_is_read_back_with_its_types(value: Any) -> None:
    data = encode(value)
    back, end = decode(data)
    assert end == len(data)
    assert same(back, value)


@given(st.lists(values, max_size=3))
def test_values_that_follow_each_other_are_told_apart(several: list[Any]) -> None:
    assert same(decode_all(b"".join(map(encode, several))), several)


@given(st.binary(max_size=200))
def test_garbage_gives_our_error_only(data: bytes) -> None:
    with contextlib.suppress(AmqpError):
        decode_all(data)


@given(values, st.data())
def test_a_value_with_a_broken_byte_gives_a_value_or_our_error(value: Any, data: st.DataObject) -> None:
    raw = bytearray(encode(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(AmqpError):
        decode(bytes(raw))


@given(values)
def test_a_value_cut_short_is_an_error(value: Any) -> None:
    data = encode(value)
    with pytest.raises(AmqpError):
        decode(data[:-1])


def test_the_forms_that_clients_insist_on() -> None:
    """Small numbers in one byte, descriptors too (contract.md §4.8)."""
    assert encode(Described(ULong(0x10), [])) == bytes.fromhex("005310c00100")
    assert encode(UInt(0)) == bytes.fromhex("5200")
    assert encode(ULong(256)) == bytes.fromhex("800000000000000100")
    assert encode(Symbol("a")) == bytes.fromhex("a30161")
    assert encode(Int(-1)) == bytes.fromhex("54ff")
    assert decode(bytes.fromhex("45")) == ([], 1)
    assert decode(bytes.fromhex("43"))[0] == UInt(0)
    assert math.isnan(decode(b"\x72" + struct.pack(">f", math.nan))[0])


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "",
        "ff",
        "a1",
        "a105",
        "c0",
        "c00105",
        "c1024040" + "40",
        "c10301a00040",
        "c105044041404140"[:12],
        "f0000000050000ffff40",
        "a301ff",
        "a101ff",
        "7300110000",
        "00",
    ],
)
def test_what_is_not_amqp(hexadecimal: str) -> None:
    with pytest.raises(AmqpError):
        decode(bytes.fromhex(hexadecimal))


def test_nesting_is_bounded() -> None:
    deep: Any = None
    for _ in range(100):
        deep = [deep]
    with pytest.raises(AmqpError, match="deeper"):
        decode(encode(deep))


def test_a_number_that_does_not_fit_its_width_is_refused() -> None:
    for kind in WIDTHS:
        for value in (kind.least - 1, kind.most + 1):
            with pytest.raises(AmqpError):
                kind(value)
    wrong: list[Any] = [object(), 2**63, Uuid(b"short"), Char("ab"), Array((1, "a")), "\ud800", Symbol("ä")]
    for one in wrong:
        with pytest.raises(AmqpError):
            encode(one)
