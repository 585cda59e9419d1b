import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from skerry.errors import AlreadyExists, Damaged
from skerry.oci.image import Layer
from skerry.oci.layer import Directory, Entry, File, Symlink
from skerry.oci.layout import blob_path, read_layout
from skerry.oci.unpack import unpack
from tests.unit.oci.builders import member, stored, stored_tar, write_image

DIR, SYM, LNK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def unpacked(tmp_path: Path, layers: Sequence[Layer]) -> Path:
    write_image(tmp_path / "image", tmp_path / "blobs", layers)
    root = tmp_path / "out" / "root"
    unpack(tmp_path / "image", root)
    return root


def tree(root: Path) -> dict[str, str]:
    """Every path below ``root`` with its content, or where it points."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


def of(tmp_path: Path, *layers: Sequence[Entry]) -> dict[str, str]:
    return tree(unpacked(tmp_path, [stored(tmp_path / "blobs", entries) for entries in layers]))


def foreign(tmp_path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Layer:
    return stored_tar(tmp_path / "blobs", members)


def test_layers_are_laid_over_each_other(tmp_path: Path) -> None:
    lower: list[Entry] = [File("a/x", b"1"), File("a/y", b"1"), Symlink("l", "a/x")]
    assert of(tmp_path, lower, [File("a/y", b"2"), File("b", b"2")]) == {
        "a": "/",
        "a/x": "1",
        "a/y": "2",
        "b": "2",
        "l": "-> a/x",
    }


def test_modes_are_kept_without_set_id_bits(tmp_path: Path) -> None:
    entries: list[Entry] = [
        File("run", b"", 0o4755),
        File("data", b"", 0o640),
        Directory("closed", 0o555),
        Directory("t", 0o1777),
    ]
    root = unpacked(tmp_path, [stored(tmp_path / "blobs", [*entries, File("closed/in", b"1")])])
    modes = {path.name: path.stat().st_mode & 0o7777 for path in root.iterdir()}
    assert modes == {"run": 0o755, "data": 0o640, "closed": 0o755, "t": 0o777}


def test_whiteout_removes_a_file_and_a_directory_of_a_lower_layer(tmp_path: Path) -> None:
    lower = [File("a/x", b""), File("a/y", b""), File("d/e/f", b"")]
    assert of(tmp_path, lower, [File("a/.wh.x", b""), File(".wh.d", b"")]) == {"a": "/", "a/y": ""}


def test_opaque_whiteout_keeps_what_its_own_layer_brings_in_any_order(tmp_path: Path) -> None:
    lower = [File("a/old", b""), File("a/d/old", b""), File("keep", b"")]
    upper = foreign(
        tmp_path,
        (member("a/d/new"), b"n"),
        (member("a/.wh..wh..opq"), b""),
        (member("a/other"), b"o"),
    )
    root = unpacked(tmp_path, [stored(tmp_path / "blobs", lower), upper])
    assert tree(root) == {"a": "/", "a/d": "/", "a/d/new": "n", "a/other": "o", "keep": ""}


def test_whiteout_of_a_name_its_own_layer_brings_removes_only_the_lower_one(tmp_path: Path) -> None:
    lower = stored(tmp_path / "blobs", [File("d/old", b"")])
    upper = foreign(tmp_path, (member("d/new"), b""), (member(".wh.d"), b""))
    assert tree(unpacked(tmp_path, [lower, upper])) == {"d": "/", "d/new": ""}


def test_whiteout_of_nothing_is_nothing(tmp_path: Path) -> None:
    assert of(tmp_path, [File("a", b"")], [File(".wh.b", b"")]) == {"a": ""}


def test_file_takes_the_place_of_a_directory(tmp_path: Path) -> None:
    assert of(tmp_path, [File("a/x", b"")], [File("a", b"1")]) == {"a": "1"}


def test_directory_takes_the_place_of_a_file(tmp_path: Path) -> None:
    assert of(tmp_path, [File("b", b"")], [File("b/y", b"2")]) == {"b": "/", "b/y": "2"}


def test_replacing_a_link_does_not_write_through_it(tmp_path: Path) -> None:
    target = tmp_path / "victim"
    target.write_text("safe")
    assert of(tmp_path, [Symlink("a", str(target))], [File("a", b"new")]) == {"a": "new"}
    assert target.read_text() == "safe"


def test_links_inside_the_image_are_followed_inside_the_image(tmp_path: Path) -> None:
    lower = stored(
        tmp_path / "blobs", [Symlink("lib", "usr/lib"), Symlink("abs", "/usr"), File("usr/lib/a", b"a")]
    )
    upper = foreign(
        tmp_path, (member("lib/b"), b"b"), (member("abs/lib/c"), b"c"), (member("usr/n", LNK, "lib/a"), b"")
    )
    assert tree(unpacked(tmp_path, [lower, upper])) == {
        "abs": "-> /usr",
        "lib": "-> usr/lib",
        "usr": "/",
        "usr/lib": "/",
        "usr/lib/a": "a",
        "usr/lib/b": "b",
        "usr/lib/c": "c",
        "usr/n": "a",
    }


def test_absolute_link_to_the_host_leads_below_the_root(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    layer = foreign(tmp_path, (member("evil", SYM, str(outside)), b""), (member("evil/file"), b"x"))
    root = unpacked(tmp_path, [layer])
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "file").read_text() == "x"


@pytest.mark.parametrize(
    "members",
    [
        [(member("../out"), b"x")],
        [(member("a/../../out"), b"x")],
        [(member("evil", SYM, "../outside"), b"")],
        [(member("d/evil", SYM, "../../outside"), b"")],
        [(member("d/s", SYM, "/"), b""), (member("d/s/evil", SYM, "../outside"), b"")],
        [(member("here", SYM, "."), b""), (member("evil", SYM, "here/.."), b""), (member("evil/x"), b"x")],
        [(member("loop", SYM, "loop"), b""), (member("loop/x"), b"x")],
        [(member("h", LNK, "../../secret"), b"")],
        [(member("h", LNK, "/etc/hostname"), b"")],
        [(member("s", SYM, "/etc/hostname"), b""), (member("h", LNK, "s"), b"")],
        [(member("d", DIR), b""), (member("h", LNK, "d"), b"")],
        [(member("h", LNK, "."), b"")],
        [(member("null", tarfile.CHRTYPE), b"")],
        [(member("disk", tarfile.BLKTYPE), b"")],
        [(member("pipe", tarfile.FIFOTYPE), b"")],
        [(member("f"), b""), (member("f/x"), b"x")],
        [(member(".wh..."), b"")],
        [(member(".wh."), b"")],
    ],
)
def test_layer_that_reaches_outside_is_refused_and_leaves_nothing(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(Damaged):
        unpacked(tmp_path, [stored_tar(tmp_path / "blobs", members)])
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "image", "out", "secret"]


def test_changed_layer_is_damaged_and_leaves_nothing(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    write_image(tmp_path / "image", blobs, [stored(blobs, [File("a", b"a" * 5000)])])
    path = blob_path(tmp_path / "image", read_layout(tmp_path / "image").layers[0].descriptor.digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(Damaged):
        unpack(tmp_path / "image", tmp_path / "out" / "root")
    assert list((tmp_path / "out").iterdir()) == []


def test_existing_directory_is_not_touched(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    write_image(tmp_path / "image", blobs, [stored(blobs, [File("a", b"")])])
    (tmp_path / "root").mkdir()
    with pytest.raises(AlreadyExists):
        unpack(tmp_path / "image", tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []
