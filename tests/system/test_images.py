"""The real images, out of Debian packages and wheels kept below SKERRY_CACHE (default build/cache)."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.model.image import build_module_image
from skerry.oci.debian.base import PACKAGES
from skerry.oci.debian.mirror import find_mirror
from skerry.oci.debian.resolve import resolve
from skerry.oci.layout import find_layout, read_layout
from skerry.oci.python_image import BuiltImage
from skerry.oci.unpack import unpack
from skerry.oci.wheels import SITE
from skerry.sim.image import build_camera_image
from tests.unit.serve.support import make_package, picture

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CACHE = Path(os.environ.get("SKERRY_CACHE") or Path(__file__).parents[2] / "build" / "cache")
# Design §8: CNN image, ONNX Runtime, without the model.
IMAGE_BYTES_MAX = 80_000_000
# Generous on a busy machine; what is measured on a quiet one is in the benchmarks.
START_SECONDS_MAX = 10.0


def note(line: str) -> None:
    sys.stderr.write(line + "\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def module_image(place: Path) -> BuiltImage:
    make_package(place / "package")
    return build_module_image(
        place / "package", name="solar/cnn", tag="1", output=place / "out", cache=CACHE, progress=note
    )


@pytest.fixture(scope="module")
def root(module_image: BuiltImage, place: Path) -> Path:
    unpack(module_image.layout, place / "root")
    return place / "root"


def python(root: Path, *arguments: str) -> list[str]:
    """The image's own interpreter by its own loader: works for any user, needs no namespace."""
    (loader,) = [path for path in (root / "usr").glob("lib*/ld-linux-*.so.*") if path.exists()]
    (libraries,) = (root / "usr/lib").glob("*-linux-gnu")
    return [str(loader), "--library-path", str(libraries), str(root / "usr/bin/python3.11"), *arguments]


def environment(root: Path, **more: str) -> dict[str, str]:
    return {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(root / SITE),
        "PYTHONDONTWRITEBYTECODE": "1",
    } | more


def test_module_image_is_small_and_its_model_is_the_topmost_layer(module_image: BuiltImage) -> None:
    assert [label.split(":")[0] for label, _ in module_image.layers] == [
        "base",
        "wheels",
        "wheels",
        "wheels",
        "skerry",
        "model",
    ]
    assert sum(size for _, size in module_image.layers[:-1]) < IMAGE_BYTES_MAX
    assert module_image.layers[-1][1] < 10_000


def test_building_again_gives_the_same_manifest(module_image: BuiltImage, place: Path) -> None:
    again = build_module_image(
        place / "package", name="solar/cnn", tag="1", output=place / "again", cache=CACHE, progress=note
    )
    assert again.manifest_digest == module_image.manifest_digest
    assert find_layout(place / "again", f"solar/cnn:1@{module_image.manifest_digest}") == again.layout


def test_camera_image_shares_base_and_wheels_with_the_module(module_image: BuiltImage, place: Path) -> None:
    (place / "frames").mkdir()
    (place / "frames/one.png").write_bytes(picture((255, 0, 0)))
    camera = build_camera_image(
        place / "frames", name="solar/camera", tag="1", output=place / "out", cache=CACHE, progress=note
    )
    ours, theirs = (read_layout(image.layout).layers for image in (camera, module_image))
    assert [layer.descriptor for layer in ours[:2]] == [layer.descriptor for layer in theirs[:2]]
    assert len(ours) == 4
    unpack(camera.layout, place / "camera")
    program = "import skerry.sim.camera, sys; print('onnxruntime' in sys.modules)"
    ran = subprocess.run(
        python(place / "camera", "-c", program),
        env=environment(place / "camera"),
        capture_output=True,
        text=True,
    )
    assert (ran.stdout, ran.stderr) == ("False\n", "")


