import json
import shutil
from pathlib import Path

import pytest

from skerry.errors import InvalidInput
from skerry.oci.debian.mirror import Mirror
from skerry.oci.debian.packages import LockedPackage
from skerry.oci.debian.resolve import write_lock
from skerry.oci.image import RunConfig
from skerry.oci.layer import File
from skerry.oci.layout import find_layout, read_layout
from skerry.oci.python_image import BuiltImage, Content, build_python_image, machine_architecture
from skerry.oci.unpack import unpack
from tests.unit.oci.builders import make_deb, member, sha256, web_server

DEB = make_deb("python3.11", [(member("./usr/bin/python3.11", mode=0o755), b"ELF")])
RUN = RunConfig(entrypoint=("/usr/bin/python3",))
SOURCES = Content("app", (File("opt/app/main.py", b"x = 1\n"),))


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def build(tmp_path: Path, model: bytes, cache: str = "cache", asked: list[str] | None = None) -> BuiltImage:
    lock = tmp_path / "lock.json"
    write_lock(lock, "amd64", [LockedPackage("python3.11", "1", "debian", "p.deb", sha256(DEB))])
    with web_server({"/debian/p.deb": DEB}, [] if asked is None else asked) as url:
        return build_python_image(
            (),
            (SOURCES, Content("model", (File("opt/model", model),))),
            RUN,
            name="solar/cnn",
            tag="1",
            output=tmp_path / "images",
            cache=tmp_path / cache,
            progress=lambda _: None,
            mirror=Mirror(f"{url}/debian"),
            architecture="amd64",
            debian_lock=lock,
        )


def test_image_holds_base_and_application_with_bytecode(tmp_path: Path) -> None:
    built = build(tmp_path, b"weights")
    assert built.layout == find_layout(tmp_path / "images", "solar/cnn:1")
    assert built.reference == "solar/cnn:1"
    assert [label for label, _ in built.layers] == ["base: Debian 12, Python 3.11", "app", "model"]
    image = read_layout(built.layout)
    assert (image.manifest_digest, image.config_digest) == (built.manifest_digest, built.config_digest)
    assert [layer.descriptor.size for layer in image.layers] == [size for _, size in built.layers]
    unpack(built.layout, tmp_path / "root")
    assert (tmp_path / "root/usr/bin/python3.11").read_bytes() == b"ELF"
    assert sorted(path.name for path in (tmp_path / "root/opt").rglob("*.py*")) == [
        "main.cpython-311.pyc",
        "main.py",
    ]


def test_same_inputs_give_the_same_digest_with_and_without_the_cache(tmp_path: Path) -> None:
    first = build(tmp_path, b"weights")
    assert build(tmp_path, b"weights") == first
    assert build(tmp_path, b"weights", cache="empty") == first


def test_warm_build_asks_no_network(tmp_path: Path) -> None:
    asked: list[str] = []
    build(tmp_path, b"weights", asked=asked)
    build(tmp_path, b"weights", asked=asked)
    assert asked == ["/debian/p.deb"]


def test_new_model_changes_one_layer(tmp_path: Path) -> None:
    layouts = []
    for model in (b"weights 1", b"weights 2"):
        build(tmp_path, model)
        image = read_layout(tmp_path / "images/solar/cnn/1")
        layouts.append([layer.descriptor.digest for layer in image.layers])
        shutil.rmtree(tmp_path / "images")
    assert layouts[0][:2] == layouts[1][:2]
    assert layouts[0][2] != layouts[1][2]


def test_index_names_the_image(tmp_path: Path) -> None:
    built = build(tmp_path, b"")
    (entry,) = json.loads((built.layout / "index.json").read_text())["manifests"]
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "solar/cnn:1"}
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}


def test_malformed_name_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        build_python_image(
            (), (), RUN, name="Bad Name", tag="1", output=tmp_path, cache=tmp_path / "c",
            progress=print, mirror=Mirror(),
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_this_machine_has_an_architecture() -> None:
    assert machine_architecture() in ("amd64", "arm64")
