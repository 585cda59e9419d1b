import tarfile

import pytest

from skerry.errors import Damaged, Unsupported
from skerry.oci.debian.deb import read_deb
from skerry.oci.layer import Directory, File, Symlink
from tests.unit.oci.builders import make_deb, member

MEMBERS = [
    (member("./", tarfile.DIRTYPE, mode=0o755), b""),
    (member("./usr/bin/", tarfile.DIRTYPE, mode=0o755), b""),
    (member("./usr/bin/tool", mode=0o755), b"odd"),
    (member("./usr/bin/link", tarfile.SYMTYPE, "tool"), b""),
    (member("./usr/bin/hard", tarfile.LNKTYPE, "./usr/bin/tool", mode=0o755), b""),
]


@pytest.mark.parametrize("name", ["data.tar.xz", "data.tar.gz"])
def test_package_gives_its_control_and_files(name: str) -> None:
    deb = read_deb(make_deb("tool", MEMBERS, name))
    assert deb.control.splitlines()[0] == "Package: tool"
    assert deb.entries == (
        Directory("usr/bin", 0o755),
        File("usr/bin/tool", b"odd", 0o755),
        Symlink("usr/bin/link", "tool"),
        File("usr/bin/hard", b"odd", 0o755),
    )


def test_zstd_package_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        read_deb(make_deb("tool", MEMBERS, "data.tar.zst"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4",
        b"!<arch>\n",
        b"!<arch>\nshort",
        make_deb("tool", MEMBERS)[:-100],
        make_deb("tool", MEMBERS).replace(b"data.tar.xz", b"other.tarxz"),
        make_deb("tool", [(member("./dev/null", tarfile.CHRTYPE), b"")]),
        make_deb("tool", [(member("../out"), b"")]),
    ],
)
def test_what_is_no_sane_package_is_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        read_deb(data)
