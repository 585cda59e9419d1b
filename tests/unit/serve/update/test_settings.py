"""Update settings come from the environment, or the variable that is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.errors import InvalidInput
from skerry.serve.environment import read_environment
from skerry.serve.update.settings import Fetching, UpdateSettings, read_update_settings

MB = 1024 * 1024


def test_without_a_state_folder_there_are_no_updates() -> None:
    assert read_update_settings({"SKERRY_UPDATE_HTTP": "anywhere"}, None) is None


def test_every_setting_is_read(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    environ = {
        "SKERRY_STATE_DIR": str(tmp_path),
        "SKERRY_UPDATE_CA_FILE": str(ca),
        "SKERRY_UPDATE_HTTP": "anywhere",
        "SKERRY_UPDATE_DOWNLOAD_MB": "5",
        "SKERRY_UPDATE_UNPACKED_MB": "6",
        "SKERRY_UPDATE_MEMORY_MB": "7",
        "SKERRY_UPDATE_RATE_KB": "8",
    }
    assert read_environment(environ, cpus=1).update == UpdateSettings(
        tmp_path, Fetching(5 * MB, 8 * 1024, True, ca), 6 * MB, 7 * MB
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SKERRY_UPDATE_HTTP", "yes"),
        ("SKERRY_UPDATE_RATE_KB", "-1"),
        ("SKERRY_UPDATE_MEMORY_MB", "1.5"),
        ("SKERRY_UPDATE_CA_FILE", "/nowhere/ca.pem"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        read_update_settings({"SKERRY_STATE_DIR": str(tmp_path), name: value}, None)
