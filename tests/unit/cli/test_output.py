"""What people and scripts see."""

from __future__ import annotations

import inspect
import json

import pytest

from skerry import errors
from skerry.cli import output
from skerry.errors import InvalidInput, NotFound, SkerryError, StorageFull, Unsupported


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert output.table(["NAME", "N"], [("camera", 1), ("cnn", 22)]) == "NAME    N\ncamera  1\ncnn     22"


def test_a_table_has_no_trailing_blanks_and_may_be_empty() -> None:
    assert output.table(["A", "B"], [("x", "")]) == "A  B\nx"
    assert output.table(["A", "B"], []) == "A  B"


def test_every_kind_of_error_has_a_documented_exit_code() -> None:
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__
    ]
    missing = [kind for kind in kinds if kind is not SkerryError and kind not in output.EXIT_CODES]
    assert missing == []
    assert not {0, output.EXIT_FAILED, output.EXIT_USAGE} & set(output.EXIT_CODES.values())


def test_a_kind_of_a_kind_has_its_parents_exit_code() -> None:
    class Odd(Unsupported):
        pass

    assert output.exit_code(Odd("x")) == output.exit_code(Unsupported("x")) == 9
    assert output.exit_code(SkerryError("x")) == output.EXIT_FAILED


def test_an_error_is_shown_with_its_fields_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    error = InvalidInput(
        "routes.hot is no route", hint="FROM … INTO …", path="routes.hot", position=7, value=""
    )
    assert output.fail(error) == 3
    shown = capsys.readouterr()
    # The path stands in the first line, the value is empty: neither is shown again.
    assert shown.err == "skerry: routes.hot is no route\n  position: 7\n  hint: FROM … INTO …\n"
    assert shown.out == ""


@pytest.mark.parametrize(("error", "code"), [(NotFound("x"), 4), (StorageFull("x"), 8)])
def test_a_bare_error_is_one_line(error: SkerryError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert output.fail(error) == code
    assert capsys.readouterr().err == "skerry: x\n"


def test_json_is_for_scripts_and_a_log_line_stays_as_it_is(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    output.dump({"name": "Zelle ü"})
    output.raw(b"\xff raw")
    out = capsysbinary.readouterr().out
    assert json.loads(out.partition(b"\xff")[0]) == {"name": "Zelle ü"}
    assert out.endswith(b"\xff raw\n")
