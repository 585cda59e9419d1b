"""Settings from file and environment."""

import enum
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from skerry.errors import InvalidInput, NotFound
from skerry.service.settings import load, variables


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Name(str):
    def __new__(cls, text: str) -> "Name":
        if not text.isidentifier():
            raise InvalidInput("not a name", hint="letters and digits")
        return super().__new__(cls, text)


@dataclass(frozen=True)
class Server:
    port: int = 443
    host: str = "localhost"
    tls: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidInput("port out of range", hint="0 to 65535")


@dataclass(frozen=True)
class Settings:
    name: Name
    folder: Path = Path("data")
    ratio: float = 0.5
    log_level: Literal["debug", "info"] = "info"
    colour: Colour = Colour.RED
    upstream: str | None = None
    api_key: int = 0
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    server: Server = field(default_factory=Server)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(textwrap.dedent(text))
    return path


def test_file_and_environment_make_one_value(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        name = "edge"
        folder = "/var/lib/x"
        ratio = 1
        colour = "blue"
        hosts = ["a", "b"]
        labels = {site = "roof"}
        [server]
        port = 8443
        """,
    )
    environ = {"T_SERVER_HOST": "0.0.0.0", "T_SERVER_TLS": "off", "T_PORTS": "1, 2", "T_LOG_LEVEL": "debug"}
    assert load(Settings, path, environ, "T") == Settings(
        name=Name("edge"),
        folder=Path("/var/lib/x"),
        ratio=1.0,
        log_level="debug",
        colour=Colour.BLUE,
        hosts=("a", "b"),
        ports=(1, 2),
        labels={"site": "roof"},
        server=Server(port=8443, host="0.0.0.0", tls=False),
    )


def test_the_environment_wins_and_suffices_alone() -> None:
    environ = {"T_NAME": "edge", "T_UPSTREAM": "hub", "T_LABELS": "a=1,b=2", "OTHER": "x"}
    settings = load(Settings, None, environ, "T")
    assert settings == Settings(Name("edge"), upstream="hub", labels={"a": "1", "b": "2"})
    assert load(Settings, None, environ | {"T_UPSTREAM": ""}, "T").upstream is None


@pytest.mark.parametrize(
    ("line", "place", "allowed"),
    [
        ("naem = 'x'", "naem", "no such setting; there are: name, folder"),
        ("server.prot = 1", "[server] prot", "port, host, tls"),
        ("server = 3", "server = 3", "a table"),
        ("server.port = '80'", "[server] port = '80'", "a whole number"),
        ("server.port = true", "[server] port = True", "a whole number"),
        ("server.tls = 1", "[server] tls = 1", "true or false"),
        ("server.port = 70000", "[server]", "0 to 65535"),
        ("ratio = 'x'", "ratio = 'x'", "a number"),
        ("log_level = 'loud'", "log_level = 'loud'", "one of debug, info"),
        ("colour = 'green'", "colour = 'green'", "one of red, blue"),
        ("hosts = 'a'", "hosts = 'a'", "a list of text"),
        ("hosts = [1]", "hosts = 1", "text"),
        ("labels = {a = 1}", "[labels] a = 1", "text"),
        ("upstream = 5", "upstream = 5", "text"),
        ("folder = 5", "folder = 5", "a path"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_allowed(
    tmp_path: Path, line: str, place: str, allowed: str
) -> None:
    path = write(tmp_path, f"name = 'edge'\n{line}\n")
    with pytest.raises(InvalidInput) as caught:
        load(Settings, path, {}, "T")
    assert f"{path} {place}" in str(caught.value)
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("T_SERVER_PORT", "many", "a whole number"),
        ("T_SERVER_TLS", "perhaps", "one of true, yes, on, 1"),
        ("T_PORTS", "1,x", "a whole number"),
        ("T_NAME", "a b", "letters and digits"),
        ("T_COLOUR", "green", "one of red, blue"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_allowed(variable: str, text: str, allowed: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(Settings, None, {"T_NAME": "edge", variable: text}, "T")
    assert caught.value.what.startswith(variable)
    assert allowed in caught.value.hint


def test_a_missing_setting_says_how_to_set_it() -> None:
    with pytest.raises(InvalidInput, match="T_NAME"):
        load(Settings, None, {}, "T")


def test_a_secret_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(Settings, write(tmp_path, "name = 'edge'\napi_key = 'hunter2'"), {}, "T")
    assert "hunter2" not in f"{caught.value}{caught.value.fields}"
    assert "api_key" in str(caught.value)


def test_files_that_are_missing_or_no_toml_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.toml"):
        load(Settings, tmp_path / "none.toml", {}, "T")
    with pytest.raises(InvalidInput, match=r"s\.toml is not TOML: .*line 1"):
        load(Settings, write(tmp_path, "name = ]"), {}, "T")


def test_every_variable_is_listed() -> None:
    names = variables(Settings, "T")
    assert names[:2] == ["T_NAME", "T_FOLDER"]
    assert names[-3:] == ["T_SERVER_PORT", "T_SERVER_HOST", "T_SERVER_TLS"]
