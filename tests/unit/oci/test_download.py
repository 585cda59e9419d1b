from pathlib import Path

import pytest

from skerry.errors import Damaged, InvalidInput, NotFound, Unavailable
from skerry.oci.download import cached, fetch
from tests.unit.oci.builders import sha256, web_server


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_file_is_fetched_once_and_kept(tmp_path: Path) -> None:
    asked: list[str] = []
    with web_server({"/a": b"content"}, asked) as url:
        for _ in range(2):
            assert cached(tmp_path / "a", sha256(b"content"), f"{url}/a") == b"content"
    assert asked == ["/a"]


def test_damaged_file_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"rotten")
    with web_server({"/a": b"content"}, []) as url:
        assert cached(tmp_path / "a", sha256(b"content"), f"{url}/a") == b"content"
    assert (tmp_path / "a").read_bytes() == b"content"


def test_other_file_than_expected_is_damaged_and_not_kept(tmp_path: Path) -> None:
    with web_server({"/a": b"evil"}, []) as url, pytest.raises(Damaged):
        cached(tmp_path / "a", sha256(b"content"), f"{url}/a")
    assert list(tmp_path.iterdir()) == []


def test_vanished_file_is_not_found_at_once() -> None:
    asked: list[str] = []
    with web_server({}, asked) as url, pytest.raises(NotFound):
        fetch(f"{url}/a")
    assert asked == ["/a"]


def test_server_that_is_not_there_is_unavailable() -> None:
    with web_server({}, []) as url:
        pass
    with pytest.raises(Unavailable):
        fetch(f"{url}/a")


def test_only_http_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        fetch(tmp_path.as_uri())
