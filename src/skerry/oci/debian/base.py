"""The base layer: Python 3.11 and what it needs, out of Debian 12 packages, without root and without dpkg.

No shell and no package manager are in it, so entrypoints are in exec form.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skerry.errors import Damaged, NotFound
from skerry.oci.debian.deb import Deb, read_deb
from skerry.oci.debian.mirror import Mirror
from skerry.oci.debian.packages import LockedPackage
from skerry.oci.debian.resolve import read_lock, resolve, write_lock
from skerry.oci.download import Progress, cached
from skerry.oci.layer import Directory, Entry, File, Symlink

PACKAGES = (
    "base-files",
    "ca-certificates",
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3-stdlib",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "media-types",
    "netbase",
    "python3-minimal",
    "python3.11",
    "python3.11-minimal",
    "zlib1g",
)
COMMITTED_LOCK = Path(__file__).with_name("lock.json")
# More connections than this gain nothing on a mirror and look like an attack to some.
DOWNLOADS_AT_ONCE = 8

# Python and its libraries run without any of this. Copyright files stay: the licences ask for them.
DROPPED = re.compile(
    r"usr/share/(?:man|locale|lintian|bug|info|pixmaps|applications|doc-base|perl5|debhelper|python3|binfmts|gcc)/"
    r"|usr/share/doc/(?!.*/copyright$)"
    r"|usr/share/ca-certificates/"
    r"|usr/lib/[^/]+/(?:gconv|audit)/"
    r"|usr/lib/python3\.11/(?:lib2to3|pydoc_data|idlelib|turtledemo|ensurepip|test|config-[^/]*)/"
    r"|usr/bin/(?!python3)|usr/lib/valgrind/|usr/lib/binfmt\.d/|usr/sbin/|etc/(?:update-motd|profile)\.d/|var/lib/python/"
    r"|etc/python3\.11/|usr/lib/python3\.11/sitecustomize\.py"
    r"|.*/__pycache__/"
)
# /usr-merge: packages of Debian 12 still ship files in the top directories (debian-policy, 10.1).
MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
CERTIFICATES = re.compile(r"usr/share/ca-certificates/.*\.crt")
CERTIFICATE_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
MODULE_UID = 1000

PASSWD = f"""\
root:x:0:0:root:/:/usr/sbin/nologin
skerry:x:{MODULE_UID}:{MODULE_UID}:module:/tmp:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = f"root:x:0:\nskerry:x:{MODULE_UID}:\nnogroup:x:65534:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"

OWN_ENTRIES: tuple[Entry, ...] = (
    File("etc/passwd", PASSWD.encode()),
    File("etc/group", GROUP.encode()),
    File("etc/nsswitch.conf", NSSWITCH.encode()),
    # Engines put theirs over these, which takes a file to be put over.
    File("etc/hosts", b""),
    File("etc/resolv.conf", b""),
    File("etc/hostname", b""),
    # OPENSSLDIR of Debian's libssl; the links to it are in the package openssl, which we do not need.
    Symlink("usr/lib/ssl/certs", "../../../etc/ssl/certs"),
    Symlink("usr/lib/ssl/cert.pem", f"../../../{CERTIFICATE_BUNDLE}"),
    Directory("tmp", 0o1777),
    Directory("var/tmp", 0o1777),
    Directory("run"),
    Directory("proc"),
    Directory("sys"),
    Directory("dev"),
)


def locked_packages(
    architecture: str, mirror: Mirror, cache: Path, progress: Progress, lock: Path | None = None
) -> list[LockedPackage]:
    """What the base layer is made of, every file of it in the cache.

    The list is ``lock`` or, without one, the lock that comes with Skerry. When a file of it has vanished from
    the mirror, the newest versions are resolved and written to a lock in the cache, and ``progress`` says so
    at every build. The lock in use is always found at ``<cache>/debian-lock.json``.
    """
    kept = cache / "debian-lock.json"
    wanted = read_lock(lock or COMMITTED_LOCK, architecture)
    if wanted is not None:
        try:
            _download(wanted, mirror, cache)
        except NotFound as exc:
            progress(f"the locked Debian packages cannot be had any more: {exc.what}")
        else:
            write_lock(kept, architecture, wanted)
            return wanted
    else:
        progress(f"no Debian packages are locked for {architecture}")
    return _unlocked(architecture, mirror, cache, progress, kept)


