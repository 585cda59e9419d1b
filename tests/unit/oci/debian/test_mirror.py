from pathlib import Path

import pytest

from skerry.errors import InvalidInput
from skerry.oci.debian.mirror import DEBIAN, SECURITY, Mirror, find_mirror

DEB822 = """\
Types: deb
# a comment
URIs: https://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
deb cdrom:[Debian]/ bookworm main
deb-src http://src.example/debian bookworm main
deb http://user:password@private.example/debian bookworm main
deb http://contrib.example/debian bookworm contrib
deb https://vendor.example/apt vendor-bookworm main
deb [signed-by=/k.gpg arch=amd64] http://one.example/debian bookworm main contrib
deb http://one.example/debian-security bookworm-security main
"""


def machine(tmp_path: Path, system: str, sources: str, name: str) -> Path:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text(f'ID={system}\nVERSION_CODENAME="bookworm"\n')
    (tmp_path / "apt" / name).write_text(sources)
    return tmp_path


def test_mirror_of_a_debian_machine_is_used(tmp_path: Path) -> None:
    etc = machine(tmp_path, "debian", DEB822, "sources.list.d/debian.sources")
    assert find_mirror({}, etc) == Mirror("https://mirror.example/debian", "http://mirror.example/security")


def test_one_line_sources_are_read_and_unusable_ones_passed_over(tmp_path: Path) -> None:
    etc = machine(tmp_path, "debian", ONE_LINE, "sources.list")
    assert find_mirror({}, etc) == Mirror("http://one.example/debian", "http://one.example/debian-security")


def test_mirror_of_another_system_is_not_used(tmp_path: Path) -> None:
    etc = machine(tmp_path, "ubuntu", ONE_LINE, "sources.list")
    assert find_mirror({}, etc) == Mirror(DEBIAN, SECURITY)


def test_environment_wins(tmp_path: Path) -> None:
    etc = machine(tmp_path, "debian", ONE_LINE, "sources.list")
    found = find_mirror({"SKERRY_DEBIAN_MIRROR": "http://my.example/debian/"}, etc)
    assert found == Mirror("http://my.example/debian", "http://one.example/debian-security")


def test_machine_without_any_of_it_uses_debian(tmp_path: Path) -> None:
    assert find_mirror({}, tmp_path) == Mirror(DEBIAN, SECURITY)


def test_archives_have_their_roots() -> None:
    mirror = Mirror("http://a.example/d", "http://b.example/s")
    assert mirror.root("debian") == "http://a.example/d"
    assert mirror.root("debian-security") == "http://b.example/s"


@pytest.mark.parametrize("url", ["", "ftp://x/y", "file:///x", "http://u:p@x/y", "http://x/ y", "http://x/"])
def test_address_that_is_no_mirror_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        Mirror(url)
