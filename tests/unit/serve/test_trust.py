"""A device that trusts a key serves nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.errors import Damaged, InvalidInput, NotAllowed
from skerry.model.sign import generate_keys, sign_package
from skerry.serve.activation import activate
from skerry.serve.environment import read_environment
from skerry.serve.main import EXIT_MODEL, EXIT_SETTINGS, main
from tests.unit.serve.support import make_package, open_predictor


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A package that is not signed, and a trusted key."""
    make_package(tmp_path / "p")
    generate_keys(tmp_path / "k")
    return {"SKERRY_MODEL_DIR": str(tmp_path / "p"), "SKERRY_TRUSTED_KEYS": str(tmp_path / "k.pub")}


def test_a_signed_package_serves_and_an_unsigned_one_does_not(
    tmp_path: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    keys = read_environment(environ, 1).trusted_keys
    assert keys is not None
    with pytest.raises(NotAllowed, match="not signed"):
        activate(tmp_path / "p", open_predictor, trusted_keys=keys)
    assert main(environ) == EXIT_MODEL
    assert "the package is not signed" in capsys.readouterr().err
    sign_package(tmp_path / "p", tmp_path / "k")
    activated = activate(tmp_path / "p", open_predictor, trusted_keys=keys)
    assert activated.package.signed_by is not None
    activated.predictor.close()


def test_a_tampered_package_is_refused_by_name(tmp_path: Path, environ: dict[str, str]) -> None:
    sign_package(tmp_path / "p", tmp_path / "k")
    labels = tmp_path / "p" / "labels.json"
    labels.write_bytes(labels.read_bytes().replace(b"red", b"bed"))
    with pytest.raises(Damaged, match=r"labels\.json"):
        activate(tmp_path / "p", open_predictor, trusted_keys=read_environment(environ, 1).trusted_keys)


def test_a_key_file_that_is_missing_is_not_no_check(environ: dict[str, str]) -> None:
    broken = {**environ, "SKERRY_TRUSTED_KEYS": "/nowhere.pub"}
    with pytest.raises(InvalidInput, match="nowhere"):
        read_environment(broken, 1)
    assert main(broken) == EXIT_SETTINGS
