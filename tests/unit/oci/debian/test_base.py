import json
import lzma
from pathlib import Path

import pytest

from skerry.errors import Unavailable
from skerry.oci.debian.base import COMMITTED_LOCK, PACKAGES, base_entries, locked_packages
from skerry.oci.debian.mirror import Mirror
from skerry.oci.debian.packages import LockedPackage
from skerry.oci.debian.resolve import read_lock, write_lock
from skerry.oci.layer import File, Symlink, diff_id
from tests.unit.oci.builders import make_deb, member, sha256, web_server
from tests.unit.oci.debian.test_resolve import LIST, SIGNED

SYM = b"2"
LIBC = make_deb(
    "libc6",
    [
        (member("./lib/x86_64-linux-gnu/libc.so.6", mode=0o755), b"libc"),
        (member("./lib64/ld.so", SYM, "/lib/x86_64-linux-gnu/ld.so"), b""),
        (member("./usr/lib/x86_64-linux-gnu/gconv/X.so"), b"dropped"),
        (member("./usr/share/doc/libc6/copyright"), b"free"),
        (member("./usr/share/doc/libc6/changelog.gz"), b"dropped"),
        (member("./usr/lib/os-release"), b"ID=debian"),
        (member("./etc/os-release", SYM, "../usr/lib/os-release"), b""),
    ],
)
CERTIFICATES = make_deb(
    "ca-certificates",
    [
        (member("./usr/share/ca-certificates/mozilla/B.crt"), b"B"),
        (member("./usr/share/ca-certificates/mozilla/A.crt"), b"A\n"),
        (member("./usr/sbin/update-ca-certificates", mode=0o755), b"dropped"),
    ],
)
LOCK = [
    LockedPackage("libc6", "1", "debian", "pool/libc6.deb", sha256(LIBC)),
    LockedPackage("ca-certificates", "1", "debian-security", "pool/ca.deb", sha256(CERTIFICATES)),
]
FILES = {"/debian/pool/libc6.deb": LIBC, "/security/pool/ca.deb": CERTIFICATES}


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    write_lock(tmp_path / "lock.json", "amd64", LOCK)
    return tmp_path / "lock.json"


def mirror(url: str) -> Mirror:
    return Mirror(f"{url}/debian", f"{url}/security")


def test_locked_packages_are_fetched_once(tmp_path: Path, lock: Path) -> None:
    asked: list[str] = []
    said: list[str] = []
    with web_server(FILES, asked) as url:
        for _ in range(2):
            assert locked_packages("amd64", mirror(url), tmp_path, said.append, lock) == LOCK
    assert sorted(asked) == sorted(FILES)
    assert said == []
    assert read_lock(tmp_path / "debian-lock.json", "amd64") == LOCK


def test_cached_packages_need_no_mirror(tmp_path: Path, lock: Path) -> None:
    with web_server(FILES, []) as url:
        locked_packages("amd64", mirror(url), tmp_path, print, lock)
    assert locked_packages("amd64", mirror(url), tmp_path, print, lock) == LOCK


def test_unreachable_mirror_is_unavailable(tmp_path: Path, lock: Path) -> None:
    with web_server({}, []) as url:
        pass
    with pytest.raises(Unavailable):
        locked_packages("amd64", mirror(url), tmp_path, print, lock)


def test_vanished_package_is_resolved_again_and_said_so_at_every_build(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    deb = make_deb("any", [])
    text = "\n".join(
        f"Package: {name}\nVersion: 2\nFilename: pool/any.deb\nSHA256: {sha256(deb)}\n" for name in PACKAGES
    )
    packed = lzma.compress(text.encode())
    release = SIGNED.format(text=f"SHA256:\n {sha256(packed)} {len(packed)} {LIST}").encode()
    files = {"/debian/pool/any.deb": deb, "/debian/dists/bookworm/InRelease": release}
    files |= {"/security/dists/bookworm-security/InRelease": release}
    files |= {f"/debian/dists/bookworm/{LIST}": packed}
    said: list[str] = []
    with web_server(files, []) as url:
        first = locked_packages("amd64", mirror(url), tmp_path, said.append, lock)
        assert [package.version for package in first] == ["2"] * len(PACKAGES)
        assert "cannot be had any more" in said[0]
        assert "resolved the Debian packages anew" in said[-1]
        said.clear()
        assert locked_packages("amd64", mirror(url), tmp_path, said.append, lock) == first
    assert "cannot be had any more" in said[0]
    assert "using the Debian packages resolved earlier" in said[-1]


@pytest.fixture
def entries(tmp_path: Path, lock: Path) -> dict[str, File | Symlink]:
    with web_server(FILES, []) as url:
        locked_packages("amd64", mirror(url), tmp_path, print, lock)
    made = base_entries(LOCK, tmp_path)
    diff_id(made)
    return {entry.path: entry for entry in made if isinstance(entry, File | Symlink)}


def test_top_directories_are_merged_into_usr(entries: dict[str, File | Symlink]) -> None:
    assert entries["usr/lib/x86_64-linux-gnu/libc.so.6"] == File(
        "usr/lib/x86_64-linux-gnu/libc.so.6", b"libc", 0o755
    )
    assert entries["lib"] == Symlink("lib", "usr/lib")
    assert entries["lib64"] == Symlink("lib64", "usr/lib64")
    assert "bin" not in entries


def test_links_stay_inside_the_tree_wherever_it_lies(entries: dict[str, File | Symlink]) -> None:
    assert entries["usr/lib64/ld.so"] == Symlink("usr/lib64/ld.so", "../lib/x86_64-linux-gnu/ld.so")
    assert entries["etc/os-release"] == Symlink("etc/os-release", "../usr/lib/os-release")
    links = [entry for entry in entries.values() if isinstance(entry, Symlink)]
    assert [link for link in links if link.target.startswith("/")] == []


def test_only_what_runs_and_its_licences_are_kept(entries: dict[str, File | Symlink]) -> None:
    kept = [path for path in entries if path.startswith("usr/") and isinstance(entries[path], File)]
    assert sorted(kept) == [
        "usr/lib/os-release",
        "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/share/doc/libc6/copyright",
    ]


def test_what_packages_would_write_when_installed_is_there(entries: dict[str, File | Symlink]) -> None:
    texts = {path: entry.data for path, entry in entries.items() if isinstance(entry, File)}
    assert texts["etc/ssl/certs/ca-certificates.crt"] == b"A\nB\n"
    assert texts["etc/hosts"] == texts["etc/resolv.conf"] == b""
    assert b"skerry:x:1000:1000" in texts["etc/passwd"]
    assert b"hosts: files dns" in texts["etc/nsswitch.conf"]
    assert texts["var/lib/dpkg/status.d/libc6"].startswith(b"Package: libc6\nVersion: 1\n")


def test_committed_lock_names_every_package_for_both_architectures() -> None:
    for architecture in ("amd64", "arm64"):
        lock = read_lock(COMMITTED_LOCK, architecture)
        assert lock is not None
        assert [package.name for package in lock] == list(PACKAGES)
        assert all(len(package.sha256) == 64 for package in lock)
    assert sorted(json.loads(COMMITTED_LOCK.read_text())) == ["amd64", "arm64"]
