"""A Python application as an image: base layer, wheels, and the application's own files."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import Unsupported
from skerry.oci.base_image import BaseImage
from skerry.oci.bytecode import can_compile, compiled
from skerry.oci.cache import LayerCache
from skerry.oci.debian.base import base_entries, locked_packages
from skerry.oci.debian.mirror import Mirror
from skerry.oci.digest import Digest, digest_of
from skerry.oci.download import Progress
from skerry.oci.image import Layer, RunConfig, assemble, canonical_json
from skerry.oci.layer import Directory, Entry, File
from skerry.oci.layout import layout_path, write_layout
from skerry.oci.reference import parse_reference
from skerry.oci.wheels import WheelGroup, fetch_wheels, locked, wheel_entries

PYTHON = "/usr/bin/python3"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# What every image of ours runs with. No bytecode is written: the file system is read-only for the module.
ENVIRONMENT = {
    "PATH": "/usr/bin",
    # What Python finds by itself in a container; said for engines that run it from another root.
    "PYTHONHOME": "/usr",
    "PYTHONPATH": "/usr/lib/python3/dist-packages",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "SSL_CERT_FILE": CERTIFICATES,
}
BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Content:
    """One layer of the application's own files."""

    label: str
    files: tuple[File | Directory, ...]

    def key(self) -> str:
        listed = [
            (entry.path, entry.mode, digest_of(entry.data) if isinstance(entry, File) else "")
            for entry in self.files
        ]
        return digest_of(canonical_json(listed))


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image in its layout directory; ``layers`` are (label, compressed bytes) from the lowest up."""

    reference: str
    manifest_digest: Digest
    config_digest: Digest
    layout: Path
    layers: list[tuple[str, int]]


def build_python_image(
    wheels: Sequence[WheelGroup],
    contents: Sequence[Content],
    run: RunConfig,
    *,
    name: str,
    tag: str,
    output: Path,
    cache: Path,
    progress: Progress,
    mirror: Mirror,
    architecture: str | None = None,
    debian_lock: Path | None = None,
    base: BaseImage | None = None,
) -> BuiltImage:
    """Make the image at ``<output>/<name>/<tag>``: base, one layer a wheel group, one a content.

    The base is made of Debian's packages, or is ``base``.
    Layers are made side by side and kept in ``cache``; with everything there the network is not asked.
    Equal inputs give an equal manifest digest. ``architecture`` is this machine's unless given.
    """
    reference = parse_reference(f"{name}:{tag}")
    architecture = architecture or machine_architecture()
    if not can_compile():
        progress("this Python is not 3.11: the image gets no bytecode and starts slower")
    maker = _Layers(architecture, mirror, cache, progress, debian_lock)
    with ThreadPoolExecutor(thread_name_prefix="layer") as pool:
        pending = [pool.submit(maker.base)] if base is None else []
        pending += [pool.submit(maker.wheels, group) for group in wheels]
        pending += [pool.submit(maker.content, content) for content in contents]
        layers = [*(base.layers if base else ()), *(future.result() for future in pending)]
    # What the labels say, where registries show it too (image-spec, annotations.md).
    about = {} if base is None else {BASE_NAME: base.name, BASE_DIGEST: base.digest}
    image = assemble(layers, run, architecture, {**run.labels, **about})
    layout = layout_path(output, reference)
    foreign = {layer.descriptor.digest for layer in base.layers} if base else set()

    def blob(digest: Digest) -> Path:
        return base.blob(digest) if base is not None and digest in foreign else maker.store.blob(digest)

    write_layout(layout, image, str(reference), blob)
    return BuiltImage(
        str(reference),
        image.manifest_digest,
        image.config_digest,
        layout,
        [(layer.label, layer.descriptor.size) for layer in layers],
    )


def environment_on(base: BaseImage | None) -> dict[str, str]:
    """What an image on this base runs with: ours, over what the base itself sets."""
    if base is None:
        return dict(ENVIRONMENT)
    own = {name: value for name, value in ENVIRONMENT.items() if name not in ("PATH", "PYTHONHOME")}
    if not base.has_certificates:
        del own["SSL_CERT_FILE"]
    return {**base.env, **own}


def machine_architecture() -> str:
    """This machine's architecture in the words of image platforms; ``Unsupported`` when we have no base."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise Unsupported(f"no images for {machine}", hint=f"supported: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[machine]


class _Layers:
    """Makes the layers of one build, each from the cache where it is there."""

    def __init__(
        self, architecture: str, mirror: Mirror, cache: Path, progress: Progress, debian_lock: Path | None
    ) -> None:
        self.store = LayerCache(cache / "layers")
        self._architecture = architecture
        self._mirror = mirror
        self._cache = cache
        self._progress = progress
        self._debian_lock = debian_lock
        # Any change to how layers are made makes new ones.
        self._common = f"{architecture} {can_compile()} {_own_code()}"

    def base(self) -> Layer:
        place = self._cache / "debian"
        packages = locked_packages(self._architecture, self._mirror, place, self._progress, self._debian_lock)
        return self.store.layer(
            "base: Debian 12, Python 3.11",
            f"base {packages} {self._common}",
            lambda: _with_bytecode(base_entries(packages, place)),
        )

    def wheels(self, group: WheelGroup) -> Layer:
        wanted = locked(group)

        def make() -> list[Entry]:
            wheels = fetch_wheels(wanted, self._architecture, self._cache, self._progress)
            return _with_bytecode(wheel_entries(wheels, group.drop))

        pins = [str(item) for item in wanted]
        return self.store.layer(f"wheels: {group.label}", f"{group.key()} {pins} {self._common}", make)

    def content(self, content: Content) -> Layer:
        key = f"content {content.key()} {self._common}"
        return self.store.layer(content.label, key, lambda: _with_bytecode(content.files))


def _with_bytecode(entries: Iterable[Entry]) -> list[Entry]:
    listed = list(entries)
    return [*listed, *compiled([entry for entry in listed if isinstance(entry, File)])]


def _own_code() -> Digest:
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return digest_of(b"".join(path.read_bytes() for path in sources))
