from pathlib import Path

import pytest

from skerry.errors import Damaged, InvalidInput, Unavailable
from skerry.oci.layer import File
from skerry.oci.requirements import Requirement
from skerry.oci.wheels import BASIC_WHEELS, SITE, fetch_wheels, locked, wheel_entries
from tests.unit.oci.builders import make_wheel, sha256

WHEEL = make_wheel(
    {
        "skerry_tiny.py": b"x = 1\n",
        "skerry_tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: skerry-tiny\nVersion: 1.0\n",
        "skerry_tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
)
TINY = Requirement("skerry-tiny", "1.0", frozenset({sha256(WHEEL)}))
NAME = "skerry_tiny-1.0-py3-none-any.whl"


def test_wheel_in_the_cache_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "wheels/amd64").mkdir(parents=True)
    (tmp_path / "wheels/amd64" / NAME).write_bytes(WHEEL)
    said: list[str] = []
    assert fetch_wheels([TINY], "amd64", tmp_path, said.append) == [WHEEL]
    assert said == []


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip that knows one directory of wheels and no index."""
    place = tmp_path / "links"
    place.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    return place


def test_wheel_is_fetched_by_pip_and_kept(tmp_path: Path, only: Path) -> None:
    (only / NAME).write_bytes(WHEEL)
    said: list[str] = []
    assert fetch_wheels([TINY], "arm64", tmp_path, said.append) == [WHEEL]
    assert said == ["fetching skerry-tiny 1.0"]
    (only / NAME).unlink()
    assert fetch_wheels([TINY], "arm64", tmp_path, said.append) == [WHEEL]
    assert len(said) == 1


def test_package_that_cannot_be_had_is_named(tmp_path: Path, only: Path) -> None:
    del only
    with pytest.raises(Unavailable, match="skerry-tiny") as caught:
        fetch_wheels([TINY], "amd64", tmp_path, lambda _: None)
    assert caught.value.fields["packages"] == ["skerry-tiny"]
    assert list((tmp_path / "wheels/amd64").iterdir()) == []


def test_wheel_with_another_hash_is_damaged(tmp_path: Path, only: Path) -> None:
    (only / NAME).write_bytes(make_wheel({"skerry_tiny-1.0.dist-info/METADATA": b"evil"}))
    with pytest.raises(Damaged):
        fetch_wheels([TINY], "amd64", tmp_path, lambda _: None)


def test_unknown_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        fetch_wheels([TINY], "riscv64", tmp_path, lambda _: None)


def test_files_that_no_module_loads_stay_out() -> None:
    wheel = make_wheel(
        {
            "tiny/__init__.py": b"1",
            "tiny/fast.so": b"2",
            "tiny/py.pyi": b"",
            "tiny/tests/test_it.py": b"",
            "tiny/tools/big.py": b"",
            "tiny-1.data/platlib/extra/mod.py": b"3",
            "tiny-1.data/scripts/tiny": b"",
            "tiny-1.dist-info/RECORD": b"",
            "tiny-1.dist-info/licenses/LICENSE": b"4",
        }
    )
    assert wheel_entries([wheel], drop=r"tiny/tools/.*") == [
        File(f"{SITE}/tiny/__init__.py", b"1"),
        File(f"{SITE}/tiny/fast.so", b"2"),
        File(f"{SITE}/extra/mod.py", b"3"),
        File(f"{SITE}/tiny-1.dist-info/licenses/LICENSE", b"4"),
    ]


def test_wheel_that_is_no_archive_is_damaged() -> None:
    with pytest.raises(Damaged):
        wheel_entries([b"no zip"], drop="(?!)")


def test_wheel_that_names_a_path_outside_is_refused() -> None:
    with pytest.raises(InvalidInput):
        wheel_entries([make_wheel({"../../etc/passwd": b""})], drop="(?!)")


def test_basic_wheels_are_all_locked() -> None:
    assert [item.name for item in locked(BASIC_WHEELS)] == list(BASIC_WHEELS.names)
