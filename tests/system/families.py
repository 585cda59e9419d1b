"""One model of every family in ``keras.applications``, with what real Keras predicts.

Run as a program (a folder, then the names of families): TensorFlow stays out of the test process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

# The smallest legal input where that still leaves some pixels at the end.
FAMILIES = {
    "ResNet50": 48,
    "ResNet50V2": 48,
    "MobileNet": 48,
    "MobileNetV2": 48,
    "MobileNetV3Small": 48,
    "MobileNetV3Large": 48,
    "EfficientNetB0": 48,
    "EfficientNetV2B0": 48,
    "DenseNet121": 48,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "Xception": 71,
    "VGG16": 32,
    "NASNetMobile": 32,
    "ConvNeXtTiny": 32,
}
CLASSES, IMAGES = 10, 8


def images(side: int, seed: int) -> np.ndarray:
    """Smooth random pictures, 0..255, float32 [IMAGES, side, side, 3]; no two alike."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (IMAGES, 4, 4, 3))
    smooth = np.repeat(np.repeat(coarse, -(-side // 4), 1), -(-side // 4), 2)[:, :side, :side]
    return np.asarray(np.clip(smooth + random.normal(0, 20, smooth.shape), 0, 255), np.float32)


def enliven(model: Any, x: np.ndarray, seed: int) -> None:
    """Weights that a trained model could have: lively activations, statistics that fit, clear answers."""
    random = np.random.default_rng(seed)
    norms = [layer for layer in model.layers if layer.__class__.__name__ == "BatchNormalization"]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(x, training=True)  # With momentum 0 every statistic becomes that of this batch.
    for layer in norms:
        for variable in layer.weights:
            spread = random.uniform(0.9, 1.1, variable.shape)
            shift = random.normal(0, 0.1, variable.shape) if "beta" in variable.name else 0
            value = np.asarray(variable)
            # A channel that hardly varies would blow rounding up to the size of the answer.
            floor = 0.2 * value.mean() if "variance" in variable.name else 0
            variable.assign(value * spread + shift + floor)
    for layer in model.layers:
        if layer.__class__.__name__ == "LayerScale":
            layer.gamma.assign(random.uniform(0.2, 0.8, layer.gamma.shape))
    head = next(layer for layer in reversed(model.layers) if layer.weights)
    kernel, bias = head.weights
    low = np.log(np.maximum(np.asarray(model(x, training=False)), 1e-12))
    gain = 1.2 / max(float(low.std(0).mean()), 1e-6)  # So that pictures differ by a few units before softmax.
    kernel.assign(np.asarray(kernel) * gain)
    bias.assign(np.asarray(bias) * gain)
    low = np.log(np.maximum(np.asarray(model(x, training=False)), 1e-30))
    bias.assign(np.asarray(bias) - low.mean(0))


def main(folder: Path, names: list[str]) -> None:
    import keras

    keras.utils.set_random_seed(5)
    for name in names:
        side = FAMILIES[name]
        model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), classes=CLASSES)
        scale = 1.0 if any(layer.__class__.__name__ == "Rescaling" for layer in model.layers) else 1 / 127.5
        x = (images(side, 1) - (0 if scale == 1.0 else 127.5)) * np.float32(scale)
        if name.startswith("ConvNeXt"):
            x = images(side, 1)
        enliven(model, x, 3)
        y = np.asarray(model(x, training=False))
        np.savez(folder / f"{name}.npz", x=x, y=y)
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
