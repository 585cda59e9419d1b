"""JSON that a user gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.cli.documents import parse_json, read_json_file
from skerry.errors import InvalidInput


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for data in (b'{"a": [1, null]}', b'\xef\xbb\xbf{"a": [1, null]}'):
        (tmp_path / "d.json").write_bytes(data)
        assert read_json_file(tmp_path / "d.json") == {"a": [1, None]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"a":\n 1,}',
            "--payload: not JSON: Expecting property name enclosed in double quotes, line 2 column 4",
        ),
        ("", "--payload: not JSON: Expecting value, line 1 column 1"),
        ("NaN", "--payload: not JSON: NaN is not a JSON number"),
        ("[" * 5000, "--payload: JSON is nested too deeply"),
        (b"\xff", "--payload: JSON text is not UTF-8"),
    ],
)
def test_what_is_no_json_is_named_with_its_place(text: str | bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_json(text, "--payload")
    assert caught.value.what == said


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InvalidInput, match=f"cannot read {path}"):
            read_json_file(path)
