"""JSON from strangers is read within bounds or refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.json_text import JSON_DEPTH_MAX, compact, parse_json
from skerry.errors import InvalidInput, TooLarge

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(), c, max_size=3),
)


@given(JSON)
def test_json_reads_back(value: Any) -> None:
    assert parse_json(compact(value)) == value
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=30) | st.text(max_size=30))
def test_any_bytes_are_json_or_invalid_input(data: bytes | str) -> None:
    with suppress(InvalidInput):
        parse_json(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"{", b"NaN", b"[Infinity]", b"1 2", b"[" * 100_000, b"9" * 5000, b"[" * 66 + b"]" * 66],
)
def test_what_is_not_json_within_bounds_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_json(data)


def test_size_and_depth_are_bounded() -> None:
    assert parse_json("[" * JSON_DEPTH_MAX + "]" * JSON_DEPTH_MAX)
    with pytest.raises(TooLarge):
        parse_json(b"[1,2,3]", bytes_max=6)
