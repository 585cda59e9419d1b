from pathlib import Path

import pytest

from skerry.errors import InvalidInput
from skerry.oci.requirements import Requirement, parse_lock, pick
from skerry.oci.wheels import MODULE_LOCK

A, B = "a" * 64, "b" * 64
TEXT = f"""\
# a comment
Typing_Extensions==4.16.0 \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
h11==0.16.0 --hash=sha256:{A}
"""


def test_lock_is_read_by_normalised_name() -> None:
    assert parse_lock(TEXT) == {
        "typing-extensions": Requirement("typing-extensions", "4.16.0", frozenset({A, B})),
        "h11": Requirement("h11", "0.16.0", frozenset({A})),
    }


def test_requirement_renders_as_pip_reads_it() -> None:
    lock = parse_lock(TEXT)
    assert parse_lock("\n".join(str(item) for item in lock.values())) == lock


@pytest.mark.parametrize("line", ["h11>=0.16", "h11==0.16.0", "-r other.txt", "h11==0.16.0 --hash=md5:12"])
def test_line_without_pin_and_hash_is_refused(line: str) -> None:
    with pytest.raises(InvalidInput):
        parse_lock(line)


def test_missing_requirement_is_named() -> None:
    with pytest.raises(InvalidInput, match="numpy"):
        pick(parse_lock(TEXT), ["h11", "numpy"])


def test_modules_run_the_versions_that_the_project_is_tested_with() -> None:
    project = parse_lock((Path(__file__).parents[3] / "requirements-dev.lock").read_text())
    shipped = parse_lock(MODULE_LOCK.read_text())
    assert {name: project[name] for name in shipped} == shipped
