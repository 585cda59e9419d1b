"""``--base``: a registry's image by digest, a file with one, and what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from skerry.cli import registry_login
from skerry.cli.model_base import base_image
from skerry.errors import Damaged, InvalidInput, NotFound
from skerry.oci.layout import read_layout
from skerry.service.files import write_atomic
from tests.unit.cli.test_model_push import pushed
from tests.unit.hub.containers.client import policy_login
from tests.unit.hub.running import running_hub
from tests.unit.oci.test_base_image import PYTHON, write_base


async def test_a_registrys_image_is_fetched_once_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = write_base(tmp_path / "base", PYTHON)
    digest = read_layout(layout).manifest_digest
    async with running_hub(tmp_path / "hub", containers_free_bytes_min=0) as hub:
        host = f"localhost:{hub.addresses.https_port}"
        user, key = policy_login(hub, "registryReadWrite")
        auths = {host: {"username": user, "password": key}}
        write_atomic(tmp_path / "docker/config.json", json.dumps({"auths": auths}).encode())
        write_atomic(tmp_path / "certs.d" / host / "ca.crt", hub.addresses.ca_file.read_bytes())
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
        monkeypatch.setattr(registry_login, "CERTIFICATES", tmp_path / "certs.d")
        await pushed(str(layout), f"{host}/bases/python:3.11")
        name = f"{host}/bases/python@{digest}"
        found = await asyncio.to_thread(base_image, name, "amd64", tmp_path / "cache")
        assert found is not None
        assert (found.digest, found.name, found.python) == (digest, name, "/usr/local/bin/python3.11")
        with pytest.raises(NotFound):
            await asyncio.to_thread(base_image, f"{name[:-4]}0000", "amd64", tmp_path / "cache")


def test_a_file_may_be_pinned(tmp_path: Path) -> None:
    layout = write_base(tmp_path / "base", PYTHON)
    digest = read_layout(layout).manifest_digest
    found = base_image(f"{layout}@{digest}", "amd64", tmp_path / "cache")
    assert found is not None
    assert found.digest == digest
    with pytest.raises(Damaged):
        base_image(f"{layout}@sha256:{'1' * 64}", "amd64", tmp_path / "cache")


def test_a_base_that_may_change_is_refused(tmp_path: Path) -> None:
    assert base_image(None, "amd64", tmp_path) is None
    for text in ("docker.io/library/python:3.11-slim", "python@sha256:" + "1" * 64):
        with pytest.raises(InvalidInput, match="not pinned"):
            base_image(text, "amd64", tmp_path)
