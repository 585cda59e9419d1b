import ast
import sys
from pathlib import Path

import pytest

import skerry
from skerry.errors import InvalidInput
from skerry.oci.sources import import_closure, source_entries
from skerry.sim.image import CAMERA, build_camera_image

PACKAGE = Path(skerry.__file__).parent
# What the wheels of the image bring, by the names they are imported by.
WHEELS = {
    "numpy",
    "PIL",
    "starlette",
    "anyio",
    "uvicorn",
    "click",
    "prometheus_client",
    "uvloop",
    "httptools",
}


def test_camera_runs_on_what_its_image_brings() -> None:
    outside: set[str] = set()
    for file in source_entries(PACKAGE, import_closure(PACKAGE, [CAMERA]), "site"):
        for node in ast.walk(ast.parse(file.data)):
            if isinstance(node, ast.Import):
                outside.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                outside.add(node.module.split(".")[0])
    assert outside - sys.stdlib_module_names - {"skerry"} - WHEELS == set()


def test_camera_image_holds_nothing_of_the_hub_the_edge_or_the_model_tools() -> None:
    tops = {module.split(".")[0] for module in import_closure(PACKAGE, [CAMERA])}
    assert tops & {"hub", "edge", "oci", "model", "cli", "serve", "store"} == set()
    assert {"sim", "protocol", "contract", "mqtt"} <= tops


def test_camera_without_frames_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    with pytest.raises(InvalidInput, match="no frames"):
        build_camera_image(
            frames, name="camera", tag="1", output=tmp_path / "o", cache=tmp_path / "c", progress=print
        )
    assert list(tmp_path.iterdir()) == [frames]
