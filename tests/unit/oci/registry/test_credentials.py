"""Logins out of Docker's configuration."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from skerry.errors import InvalidInput
from skerry.oci.registry.credentials import Login, config_directory, find_login


def coded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def configured(directory: Path, document: Any) -> Path:
    (directory / "config.json").write_text(json.dumps(document))
    return directory


def test_the_directory_is_dockers() -> None:
    assert config_directory({}, Path("/home/x")) == Path("/home/x/.docker")
    assert config_directory({"DOCKER_CONFIG": "/etc/d"}, Path("/home/x")) == Path("/etc/d")


def test_a_login_is_found_by_its_host(tmp_path: Path) -> None:
    auths = {
        "hub.plant:8443": {"auth": coded("pi", "a:b")},
        "https://old.example/v1/": {"auth": coded("me", "pw")},
        "token.example": {"identitytoken": "refresh"},
        "https://index.docker.io/v1/": {"auth": coded("docker", "hub")},
        "plain.example": {"username": "u", "password": "p"},
        "broken.example": {"auth": "not base64!"},
        "empty.example": {},
    }
    place = configured(tmp_path, {"auths": auths})
    assert find_login("hub.plant:8443", place) == Login("pi", "a:b")
    assert find_login("old.example", place) == Login("me", "pw")
    assert find_login("token.example", place) == Login("", "", "refresh")
    assert find_login("registry-1.docker.io", place) == Login("docker", "hub")
    assert find_login("plain.example", place) == Login("u", "p")
    for host in ("broken.example", "empty.example", "hub.plant", "hub.plant:443"):
        assert find_login(host, place) is None


def test_no_configuration_is_no_login_and_a_broken_one_is_said(tmp_path: Path) -> None:
    assert find_login("a", tmp_path) is None
    assert find_login("a", configured(tmp_path, [])) is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"config\.json"):
        find_login("a", tmp_path)


def helper(directory: Path, name: str, script: str) -> None:
    path = directory / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    helper(tmp_path, "mine", 'read host; [ $host = a.example ] && echo \'{"Username":"u","Secret":"s"}\'')
    helper(tmp_path, "cloud", 'echo \'{"Username":"<token>","Secret":"refresh"}\'')
    helper(tmp_path, "babble", "echo it is: s3cret")
    helpers = {"b.example": "cloud", "c.example": "babble", "d.example": "none", "e.example": "../x"}
    auths = {"f.example": {"auth": coded("f", "file")}}
    place = configured(tmp_path, {"credsStore": "mine", "credHelpers": helpers, "auths": auths})
    assert find_login("a.example", place) == Login("u", "s")
    assert find_login("b.example", place) == Login("", "", "refresh")
    assert find_login("f.example", place) == Login("f", "file")
    for host, what in (("c.example", "babble"), ("d.example", "not installed"), ("e.example", "not a")):
        with pytest.raises(InvalidInput, match=what) as refused:
            find_login(host, place)
        assert "s3cret" not in f"{refused.value} {refused.value.__cause__}"


def test_secrets_do_not_show() -> None:
    assert "s3cret" not in repr(Login("u", "s3cret", "s3cret"))
