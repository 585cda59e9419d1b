"""Which hub a command talks to, and secrets that come by file or pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from skerry.cli.login import CONNECTION_VARIABLE, secret_from, service_client
from skerry.errors import InvalidInput, NotFound

TEXT = "HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey=a2V5"


def test_a_secret_comes_from_a_file_without_the_line_end(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(f"  {TEXT}\n\n")
    assert secret_from(str(tmp_path / "s")) == TEXT


def test_a_secret_comes_from_the_first_line_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TEXT}\nmore\n"))
    assert secret_from("-") == TEXT


@pytest.mark.parametrize("data", [None, b"\xff\xfe"], ids=["no file", "no text"])
def test_a_secret_that_cannot_be_read_is_said_without_it(data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "s").write_bytes(data)
    with pytest.raises(InvalidInput, match=r"cannot read .*or - for standard input"):
        secret_from(str(tmp_path / "s"))


async def test_the_environment_names_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, TEXT)
    client = service_client(None, 443, None)
    await client.close()
    # A folder that was given is the stronger one.
    with pytest.raises(NotFound, match="no hub in"):
        service_client(tmp_path, 443, None)
    monkeypatch.delenv(CONNECTION_VARIABLE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match="no hub in skerry-hub"):
        service_client(None, 443, None)


def test_a_root_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, TEXT)
    (tmp_path / "ca.pem").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match=r"ca\.pem"):
        service_client(None, 443, tmp_path / "ca.pem")
