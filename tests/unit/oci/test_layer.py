import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import InvalidInput
from skerry.oci.digest import digest_of
from skerry.oci.layer import Directory, Entry, File, Symlink, diff_id, pack, write_tar

ENTRIES: list[Entry] = [
    File("opt/app/main.py", b"print()\n"),
    File("bin/tool", b"\x7fELF", 0o755),
    Symlink("bin/link", "tool"),
    Directory("tmp", 0o1777),
    File("opt/a", b""),
]


def plain(entries: list[Entry]) -> bytes:
    sink = io.BytesIO()
    write_tar(entries, sink)
    return sink.getvalue()


@given(st.permutations(ENTRIES))
def test_order_of_the_entries_does_not_show(entries: list[Entry]) -> None:
    assert plain(entries) == plain(ENTRIES)


def test_tar_holds_sorted_names_fixed_times_and_no_owner() -> None:
    with tarfile.open(fileobj=io.BytesIO(plain(ENTRIES))) as tar:
        members = tar.getmembers()
    assert [(m.name, m.mode) for m in members] == [
        ("bin", 0o755),
        ("bin/link", 0o777),
        ("bin/tool", 0o755),
        ("opt", 0o755),
        ("opt/a", 0o644),
        ("opt/app", 0o755),
        ("opt/app/main.py", 0o644),
        ("tmp", 0o1777),
    ]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}


def test_packed_layer_is_a_gzip_of_the_tar_without_time_and_name() -> None:
    sink = io.BytesIO()
    packed = pack(ENTRIES, sink)
    blob = sink.getvalue()
    assert gzip.decompress(blob) == plain(ENTRIES)
    assert (packed.diff_id, packed.digest, packed.size) == (diff_id(ENTRIES), digest_of(blob), len(blob))
    assert blob[3:8] == b"\0\0\0\0\0"


def test_content_of_several_megabytes_comes_through() -> None:
    data = bytes(range(256)) * 20_000
    with tarfile.open(fileobj=io.BytesIO(plain([File("big", data)]))) as tar:
        file = tar.extractfile("big")
        assert file is not None
        assert file.read() == data


def test_long_names_come_through() -> None:
    name = "/".join(["directory" * 5] * 8) + "/file"
    with tarfile.open(fileobj=io.BytesIO(plain([File(name, b"x")]))) as tar:
        assert tar.getnames()[-1] == name


@pytest.mark.parametrize(
    "entries",
    [
        [File("../out", b"")],
        [File("a/../../out", b"")],
        [File("", b"")],
        [File("./", b"")],
        [File("a", b""), File("./a", b"")],
        [File("a", b""), File("a/b", b"")],
        [Symlink("a", "b"), File("a/b", b"")],
        [File("a\0b", b"")],
    ],
)
def test_entries_that_make_no_sane_layer_are_refused(entries: list[Entry]) -> None:
    with pytest.raises(InvalidInput):
        plain(entries)