def _unlocked(
    architecture: str, mirror: Mirror, cache: Path, progress: Progress, kept: Path
) -> list[LockedPackage]:
    before = read_lock(kept, architecture) if kept.exists() else None
    if before is not None and [package.name for package in before] == list(PACKAGES):
        try:
            _download(before, mirror, cache)
        except NotFound:
            progress("the packages resolved last time are gone too")
        else:
            progress(f"using the Debian packages resolved earlier, locked in {kept}")
            return before
    found = resolve(PACKAGES, architecture, mirror, cache, progress)
    _download(found, mirror, cache)
    write_lock(kept, architecture, found)
    progress(f"resolved the Debian packages anew; the lock is {kept}")
    return found


def base_entries(packages: Iterable[LockedPackage], cache: Path) -> list[Entry]:
    """The files of the base layer out of downloaded packages, each verified against its locked hash."""
    found: dict[str, Entry] = {entry.path: entry for entry in OWN_ENTRIES}
    certificates: dict[str, bytes] = {}
    for package in packages:
        deb = _read_cached(package, cache)
        found[f"var/lib/dpkg/status.d/{package.name}"] = _status(deb)
        for entry in deb.entries:
            path = _merged(entry.path)
            if isinstance(entry, File) and CERTIFICATES.fullmatch(path):
                certificates[path] = entry.data
            elif not DROPPED.match(path) and not isinstance(entry, Directory):
                found.setdefault(path, _placed(entry, path))
    bundle = b"".join(data.rstrip(b"\n") + b"\n" for _, data in sorted(certificates.items()))
    found[CERTIFICATE_BUNDLE] = File(CERTIFICATE_BUNDLE, bundle)
    present = {path.split("/")[1] for path in found if path.startswith("usr/")}
    for top in MERGED:
        if top in present:
            found[top] = Symlink(top, f"usr/{top}")
    return list(found.values())


def _download(packages: list[LockedPackage], mirror: Mirror, cache: Path) -> None:
    def one(package: LockedPackage) -> None:
        cached(_deb_path(package, cache), package.sha256, f"{mirror.root(package.archive)}/{package.path}")

    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for _ in pool.map(one, packages):
            pass


def _read_cached(package: LockedPackage, cache: Path) -> Deb:
    path = _deb_path(package, cache)
    try:
        return read_deb(path.read_bytes())
    except FileNotFoundError as exc:
        raise Damaged(f"{package.name} vanished from the cache", path=str(path)) from exc


def _deb_path(package: LockedPackage, cache: Path) -> Path:
    return cache / "debs" / f"{package.name}_{package.sha256[:16]}.deb"


def _status(deb: Deb) -> File:
    """The control paragraph where image scanners look for it (as distroless images have it)."""
    name = next(line.split()[1] for line in deb.control.splitlines() if line.startswith("Package:"))
    return File(f"var/lib/dpkg/status.d/{name}", deb.control.rstrip("\n").encode() + b"\n")


def _merged(path: str) -> str:
    return f"usr/{path}" if path.split("/")[0] in MERGED else path


def _placed(entry: Entry, path: str) -> Entry:
    match entry:
        case File(data=data, mode=mode):
            return File(path, data, 0o755 if mode & 0o111 else 0o644)
        case Symlink(target=target):
            return Symlink(path, _relative(target, path))
        case Directory(mode=mode):
            return Directory(path, mode)


def _relative(target: str, path: str) -> str:
    """A link target that stays inside the tree wherever the tree lies."""
    if not target.startswith("/"):
        target = posixpath.normpath(posixpath.join(posixpath.dirname("/" + path), target))
    inside = "/" + _merged(posixpath.normpath(target).lstrip("/"))
    return posixpath.relpath(inside, posixpath.dirname("/" + path))