def test_everything_imports_from_the_image_itself(root: Path) -> None:
    program = (
        "import onnxruntime, numpy, PIL.Image, ssl, sqlite3, ctypes, lzma, bz2, zlib, uvloop,"
        "httptools, asyncio, prometheus_client, multipart, skerry.service.live_page, sys\n"
        "print(onnxruntime.__version__)\n"
        "files = [m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]\n"
        "print(*[file for file in files if not file.startswith(sys.argv[1])])\n"
        "maps = [line.split()[-1] for line in open('/proc/self/maps') if '.so' in line]\n"
        "print(*[file for file in maps if not file.startswith(sys.argv[1])])\n"
        "print(ssl.create_default_context(cafile=sys.argv[1] + '/etc/ssl/certs/ca-certificates.crt')"
        ".cert_store_stats()['x509_ca'] > 100)"
    )
    ran = subprocess.run(
        python(root, "-c", program, str(root)), env=environment(root), capture_output=True, text=True
    )
    assert (ran.stdout, ran.stderr) == ("1.23.2\n\n\nTrue\n", "")


def test_every_source_has_its_bytecode(root: Path) -> None:
    lacking = [
        path
        for path in root.rglob("*.py")
        if not path.is_symlink()
        and not (path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc").exists()
    ]
    assert lacking == []


def test_links_of_the_image_lead_somewhere_inside(root: Path) -> None:
    links = [path for path in root.rglob("*") if path.is_symlink()]
    assert links
    assert [path for path in links if not path.exists() or root not in path.resolve().parents] == []


@pytest.fixture
def served(root: Path, tmp_path: Path) -> Iterator[int]:
    """The module out of the image, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    more = {
        "SKERRY_MODEL_DIR": str(root / "opt/skerry/model"),
        "SKERRY_HTTP_HOST": "127.0.0.1",
        "SKERRY_HTTP_PORT": str(port),
        "ORT_DISABLE_TELEMETRY": "1",
        "SKERRY_STATE_DIR": str(tmp_path),
    }
    process = subprocess.Popen(python(root, "-m", "skerry.serve.main"), env=environment(root, **more))
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_module_out_of_the_image_predicts(served: int) -> None:
    started = time.perf_counter()
    while True:
        request = urllib.request.Request(
            f"http://127.0.0.1:{served}/score", picture((0, 0, 255)), {"Content-Type": "image/png"}
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                request, timeout=5
            ) as response:
                answer = response.read()
                break
        except urllib.error.URLError:
            assert time.perf_counter() - started < START_SECONDS_MAX
    note(f"first prediction after {time.perf_counter() - started:.2f} s")
    assert b"blue" in answer


def test_an_arm64_image_made_here_is_arm64_throughout(module_image: BuiltImage, place: Path) -> None:
    made = build_module_image(
        place / "package",
        name="solar/cnn",
        tag="arm",
        output=place / "out",
        cache=CACHE,
        progress=note,
        architecture="arm64",
    )
    assert read_layout(made.layout).architecture == "arm64"
    unpack(made.layout, place / "arm64")
    files = [path for path in (place / "arm64").rglob("*") if path.is_file() and not path.is_symlink()]
    machines = {path: machine for path in files if (machine := elf_machine(path)) is not None}
    assert [path for path, machine in machines.items() if machine != "aarch64"] == []
    names = {path.name.partition(".")[0] for path in machines}
    assert names >= {"python3", "libc", "ld-linux-aarch64", "onnxruntime_pybind11_state", "_multiarray_umath"}
    # What is no machine code is the same, byte for byte.
    ours, theirs = (read_layout(image.layout).layers[-2:] for image in (made, module_image))
    assert [layer.diff_id for layer in ours] == [layer.diff_id for layer in theirs]


def elf_machine(path: Path) -> str | None:
    """What an ELF file runs on (elf(5), e_machine, little endian); None for other files."""
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF":
        return None
    return {62: "x86_64", 183: "aarch64"}.get(int.from_bytes(head[18:20], "little"), "another")


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_packages_resolve_from_signed_lists(architecture: str) -> None:
    said: list[str] = []
    found = resolve(PACKAGES, architecture, find_mirror(os.environ), CACHE / "debian", said.append)
    assert [package.name for package in found] == list(PACKAGES)
    assert all(len(package.sha256) == 64 for package in found)
