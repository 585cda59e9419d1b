"""The models that the benchmarks serve, as verified packages with pictures to send."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from skerry.model.build import BuildRequest, build
from skerry.sim.scenarios.imagenet import prepare
from skerry.sim.scenarios.keras_writer import KerasModelWriter, Output

SIDE, CLASSES, FILTERS = 28, 10, 8
PICTURES = 16
# Images like these travel inside the model image; few are enough here.
GOLDEN = 4


@dataclass(frozen=True)
class Model:
    """A package, the Keras file it was made of, and the files of pictures like its samples."""

    name: str
    keras_file: Path
    package: Path
    pictures: Sequence[Path]

    def bodies(self) -> list[bytes]:
        """The pictures as a client sends them."""
        return [picture.read_bytes() for picture in self.pictures]


def small(work: Path) -> Model:
    """A CNN of one convolution over 28 × 28 grey pixels with random weights: the server is the cost."""
    work.mkdir(parents=True)
    random = np.random.default_rng(1)

    def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return random.normal(0, 0.1, shape).astype(np.float32)

    writer = KerasModelWriter("small")
    x = writer.input("image", (SIDE, SIDE, 1))
    x = writer.layer("Rescaling", "scale", [x], x.shape, {"scale": 1 / 255, "offset": 0.0})
    sliding = {
        "filters": FILTERS,
        "kernel_size": [3, 3],
        "strides": [2, 2],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "activation": "relu",
        "use_bias": True,
    }
    half = SIDE // 2
    x = writer.layer(
        "Conv2D",
        "convolution",
        [x],
        (None, half, half, FILTERS),
        sliding,
        [weights(3, 3, 1, FILTERS), weights(FILTERS)],
    )
    x = writer.layer("GlobalAveragePooling2D", "pool", [x], (None, FILTERS))
    dense = {"units": CLASSES, "activation": "softmax", "use_bias": True}
    x = writer.layer(
        "Dense", "predictions", [x], (None, CLASSES), dense, [weights(FILTERS, CLASSES), weights(CLASSES)]
    )
    return package_of("small", writer, x, work, random)


def package_of(
    name: str, writer: KerasModelWriter, output: Output, work: Path, random: np.random.Generator
) -> Model:
    """The written model as a package, with pictures of noise."""
    keras_file = work / f"{name}.keras"
    writer.save(keras_file, output)
    pictures = work / "pictures"
    pictures.mkdir()
    for number in range(PICTURES):
        shades = random.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
        data = io.BytesIO()
        Image.fromarray(shades).save(data, "PNG")
        (pictures / f"{number:02}.png").write_bytes(data.getvalue())
    labels = work / "labels.json"
    labels.write_text(json.dumps([f"class {number}" for number in range(CLASSES)]))
    return _built(name, keras_file, labels, pictures, work)


def lite0(work: Path, cache: Path) -> Model:
    """EfficientNet-Lite0 with its real weights, and frames of the ImageNet camera."""
    scenario = prepare(work, cache, lambda text: None, frames=PICTURES)
    build(
        BuildRequest(
            model=scenario.model_path,
            labels=scenario.labels_path,
            samples=scenario.samples_dir,
            output=work / "package",
            golden_count=GOLDEN,
            reference="numpy",
            **scenario.recipe,
        ),
        lambda text: None,
    )
    pictures = sorted(path for path in scenario.frames_dir.rglob("*") if path.is_file())
    return Model("EfficientNet-Lite0", scenario.model_path, work / "package", pictures)


def _built(name: str, keras_file: Path, labels: Path, pictures: Path, work: Path) -> Model:
    build(
        BuildRequest(
            model=keras_file,
            labels=labels,
            samples=pictures,
            output=work / "package",
            golden_count=GOLDEN,
            reference="numpy",
        ),
        lambda text: None,
    )
    return Model(name, keras_file, work / "package", sorted(pictures.iterdir()))
