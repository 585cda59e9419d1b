"""Hubs by name: kept with strict rights, found again, forgotten; and which one a command uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from skerry.cli.login import CONNECTION_VARIABLE, hub_options, service_client
from skerry.cli.main import skerry_command
from skerry.cli.profiles import Profile, Profiles
from skerry.errors import AlreadyExists, InvalidInput, NotAllowed, NotFound

KEY = "c2VjcmV0LW9mLXRoZS1wbGFudA=="
TEXT = f"HostName=plant.example;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"


def of(name: str, host: str = "plant.example") -> Profile:
    return Profile(name, TEXT.replace("plant.example", host), 8443, "-----BEGIN CERTIFICATE-----\n")


def in_use(profiles: Profiles) -> str | None:
    return profiles.current


def test_the_first_profile_is_used_until_another_is_chosen(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path)
    assert profiles.names() == []
    assert in_use(profiles) is None
    profiles.add(of("plant"))
    profiles.add(of("lab", "lab.example"))
    assert profiles.names() == ["lab", "plant"]
    assert in_use(profiles) == "plant"
    profiles.use("lab")
    assert in_use(profiles) == "lab"
    assert profiles.get("lab").host == "lab.example"
    profiles.remove("lab")
    assert profiles.names() == ["plant"]
    assert in_use(profiles) is None


def test_a_key_is_readable_by_its_owner_only_or_not_used(tmp_path: Path) -> None:
    Profiles(tmp_path).add(of("plant"))
    file = tmp_path / "plant" / "connection-string"
    assert file.stat().st_mode & 0o777 == 0o600
    assert KEY not in repr(Profiles(tmp_path).get("plant"))
    file.chmod(0o640)
    with pytest.raises(NotAllowed, match="others can read"):
        Profiles(tmp_path).get("plant")


def test_names_that_are_taken_unknown_or_no_names(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path)
    profiles.add(of("plant"))
    with pytest.raises(AlreadyExists, match="plant"):
        profiles.add(of("plant"))
    profiles.add(Profile("plant", TEXT, 443, None), replace=True)
    assert profiles.get("plant") == Profile("plant", TEXT, 443, None)
    with pytest.raises(NotFound, match="lab") as missing:
        profiles.use("lab")
    assert "plant" in missing.value.hint
    for name in ("", "..", "a/b", "current", "x" * 65):
        with pytest.raises(InvalidInput):
            profiles.get(name)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKERRY_CONFIG_DIR", str(tmp_path))
    for name in ("SKERRY_PROFILE", CONNECTION_VARIABLE, "SKERRY_HUB_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str, text_in: str = "") -> str:
    done = CliRunner().invoke(skerry_command, arguments, input=text_in, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_profiles_are_managed_from_the_command_line_without_showing_a_key(config: Path) -> None:
    said = run("profile", "add", "plant", "--connection-string-file", "-", text_in=TEXT + "\n")
    assert said == "plant: plant.example as iothubowner, in use\n"
    listed = run("profile", "list", "--output", "json") + run("profile", "list")
    assert json.loads(listed.partition("]")[0] + "]")[0]["current"] is True
    assert KEY not in said + listed
    device = f"HostName=h;DeviceId=d;SharedAccessKey={KEY}"
    with pytest.raises(InvalidInput, match="device's"):
        run("profile", "add", "d", "--connection-string-file", "-", text_in=device)
    run("profile", "remove", "plant")
    assert json.loads(run("profile", "list", "--output", "json")) == []


def which(*arguments: str) -> str:
    """The host that a command with the hub's options would talk to."""

    @click.command()
    @hub_options
    def ask(hub_dir: Path | None, hub_port: int, hub_ca: Path | None) -> None:
        client = service_client(hub_dir, hub_port, hub_ca)
        click.echo(client.host_name)

    done = CliRunner().invoke(ask, arguments, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output.strip()


def test_a_named_profile_wins_over_the_environment_and_that_over_the_one_in_use(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profiles = Profiles.of_user(os.environ)
    for name in ("plant", "lab"):
        text = TEXT.replace("plant.example", f"{name}.example")
        profiles.add(Profile(name, text, 443, None))
    assert which() == "plant.example"
    monkeypatch.setenv(CONNECTION_VARIABLE, TEXT.replace("plant.example", "env.example"))
    assert which() == "env.example"
    assert which("--profile", "lab") == "lab.example"
    monkeypatch.setenv("SKERRY_PROFILE", "lab")
    assert which() == "lab.example"
    with pytest.raises(InvalidInput, match="two hubs"):
        which("--profile", "lab", "--hub-dir", str(tmp_path))
    with pytest.raises(NotFound, match="none-such"):
        which("--profile", "none-such")


@pytest.mark.parametrize(
    ("words", "offered"), [("skerry ed", "edge"), ("skerry edge supp", "support-bundle")]
)
def test_bash_completes_commands(words: str, offered: str) -> None:
    position = len(words.split()) - 1
    asked = f"COMP_WORDS=({words}); COMP_CWORD={position}; _skerry_completion skerry"
    script = "\n".join((run("completion", "bash"), asked, 'printf "%s\\n" "${COMPREPLY[@]}"'))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, check=True)
    assert offered in done.stdout.split()
