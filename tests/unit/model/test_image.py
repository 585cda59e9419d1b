import ast
import re
import sys
from pathlib import Path

import pytest

import skerry
from skerry.errors import SkerryError
from skerry.model.engine_wheels import GROUPS
from skerry.model.image import GRPC, HEALTHCHECK, PARTS, SIGNING, build_module_image, model_files
from skerry.oci.layer import File
from skerry.oci.requirements import parse_lock
from skerry.oci.sources import import_closure, source_entries
from skerry.oci.wheels import BASIC_WHEELS, MODULE_LOCK, WEB_WHEELS, locked
from skerry.sim.capture.image import VIDEO

PACKAGE = Path(skerry.__file__).parent
# What the wheels of the image bring, by the names they are imported by.
WHEELS = {
    *("numpy", "PIL", "prometheus_client", "uvloop", "httptools", "multipart", "python_multipart"),
    *("starlette", "uvicorn"),
}


def started() -> list[str]:
    """Every module of ours that the container's process may load."""
    return import_closure(PACKAGE, ["serve.main", "serve.healthcheck"])


def test_image_brings_every_module_that_serving_imports() -> None:
    brought = {file.path for file in source_entries(PACKAGE, PARTS, "site")}
    needed = {file.path for file in source_entries(PACKAGE, started(), "site")}
    assert needed - brought == set()


def test_serving_imports_only_what_the_wheels_bring() -> None:
    outside: set[str] = set()
    # The gRPC front is loaded only where it is asked for, and says so when its wheels are missing.
    always = [name for name in started() if not name.startswith("serve.rpc.")]
    for file in source_entries(PACKAGE, always, "site"):
        for node in ast.walk(ast.parse(file.data)):
            if isinstance(node, ast.Import):
                outside.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                outside.add(node.module.split(".")[0])
    assert outside - sys.stdlib_module_names - {"skerry"} - WHEELS == set()


def test_image_holds_nothing_of_the_hub_the_edge_or_the_model_tools() -> None:
    paths = [file.path for file in source_entries(PACKAGE, PARTS, "site")]
    assert [
        path for path in paths if re.match(r"site/skerry/(hub|edge|oci|model|sim|cli|store)/", path)
    ] == []


def test_healthcheck_runs_a_module_of_the_image() -> None:
    module = HEALTHCHECK[-1].removeprefix("skerry.")
    assert import_closure(PACKAGE, [module])


def test_every_wheel_is_locked_and_in_one_layer_only() -> None:
    names = [
        item.name
        for group in (BASIC_WHEELS, WEB_WHEELS, SIGNING, GRPC, *GROUPS.values())
        for item in locked(group)
    ]
    assert len(set(names)) == len(names)
    assert [item.version for item in locked(GROUPS["onnxruntime"])] == ["1.23.2"]
    assert sorted([*names, *VIDEO.names]) == sorted(parse_lock(MODULE_LOCK.read_text()))


def test_package_lies_where_the_module_looks(tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden/000.png").write_bytes(b"png")
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    assert model_files(tmp_path) == (
        File("opt/skerry/model/golden/000.png", b"png"),
        File("opt/skerry/model/model.onnx", b"onnx"),
    )


def test_what_is_no_model_package_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    with pytest.raises(SkerryError):
        build_module_image(
            package, name="cnn", tag="1", output=tmp_path / "o", cache=tmp_path / "c", progress=print
        )
    assert list(tmp_path.iterdir()) == [package]
