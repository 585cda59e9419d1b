"""Layers made of wheels: fetched by pip against a lock, then unzipped, never installed.

``pip install`` would write the builder's interpreter into scripts and could run code; unzipping gives the
same files on every machine and for every architecture (PyPA binary distribution format).
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import Damaged, InvalidInput, Unavailable
from skerry.oci.download import Progress
from skerry.oci.layer import File, normal_path
from skerry.oci.requirements import Requirement, normal_name, parse_lock, pick

MODULE_LOCK = Path(__file__).with_name("module_requirements.lock")
# Debian's Python has it on sys.path, so a module needs no PYTHONPATH.
SITE = "usr/lib/python3/dist-packages"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# glibc of Debian 12 is 2.36; pip does not take a tag to imply the older ones.
GLIBC_MINORS = range(36, 16, -1)
PIP_TIMEOUT_S = 900
# Nothing a running module loads.
DROPPED = (
    r".*/tests?/.*|.*\.(?:pyi|pxd|pyx|h|a|lib)|.*\.dist-info/RECORD|.*\.data/(?:scripts|headers|data)/.*"
)


@dataclass(frozen=True, slots=True)
class WheelGroup:
    """Wheels that share a layer; ``drop`` is a pattern of paths in them that the image does without."""

    label: str
    names: tuple[str, ...]
    drop: str = r"(?!)"

    def key(self) -> str:
        return f"{self.label} {self.names} {self.drop} {DROPPED} {SITE}"


# The numbers, images and network that every Python module of ours has: one layer, shared by all of them.
BASIC_WHEELS = WheelGroup(
    "numpy, pillow, network",
    (
        "numpy",
        "pillow",
        "python-multipart",
        "prometheus-client",
        "uvloop",
        "httptools",
    ),
    drop=r"numpy/(?:f2py|distutils|_pyinstaller)/.*|numpy/random/_examples/.*|prometheus_client/(?:bridge|twisted)/.*",
)

# For pages that a module may serve, where they are turned on; half a megabyte that is else never loaded.
WEB_WHEELS = WheelGroup("web", ("starlette", "anyio", "idna", "typing-extensions", "uvicorn", "h11", "click"))


def locked(group: WheelGroup, lock: Path | None = None) -> list[Requirement]:
    """What ``group`` pins in ``lock``, or in the lock that comes with Skerry."""
    return pick(parse_lock((lock or MODULE_LOCK).read_text()), group.names)


def fetch_wheels(
    wanted: Sequence[Requirement], architecture: str, cache: Path, progress: Progress
) -> list[bytes]:
    """The wheels of ``wanted`` for Python 3.11, from the cache or through pip with its own settings.

    ``Unavailable`` names the packages that cannot be had; ``Damaged`` when pip was given another file.
    """
    if architecture not in MACHINES:
        raise InvalidInput(f"no wheels for {architecture!r}", field="architecture", value=architecture)
    place = cache / "wheels" / architecture
    place.mkdir(parents=True, exist_ok=True)
    found = {item.name: _in_cache(item, place) for item in wanted}
    missing = [item for item in wanted if found[item.name] is None]
    if missing:
        progress(f"fetching {', '.join(f'{item.name} {item.version}' for item in missing)}")
        _download(missing, architecture, place)
        found |= {item.name: _in_cache(item, place) for item in missing}
    wheels = [data for data in found.values() if data is not None]
    if len(wheels) < len(wanted):
        lacking = [name for name, data in found.items() if data is None]
        raise Unavailable(f"pip brought no wheel of {', '.join(lacking)}", packages=lacking)
    return wheels


def wheel_entries(wheels: Sequence[bytes], drop: str) -> list[File]:
    """The files of the wheels as they lie in the image, without what no module loads."""
    unwanted = re.compile(f"{DROPPED}|{drop}")
    entries = []
    for data in wheels:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as wheel:
                for info in wheel.infolist():
                    name = re.sub(r"^[^/]+\.data/(?:purelib|platlib)/", "", info.filename)
                    if not info.is_dir() and not unwanted.fullmatch(name):
                        entries.append(File(f"{SITE}/{normal_path(name)}", wheel.read(info)))
        except zipfile.BadZipFile as exc:
            raise Damaged("a wheel is not a zip archive") from exc
    return entries


def _in_cache(item: Requirement, place: Path) -> bytes | None:
    for path in sorted(place.glob("*.whl")):
        name, version = path.name.split("-")[:2]
        if normal_name(name) == item.name and version == item.version:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() in item.hashes:
                return data
    return None


def _download(missing: Sequence[Requirement], architecture: str, place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=place) as work:
        listing = Path(work) / "requirements.txt"
        listing.write_text("".join(f"{item}\n" for item in missing))
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        command += _target(architecture)
        command += ["--dest", work, "--requirement", str(listing)]
        names = [item.name for item in missing]
        try:
            result = subprocess.run(command, capture_output=True, timeout=PIP_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as exc:
            raise Unavailable(
                f"pip took over {PIP_TIMEOUT_S} s for {', '.join(names)}", packages=names
            ) from exc
        if result.returncode != 0:
            raise _failure(result.stderr.decode(errors="replace"), names)
        for wheel in Path(work).glob("*.whl"):
            wheel.replace(place / wheel.name)


def _target(architecture: str) -> list[str]:
    machine = MACHINES[architecture]
    options = ["--python-version", "3.11", "--implementation", "cp"]
    for abi in ("cp311", "abi3", "none"):
        options += ["--abi", abi]
    for tag in (*(f"manylinux_2_{minor}" for minor in GLIBC_MINORS), "manylinux2014"):
        options += ["--platform", f"{tag}_{machine}"]
    return options


def _failure(told: str, names: list[str]) -> Unavailable | Damaged:
    last = told.strip()[-600:]
    if "DO NOT MATCH THE HASHES" in told:
        return Damaged(
            f"pip was given other files for {', '.join(names)}",
            hint="the lock is out of date or the index was changed",
            packages=names,
            detail=last,
        )
    failed = re.findall(r"No matching distribution found for ([A-Za-z0-9._-]+)", told) or names
    return Unavailable(
        f"pip cannot fetch {', '.join(failed)}",
        hint="check the network, the proxy settings and pip's index; cached wheels are used without either",
        packages=failed,
        detail=last,
    )
