import lzma
from pathlib import Path

import pytest

from skerry.errors import Damaged, InvalidInput
from skerry.oci.debian.mirror import Mirror
from skerry.oci.debian.packages import LockedPackage
from skerry.oci.debian.resolve import read_lock, resolve, write_lock
from tests.unit.oci.builders import sha256, web_server

PACKAGE = "Package: tool\nVersion: {version}\nFilename: pool/tool.deb\nSHA256: 00\n"
LIST = "main/binary-amd64/Packages.xz"
SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{text}\n-----BEGIN PGP SIGNATURE-----\n\nx\n"


def archive(root: str, suite: str, version: str) -> dict[str, bytes]:
    packages = lzma.compress(PACKAGE.format(version=version).encode())
    release = f"Suite: {suite}\nSHA256:\n {sha256(packages)} {len(packages)} {LIST}"
    return {
        f"/{root}/dists/{suite}/InRelease": SIGNED.format(text=release).encode(),
        f"/{root}/dists/{suite}/{LIST}": packages,
    }


FILES = archive("debian", "bookworm", "1.0-1") | archive("security", "bookworm-security", "1.0-1+deb12u1")


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def found(
    files: dict[str, bytes], cache: Path, said: list[str], keyrings: tuple[Path, ...] = ()
) -> list[LockedPackage]:
    with web_server(files, []) as url:
        mirror = Mirror(f"{url}/debian", f"{url}/security")
        return resolve(["tool"], "amd64", mirror, cache, said.append, keyrings)


def test_unverified_lists_are_used_and_said_to_be(tmp_path: Path) -> None:
    said: list[str] = []
    assert found(FILES, tmp_path, said) == [
        LockedPackage("tool", "1.0-1+deb12u1", "debian-security", "pool/tool.deb", "00")
    ]
    assert len(said) == 2
    assert all("NOT verified" in line for line in said)


def test_forged_signature_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs, keyring = tmp_path / "bin", tmp_path / "keyring.gpg"
    programs.mkdir()
    keyring.touch()
    # Stands for gpgv on machines without it, and refuses as gpgv does.
    (programs / "gpgv").write_text("#!/bin/sh\necho BAD signature >&2\nexit 1\n")
    (programs / "gpgv").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(Damaged, match="signature"):
        found(FILES, tmp_path, [], (keyring,))


def test_list_that_the_release_does_not_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    other = {f"/debian/dists/bookworm/{LIST}": lzma.compress(b"Package: tool\nVersion: 99\n")}
    with pytest.raises(Damaged):
        found(FILES | other, tmp_path, [])


def test_lock_reads_back_and_keeps_other_architectures(tmp_path: Path) -> None:
    one = [LockedPackage("tool", "1", "debian", "p", "00")]
    two = [LockedPackage("tool", "1", "debian", "q", "11")]
    write_lock(tmp_path / "lock.json", "amd64", one)
    write_lock(tmp_path / "lock.json", "arm64", two)
    assert read_lock(tmp_path / "lock.json", "amd64") == one
    assert read_lock(tmp_path / "lock.json", "arm64") == two
    assert read_lock(tmp_path / "lock.json", "riscv64") is None


@pytest.mark.parametrize("text", ["", "[]", '{"amd64": [{}]}', '{"amd64": 1}'])
def test_malformed_lock_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text)
    with pytest.raises(InvalidInput):
        read_lock(tmp_path / "lock.json", "amd64")
