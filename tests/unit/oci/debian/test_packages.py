import itertools

import pytest

from skerry.errors import Damaged, NotFound
from skerry.oci.debian.packages import (
    LockedPackage,
    candidates,
    listed_sha256,
    newest,
    paragraphs,
    version_key,
)

LIST = """\
Package: libc6
Version: 2.36-9+deb12u9
Filename: pool/main/g/glibc/libc6_2.36-9+deb12u9_amd64.deb
SHA256: aa
Description: folded
 over
 lines

Package: libc6-dev
Version: 9
Filename: pool/x.deb
SHA256: bb
"""


def test_paragraphs_are_read_with_folded_fields() -> None:
    first, second = paragraphs(LIST)
    assert (first["Package"], first["Description"]) == ("libc6", "folded\nover\nlines")
    assert second["SHA256"] == "bb"


def test_only_what_was_asked_for_is_a_candidate() -> None:
    assert list(candidates("debian", LIST, ["libc6"])) == [
        LockedPackage(
            "libc6", "2.36-9+deb12u9", "debian", "pool/main/g/glibc/libc6_2.36-9+deb12u9_amd64.deb", "aa"
        )
    ]


# In order; from Debian Policy §5.6.12 and dpkg's own test, t/Dpkg_Version.t.
ORDERED = [
    "0~~",
    "0~~a",
    "0~",
    "0",
    "0a",
    "1.0~beta1~svn1245-1",
    "1.0~beta1-1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1.1",
    "1.0-2~bpo12+1",
    "1.0-2",
    "1.0-10",
    "1.0+dfsg-1",
    "1.0.1-1",
    "1.2.13.dfsg-1",
    "2.36-9+deb12u9",
    "2.36-9+deb12u14",
    "1:0.1-1",
    "1:1.2.13.dfsg-1",
    "2:0",
]


@pytest.mark.parametrize(("older", "newer"), list(itertools.combinations(ORDERED, 2)))
def test_versions_are_ordered_as_dpkg_orders_them(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)
    assert not version_key(newer) < version_key(older)


def test_equal_versions_are_equal() -> None:
    assert version_key("1.0-0") == version_key("0:1.0-0") == version_key("1.00-0")


def test_security_update_wins_over_the_release() -> None:
    old = LockedPackage("libssl3", "3.0.9-1", "debian", "p", "1")
    new = LockedPackage("libssl3", "3.0.15-1~deb12u1", "debian-security", "p", "2")
    other = LockedPackage("libc6", "2", "debian", "p", "3")
    assert newest([new, other, old], ["libc6", "libssl3"]) == [other, new]


def test_missing_packages_are_named() -> None:
    with pytest.raises(NotFound, match="libnone"):
        newest([], ["libnone"])


def test_release_file_gives_the_hash_of_a_list() -> None:
    release = "MD5Sum:\n 11 5 main/Packages.xz\nSHA256:\n ff 5 main/Packages.gz\n ee 5 main/Packages.xz\n"
    assert listed_sha256(release, "main/Packages.xz") == "ee"
    with pytest.raises(Damaged):
        listed_sha256(release, "main/other")
