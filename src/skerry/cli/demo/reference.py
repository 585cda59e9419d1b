"""What the original model says to the frames the device saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skerry.model import keras_runtime, reference
from skerry.model.graph import read_network
from skerry.package.manifest import Package
from skerry.package.postprocess import top_k
from skerry.package.preprocess import prepare

BATCH = 16


def reference_labels(
    model: Path, package: Path, frames_dir: Path, frames: Sequence[str]
) -> dict[str, str | None]:
    """The best label of each frame by real Keras where it is installed, else by the numpy runner."""
    recipe = Package.open(package).recipe
    inputs = np.stack([prepare((frames_dir / name).read_bytes(), recipe) for name in frames])
    if keras_runtime.is_installed():
        outputs = keras_runtime.predict(model, inputs).outputs
    else:
        network = read_network(model)
        parts = [reference.predict(network, inputs[i : i + BATCH]) for i in range(0, len(inputs), BATCH)]
        outputs = np.concatenate(parts)
    best = [top_k(output, recipe, 1, 0.0) for output in outputs]
    return {name: one[0].label if one else None for name, one in zip(frames, best, strict=True)}
