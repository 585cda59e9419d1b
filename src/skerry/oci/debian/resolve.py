"""The lock of the base layer: which package files it is made of, resolved from signed lists or read back."""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from skerry.errors import Damaged, InvalidInput
from skerry.oci.debian.mirror import ARCHIVES, Mirror
from skerry.oci.debian.packages import LockedPackage, candidates, listed_sha256, newest
from skerry.oci.download import Progress, cached, fetch
from skerry.oci.files import whole_file

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
GPGV_TIMEOUT_S = 30


def resolve(
    names: Sequence[str],
    architecture: str,
    mirror: Mirror,
    cache: Path,
    progress: Progress,
    keyrings: Sequence[Path] = KEYRINGS,
) -> list[LockedPackage]:
    """The newest version of each package in Debian 12 with its security updates, from the mirror's lists.

    Each InRelease is verified by gpgv where gpgv and Debian's keyring are installed; otherwise ``progress``
    says that it was not. ``Damaged`` for a bad signature or a list that is not what the Release file names.
    """
    found: list[LockedPackage] = []
    for archive, suite in ARCHIVES.items():
        lists = f"{mirror.root(archive)}/dists/{suite}"
        release = _verified(fetch(f"{lists}/InRelease"), suite, progress, keyrings)
        path = f"main/binary-{architecture}/Packages.xz"
        sha256 = listed_sha256(release, path)
        packed = cached(cache / "lists" / f"{sha256}.xz", sha256, f"{lists}/{path}")
        try:
            text = lzma.decompress(packed).decode()
        except (lzma.LZMAError, UnicodeDecodeError) as exc:
            raise Damaged(f"the package list of {suite} cannot be read") from exc
        found.extend(candidates(archive, text, names))
    return newest(found, names)


def read_lock(path: Path, architecture: str) -> list[LockedPackage] | None:
    """The packages that a lock file names for ``architecture``; None when it has none for it."""
    try:
        document = json.loads(path.read_bytes())
        listed = document.get(architecture)
        return None if listed is None else [LockedPackage(**entry) for entry in listed]
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        raise InvalidInput(f"{path} is not a lock of Debian packages", path=str(path)) from exc


def write_lock(path: Path, architecture: str, packages: Iterable[LockedPackage]) -> None:
    """Put the packages into the lock file at ``path``, beside those of other architectures."""
    document = json.loads(path.read_bytes()) if path.exists() else {}
    document[architecture] = [asdict(package) for package in packages]
    with whole_file(path) as file:
        file.write(json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")


def _verified(in_release: bytes, suite: str, progress: Progress, keyrings: Sequence[Path]) -> str:
    """The text that was signed."""
    gpgv = shutil.which("gpgv")
    keyring = next((path for path in keyrings if path.is_file()), None)
    if gpgv is None or keyring is None:
        progress(f"the signature of {suite} was NOT verified: install gpgv and debian-archive-keyring")
        return _signed_text(in_release)
    with tempfile.TemporaryDirectory() as work:
        signed, text = Path(work) / "InRelease", Path(work) / "Release"
        signed.write_bytes(in_release)
        command = [gpgv, "--quiet", "--keyring", str(keyring), "--output", str(text), str(signed)]
        result = subprocess.run(command, capture_output=True, timeout=GPGV_TIMEOUT_S, check=False)
        if result.returncode != 0:
            raise Damaged(
                f"the signature of Debian's {suite} does not verify",
                hint="the mirror or a proxy changed it, or the keyring is too old",
                detail=result.stderr.decode(errors="replace")[-500:],
            )
        return text.read_text()


def _signed_text(in_release: bytes) -> str:
    """What stands between the armour lines of a clear-signed file (RFC 9580 §7)."""
    text = in_release.decode()
    head, begin, rest = text.partition("\n\n")
    body, end, _ = rest.partition("\n-----BEGIN PGP SIGNATURE-----")
    if not head.startswith("-----BEGIN PGP SIGNED MESSAGE-----") or not begin or not end:
        raise Damaged("the InRelease file is not clear-signed")
    return body
