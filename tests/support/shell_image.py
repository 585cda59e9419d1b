"""A real, tiny image for engine tests: this machine's shell, ``sleep`` and the libraries they load."""

import re
import shutil
import subprocess
from pathlib import Path

from skerry.oci.digest import Digest
from skerry.oci.image import OCI_LAYER_GZIP, Descriptor, Layer, RunConfig, assemble
from skerry.oci.layer import Directory, Entry, File, pack
from skerry.oci.layout import layout_path, write_layout
from skerry.oci.reference import parse_reference

PROGRAMS = ("sh", "sleep", "cat", "id")


def write_shell_image(
    images: Path,
    reference: str,
    *,
    script: str,
    env: dict[str, str] | None = None,
    volumes: tuple[str, ...] = (),
    filler: bytes = b"",
) -> Path:
    """An OCI layout of ``reference`` below ``images`` whose entrypoint is ``sh -c script``.

    With ``filler`` its base is one that no other image has.
    """
    path = layout_path(images, parse_reference(reference))
    blobs = images / ".blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    layers = [
        _layer(blobs, "base", [*_base(), File("opt/filler", filler)] if filler else _base()),
        _layer(blobs, "script", [File("opt/script.sh", script.encode(), 0o755)]),
    ]
    run = RunConfig(("/bin/sh", "/opt/script.sh"), {"PATH": "/bin", **(env or {})}, volumes=volumes)
    image = assemble(layers, run, "amd64")
    write_layout(path, image, reference, lambda digest: blobs / Digest(digest).hex)
    return path


def _base() -> list[Entry]:
    entries: dict[str, Entry] = {}
    for name in PROGRAMS:
        program = shutil.which(name)
        assert program is not None
        entries[f"bin/{name}"] = File(f"bin/{name}", Path(program).read_bytes(), 0o755)
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+)", listed):
            path = library.lstrip("/")
            entries[path] = File(path, Path(library).read_bytes(), 0o755)
    for folder in ("tmp", "run", "proc", "dev", "var/lib/data"):
        entries[folder] = Directory(folder, 0o777)
    for file in ("etc/hosts", "etc/resolv.conf"):
        entries[file] = File(file, b"")
    return list(entries.values())


def _layer(blobs: Path, label: str, entries: list[Entry]) -> Layer:
    scratch = blobs / f"{label}.new"
    with scratch.open("wb") as file:
        packed = pack(entries, file)
    scratch.rename(blobs / packed.digest.hex)
    return Layer(Descriptor(OCI_LAYER_GZIP, packed.digest, packed.size), packed.diff_id, label)
