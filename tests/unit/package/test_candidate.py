"""The candidates that a package offers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skerry.errors import InvalidInput
from skerry.package.candidate import Candidate
from skerry.package.manifest import GoldenSample, Package, write_package
from tests.unit.package.builders import pixels, png, recipe
from tests.unit.package.test_manifest import write

FP32 = Candidate("onnx-fp32", "onnxruntime", "fp32", "model.onnx", 1e-4)
INT8 = Candidate("onnx-int8", "onnxruntime", "int8", "model.int8.onnx", 0.05)


def write_two(directory: Path) -> Package:
    write_package(
        directory,
        name="cells",
        model={"model.onnx": b"big", "model.int8.onnx": b"small"},
        recipe=recipe(),
        golden=[GoldenSample(png(pixels()), np.zeros(4, np.float32))],
        certificate={},
        candidates=[INT8, FP32],
    )
    return Package.open(directory)


def test_the_chosen_candidate_comes_first_and_is_the_model(tmp_path: Path) -> None:
    package = write_two(tmp_path / "p")
    assert package.candidates == (INT8, FP32)
    assert package.chosen == INT8
    assert package.model_path == tmp_path / "p" / "model.int8.onnx"


def test_a_package_that_names_no_candidates_has_its_onnx_file(tmp_path: Path) -> None:
    write(tmp_path / "p")
    package = Package.open(tmp_path / "p")
    assert package.candidates == (Candidate("onnx-fp32", "onnxruntime", "fp32", "model.onnx", 1e-3),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": "other"}, "chosen must be the name of a candidate"),
        ({"candidates": []}, "at least one candidate"),
        ({"candidates": [{**FP32.to_json(), "file": "../x"}]}, "is not among the package's files"),
        ({"candidates": [{**FP32.to_json(), "tolerance": 0}]}, r"candidates\[0\].tolerance must be above 0"),
        ({"candidates": [{**FP32.to_json(), "engine": ""}]}, r"candidates\[0\].engine must be a text"),
    ],
)
def test_candidates_that_are_none_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_two(tmp_path / "p")
    path = tmp_path / "p" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InvalidInput, match=message):
        Package.open(tmp_path / "p")
