"""Packages that differ in how sure they are, and archives of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from skerry.package.manifest import GoldenSample
from tests.unit.serve.support import (
    BLUE,
    GREEN,
    RED,
    SHARPNESS,
    colour_model,
    expected,
    make_package,
    picture,
)


def sharp_model(sharpness: float) -> bytes:
    """The colour model, as sure as ``sharpness`` makes it."""
    model = onnx.load_model_from_string(colour_model())
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.eye(3, dtype=np.float32) * sharpness, "weights")
    )
    found: bytes = model.SerializeToString()
    return found


def sharp_expected(image: bytes, sharpness: float) -> NDArray[np.float32]:
    """What that model gives."""
    raised = expected(image).astype(np.float64) ** (sharpness / SHARPNESS)
    return np.asarray(raised / raised.sum(), np.float32)


def sharp_package(directory: Path, sharpness: float, *, honest: bool = True) -> str:
    """A package of it, and its digest; one that is not ``honest`` fails its golden set."""
    golden = [
        GoldenSample(image, sharp_expected(image, sharpness if honest else sharpness + 2))
        for image in map(picture, (RED, GREEN, BLUE))
    ]
    return make_package(directory, model=sharp_model(sharpness), golden=golden)


def tar_of(directory: Path, mode: str = "gz", prefix: str = "") -> bytes:
    """The folder as a tar (``""``) or tar.gz (``"gz"``), below ``prefix``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if mode == "gz" else "w:") as tar:
        for path in sorted(directory.rglob("*")):
            tar.add(path, f"{prefix}{path.relative_to(directory)}", recursive=False)
    return buffer.getvalue()


def zip_of(directory: Path) -> bytes:
    """The folder as a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(directory.rglob("*")):
            archive.write(path, str(path.relative_to(directory)))
    return buffer.getvalue()
