"""The capture module's image brings what the module imports, and nothing of other parts."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import skerry
from skerry.errors import InvalidInput
from skerry.oci.sources import import_closure, source_entries
from skerry.oci.wheels import BASIC_WHEELS, WEB_WHEELS, locked
from skerry.sim.capture.image import CAPTURE, VIDEO, build_capture_image

PACKAGE = Path(skerry.__file__).parent
# By the names they are imported by.
WHEELS = {"numpy", "PIL", "starlette", "uvicorn", "prometheus_client", "uvloop", "httptools"}
VIDEO_MODULE = "sim.capture.video"


def outside(modules: list[str]) -> set[str]:
    found: set[str] = set()
    for file in source_entries(PACKAGE, modules, "site"):
        for node in ast.walk(ast.parse(file.data)):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"skerry"}


def test_it_runs_on_what_its_image_brings() -> None:
    closure = import_closure(PACKAGE, [CAPTURE])
    assert VIDEO_MODULE in closure
    assert outside([name for name in closure if name != VIDEO_MODULE]) <= WHEELS
    assert outside([VIDEO_MODULE]) == {"av"}


def test_it_holds_nothing_of_the_hub_the_edge_or_the_model_tools() -> None:
    tops = {module.split(".")[0] for module in import_closure(PACKAGE, [CAPTURE])}
    assert tops & {"hub", "edge", "oci", "model", "cli", "serve", "store", "package"} == set()


def test_its_wheels_are_locked_and_in_one_layer_only() -> None:
    names = [item.name for group in (BASIC_WHEELS, WEB_WHEELS, VIDEO) for item in locked(group)]
    assert len(set(names)) == len(names)
    assert "av" in names


def test_a_folder_without_pictures_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    with pytest.raises(InvalidInput, match="no pictures"):
        build_capture_image(
            name="c",
            tag="1",
            output=tmp_path / "o",
            cache=tmp_path / "c",
            progress=lambda _: None,
            frames=tmp_path / "frames",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]
