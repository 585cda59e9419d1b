"""Hostile archives are refused and leave nothing; good ones give exactly what was packed."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.errors import Damaged, InvalidInput, SkerryError, TooLarge, Unsupported
from skerry.serve.update.unpack import FILES_MAX, unpack
from tests.unit.serve.support import make_package
from tests.unit.serve.update.packages import tar_of, zip_of

MB = 1024 * 1024
BAD_NAMES = (
    *("../evil", "a/../../evil", "/tmp/evil", "..", "a\\..\\evil", "C:evil", "a\nb", "x" * 300),
    "a/b/c/d/e",
)


def tar(*members: tuple[str, bytes], compress: bool = False, **fields: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if compress else "w:") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zipped(*members: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def try_unpack(folder: Path, data: bytes, bytes_max: int = MB) -> Path:
    """The package's folder; on an error nothing but the archive may be there."""
    archive = folder / "archive"
    archive.write_bytes(data)
    try:
        return unpack(archive, folder / "target", bytes_max=bytes_max)
    except SkerryError:
        assert [path.name for path in folder.iterdir()] == ["archive"]
        raise


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "pack",
    [tar_of, zip_of, lambda folder: tar_of(folder, ""), lambda folder: tar_of(folder, prefix="colours/")],
)
def test_a_package_comes_out_as_it_went_in(tmp_path: Path, pack: Callable[[Path], bytes]) -> None:
    make_package(tmp_path / "package")
    packed = pack(tmp_path / "package")
    (tmp_path / "work").mkdir()
    found = try_unpack(tmp_path / "work", packed)
    assert contents(found) == contents(tmp_path / "package")


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str, pack: Callable[..., bytes]) -> None:
    with pytest.raises(InvalidInput, match="name"):
        try_unpack(tmp_path, pack(("manifest.json", b"{}"), (name, b"evil")))
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    data = tar(("manifest.json", b""), type=kind, linkname="/etc/passwd")
    with pytest.raises(InvalidInput, match="link or device"):
        try_unpack(tmp_path, data)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="link or device"):
        try_unpack(tmp_path, zipped(("manifest.json", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777))


@pytest.mark.parametrize("pack", [tar, zipped])
def test_the_same_name_twice_is_refused(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    with pytest.warns(UserWarning, match="Duplicate") if pack is zipped else nullcontext():
        data = pack(("manifest.json", b"{}"), ("a", b"1"), ("a", b"2"))
    with pytest.raises(InvalidInput, match="same name"):
        try_unpack(tmp_path, data)


@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    with pytest.raises(InvalidInput, match="same name"):
        try_unpack(tmp_path, pack(("manifest.json", b"{}"), ("a", b"1"), ("a/b", b"2")))


@pytest.mark.parametrize("pack", [lambda *m: tar(*m, compress=True), zipped])
def test_a_bomb_stops_at_the_bound(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    data = pack(("manifest.json", b"{}"), ("bomb", bytes(20 * MB)))
    assert len(data) < MB
    with pytest.raises(TooLarge, match=f"more than {MB} bytes"):
        try_unpack(tmp_path, data)


@pytest.mark.parametrize("pack", [tar, zipped])
def test_too_many_files_are_refused(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    members = [(f"{number:05}", b"") for number in range(FILES_MAX + 1)]
    with pytest.raises(TooLarge, match=str(FILES_MAX)):
        try_unpack(tmp_path, pack(*members))


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("manifest.json")
    info.type, info.size = tarfile.XHDTYPE, 50 * MB
    data = gzip.compress(info.tobuf() + bytes(50 * MB))
    with pytest.raises(InvalidInput, match="too much about one file"):
        try_unpack(tmp_path, data)


def test_headers_about_headers_without_end_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 0
    with pytest.raises(SkerryError):
        try_unpack(tmp_path, info.tobuf() * 20_000)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"BZh91AY&SY" + bytes(600), b"\xfd7zXZ\x00" + bytes(600), b"<html>" * 200, b"\x7fELF"],
)
def test_another_kind_of_file_is_unsupported(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Unsupported):
        try_unpack(tmp_path, data)


@pytest.mark.parametrize("pack", [tar_of, zip_of, lambda folder: tar_of(folder, "")])
@pytest.mark.parametrize("part", [0.1, 0.3, 0.5])
def test_half_an_archive_is_refused(tmp_path: Path, pack: Callable[[Path], bytes], part: float) -> None:
    make_package(tmp_path / "package")
    packed = pack(tmp_path / "package")
    (tmp_path / "work").mkdir()
    with pytest.raises((Damaged, InvalidInput)):
        try_unpack(tmp_path / "work", packed[: int(len(packed) * part)])


@pytest.mark.parametrize("pack", [tar, zipped])
def test_an_archive_without_a_package_is_refused(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    with pytest.raises(InvalidInput, match="no manifest"):
        try_unpack(tmp_path, pack(("model.onnx", b"x"), ("labels.txt", b"y")))


def test_an_encrypted_zip_is_unsupported(tmp_path: Path) -> None:
    data = bytearray(zipped(("manifest.json", b"{}")))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Unsupported, match="encrypted"):
        try_unpack(tmp_path, bytes(data))


def test_a_zip_with_a_nameless_file_is_refused(tmp_path: Path) -> None:
    data = SMALL_ZIP.replace(b"manifest.json", b"\0anifest.json")
    with pytest.raises(InvalidInput, match="without a name"):
        try_unpack(tmp_path, data)


def test_special_bits_do_not_come_along(tmp_path: Path) -> None:
    found = try_unpack(tmp_path, tar(("manifest.json", b"{}"), mode=0o6777))
    assert stat.S_IMODE(os.stat(found / "manifest.json").st_mode) & 0o6111 == 0


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_disturbed_archive_never_does_harm(data: st.DataObject) -> None:
    good = data.draw(st.sampled_from([SMALL_TAR, SMALL_TGZ, SMALL_ZIP]))
    broken = bytearray(good)
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=8)
    ):
        broken[place] = value
    with tempfile.TemporaryDirectory() as name:
        try:
            found = try_unpack(Path(name), bytes(broken))
        except SkerryError:
            return
        assert (found / "manifest.json").is_file()
        assert {path.name for path in Path(name).iterdir()} == {"archive", "target"}


SMALL = (("manifest.json", b"{}"), ("golden/000.png", bytes(900)))
SMALL_TAR, SMALL_TGZ, SMALL_ZIP = tar(*SMALL), tar(*SMALL, compress=True), zipped(*SMALL)
